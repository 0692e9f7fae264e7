-- The script of wrk: one random transfer between two accounts per request, or the opening of one account.
-- Arguments: transfers or openings, accounts of each ledger, prefix of their numbers, ledgers (0: no ledger in the path), requests per
-- second (0: closed loop), seed.
local ffi = require("ffi")

ffi.cdef([[
  typedef struct { long seconds; long nanoseconds; } instant;
  int clock_gettime(int clock, instant *now);
]])

local MONOTONIC = 1
-- A request later than this is skipped.
local LATE_MAX_MS = 5000
local random = math.random
local now = ffi.new("instant")
local kind, accounts, prefix, ledgers, rate, seed

local function milliseconds()
  ffi.C.clock_gettime(MONOTONIC, now)
  return tonumber(now.seconds) * 1000 + tonumber(now.nanoseconds) / 1000000
end

local function opening()
  local number = 0
  return function()
    number = number + 1
    return wrk.format("POST", "/accounts", nil, '{"account_number":"OPEN-' .. seed .. "-" .. number .. '","name":"Benchmark"}')
  end
end

local function transfer()
  local from = random(0, accounts - 1)
  local to = (from + random(1, accounts - 1)) % accounts
  local path = ledgers > 0 and "/ledgers/l" .. random(1, ledgers) .. "/transfers" or "/transfers"
  local body = '{"from_account":"' .. prefix .. "-" .. from .. '","to_account":"' .. prefix .. "-" .. to .. '","amount":' .. random(1, 100) .. "}"
  return wrk.format("POST", path, nil, body)
end

-- Open loop: `rate` requests per second are due, independent of the answers. A free connection takes the next one, and waits until it is due.
local function pace()
  local due = milliseconds()
  return function()
    local ahead = due - milliseconds()
    if ahead < -LATE_MAX_MS then due = due - ahead end
    due = due + 1000 / rate
    return math.max(0, math.floor(ahead + 0.5))
  end
end

function init(args)
  kind, accounts, prefix, ledgers, rate, seed = args[1], tonumber(args[2]), args[3], tonumber(args[4]), tonumber(args[5]), args[6]
  math.randomseed(tonumber(seed))
  request = kind == "openings" and opening() or transfer
  if rate > 0 then delay = pace() end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"seconds":%f,"requests":%d,"refused":%d,"failed":%d,"meanMs":%f,"p50Ms":%f,"p99Ms":%f}\n',
    summary.duration / 1e6, summary.requests, errors.status, errors.connect + errors.read + errors.write,
    latency.mean / 1e3, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
  ))
end
