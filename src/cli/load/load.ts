// gopherpay load: a load tester of its own. Closed loop: every connection sends the next request when it has its answer.
// Open loop (--rate): requests start on schedule whether or not the service keeps up, and every latency counts from the
// intended start, so that a stalled service cannot hide.
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { defineCommand } from 'citty';
import { z } from 'zod';
import { CommandError, EXIT, parseArguments } from '../command.ts';
import { Caller, type Order } from './caller.ts';
import { createPicker, seeded } from './random.ts';
import { renderLine, renderTable } from './render.ts';
import { closedLoop, openLoop } from './schedule.ts';
import { type Summary, Tally } from './tally.ts';

/** What the process ends with when a threshold was not met. */
const EXIT_THRESHOLD = 99;
const SETTLE_TIMEOUT_MS = 60_000;

const number = (min: number, max: number) => z.coerce.number().min(min).max(max);
const whole = (min: number, max: number) => number(min, max).int();

const OPTIONS = {
  url: z.url({ protocol: /^http$/ }).default('http://127.0.0.1:8080'),
  connections: whole(1, 10_000).default(64),
  rate: number(0.1, 1_000_000).optional(),
  duration: number(1, 86_400).default(10),
  accounts: whole(2, 1_000_000).default(1000),
  skew: number(0, 5).default(0),
  bulk: whole(1, 1000).default(1),
  wait: z.boolean().default(false),
  json: z.boolean().default(false),
  seed: whole(0, 2 ** 32 - 1).default(() => randomInt(2 ** 32)),
  'max-p99-final-ms': number(0, 1e9).optional(),
  'min-settled-per-second': number(0, 1e9).optional(),
  'max-failed': whole(0, 1e9).optional(),
};

type LoadOptions = z.output<z.ZodObject<typeof OPTIONS>>;

export const load = defineCommand({
  meta: {
    name: 'load',
    description: 'Put a running service under load, and show what it accepts, refuses and settles.',
  },
  args: {
    url: { type: 'string', description: 'The service (http://127.0.0.1:8080)' },
    connections: { type: 'string', description: 'Connections (64)' },
    rate: { type: 'string', description: 'Open loop: requests per second, on schedule. Closed loop if left out' },
    duration: { type: 'string', description: 'Seconds (10)' },
    accounts: { type: 'string', description: 'Accounts, opened by the test (1000)' },
    skew: { type: 'string', description: "Exponent of Zipf's law over the accounts; 0 is uniform (0)" },
    bulk: { type: 'string', description: 'Transfers per request (1)' },
    wait: { type: 'boolean', description: 'Ask with Prefer: wait, so that an answer is final' },
    json: { type: 'boolean', description: 'Print the result as JSON' },
    seed: { type: 'string', description: 'The same seed gives the same transfers' },
    'max-p99-final-ms': { type: 'string', description: 'Exit 99 if the 99th percentile of time to final is above' },
    'min-settled-per-second': { type: 'string', description: 'Exit 99 if fewer transfers were settled per second' },
    'max-failed': {
      type: 'string',
      description: 'Exit 99 if more transfers failed to get an answer that says yes or 429',
    },
  },
  async run({ args }) {
    const options = parseArguments(OPTIONS, dropAliases(args));
    const { seed } = options;
    process.stderr.write(`seed ${seed}\n`);
    const tally = new Tally();
    const prefix = `LOAD${Date.now().toString(36)}`;
    const setup = new Caller({ ...options, prefix, tally });
    process.stderr.write(`opening ${options.accounts} accounts\n`);
    await setup.openAccounts(options.accounts, () => {});
    await setup.close();
    const { summary, unbalanced } = await runLoad(options, prefix);
    process.stdout.write(
      options.json ? `${JSON.stringify({ seed, options, ...summary, unbalanced })}\n` : renderTable(summary),
    );
    if (unbalanced.length > 0) {
      throw new CommandError(EXIT.discrepancy, `The balances in ${unbalanced.join(', ')} do not sum to zero.`);
    }
    if (summary.settled < summary.accepted) {
      const missing = summary.accepted - summary.settled;
      throw new CommandError(EXIT.discrepancy, `${missing} accepted transfers were not final a minute after the end.`);
    }
    refuseThresholds(options, summary);
  },
});

/** citty adds a camelCase twin for every option with a dash; the strict parser knows only the names that are declared. */
function dropAliases(args: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(args).filter(([name]) => !/[A-Z]/.test(name)));
}

async function runLoad(options: LoadOptions, prefix: string): Promise<{ summary: Summary; unbalanced: string[] }> {
  const tally = new Tally();
  const caller = new Caller({ ...options, prefix, tally });
  const random = seeded(options.seed);
  const pick = createPicker(options.accounts, options.skew, random);
  const nextOrders = () => Array.from({ length: options.bulk }, () => nextOrder(pick, random, options.accounts));
  const ended = new AbortController();
  // The feed is followed from before the first order on, so that none can be final unseen.
  const following = caller.follow((await caller.readBalances()).journalNumber, ended.signal);
  const ticker = setInterval(() => process.stderr.write(renderLine(tally, caller.unsettled)), 1000);
  try {
    const endsAt = performance.now() + options.duration * 1000;
    const start = async (intendedAt: number) => {
      tally.offered += options.bulk;
      await caller.order(nextOrders(), intendedAt, options.wait);
    };
    const onNotSent = () => {
      tally.offered += options.bulk;
      tally.answered('failed', options.bulk, 0, 'not_sent');
    };
    const { connections, rate } = options;
    if (rate === undefined) await closedLoop({ connections, endsAt }, start);
    else await openLoop({ connections, rate, endsAt }, start, onNotSent);
    const summary = await summariseWhenSettled(tally, caller);
    return { summary, unbalanced: (await caller.readBalances()).unbalanced };
  } finally {
    clearInterval(ticker);
    ended.abort();
    await following;
    await caller.close();
  }
}

async function summariseWhenSettled(tally: Tally, caller: Caller): Promise<Summary> {
  const summary = tally.summarise();
  const giveUpAt = performance.now() + SETTLE_TIMEOUT_MS;
  while (caller.unsettled > 0 && performance.now() < giveUpAt) await sleep(20);
  const { settled, settledPerSecond, finalMs } = tally.summarise();
  // The rates of what was offered and accepted are those of the load; settling goes on after it.
  return { ...summary, settled, settledPerSecond, finalMs };
}

function nextOrder(pick: () => number, random: () => number, accounts: number): Order {
  const from = pick();
  const to = pick();
  return { from, to: to === from ? (to + 1) % accounts : to, amount: 1 + Math.floor(random() * 100) };
}

function refuseThresholds(options: LoadOptions, summary: Summary): void {
  const { 'max-p99-final-ms': p99, 'min-settled-per-second': rate, 'max-failed': failed } = options;
  const complaints = [
    p99 !== undefined && (summary.finalMs?.p99 ?? Infinity) > p99 && `p99 of time to final is above ${p99} ms`,
    rate !== undefined && summary.settledPerSecond < rate && `fewer than ${rate} were settled per second`,
    failed !== undefined && summary.failed > failed && `more than ${failed} failed`,
  ].filter((complaint) => complaint !== false);
  if (complaints.length > 0) throw new CommandError(EXIT_THRESHOLD, `Not met: ${complaints.join('; ')}.`);
}
