// Requests per second of one caller.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { rateHeaders, RateLimits } from '../../src/main/access/rates.ts';
import { checkProperty } from '../support/property.ts';

const ID = 'key_1';
/** More than the resolution of a number at the largest time, 1e12 ms. */
const CLOCK_MS = 0.001;

/** Steps of a clock in milliseconds: bursts, fractions, seconds, long pauses. */
const forward = fc.oneof(
  fc.constant(0),
  fc.integer({ min: 0, max: 20 }),
  fc.double({ min: 0, max: 3, noNaN: true }),
  fc.integer({ min: 900, max: 1100 }),
  fc.integer({ min: 0, max: 10_000_000 }),
);
const backward = fc.integer({ min: -10_000_000, max: -1 });
const rate = fc.oneof(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 10_000 }));
const start = fc.double({ min: 0, max: 1e12, noNaN: true });

/** How many requests are allowed at once at this instant. */
function takeAll(rates: RateLimits, { perSecond, nowMs }: { perSecond: number; nowMs: number }): number {
  let count = 0;
  while (rates.take(ID, perSecond, nowMs).allowed) count += 1;
  return count;
}

for (const [name, steps] of [
  ['a clock that goes forward', fc.array(forward, { maxLength: 300 })],
  ['a clock that also goes back', fc.array(fc.oneof({ weight: 4, arbitrary: forward }, backward), { maxLength: 300 })],
] as const) {
  test(`rates: with ${name}, no span of time has more than the burst and the rate`, (t) => {
    checkProperty(
      t,
      fc.property(rate, start, steps, (perSecond, startMs, steps) => {
        const rates = new RateLimits();
        let nowMs = startMs;
        // The most that the spans that end now exceed the rate by: one sum instead of a check of all spans.
        let excess = 0;
        for (const step of steps) {
          nowMs += step;
          excess = Math.max(0, excess - (Math.max(0, step) * perSecond) / 1000);
          if (rates.take(ID, perSecond, nowMs).allowed) excess += 1;
          assert.ok(excess <= perSecond + 1e-6, `${excess} requests more than the rate of ${perSecond}`);
        }
      }),
      200,
    );
  });
}

test('rates: a caller below its rate is never refused', (t) => {
  checkProperty(
    t,
    fc.property(rate, start, fc.array(forward, { maxLength: 300 }), (perSecond, startMs, pauses) => {
      const rates = new RateLimits();
      let nowMs = startMs;
      for (const pause of pauses) {
        assert.ok(rates.take(ID, perSecond, nowMs).allowed);
        nowMs += 1000 / perSecond + pause + CLOCK_MS;
      }
    }),
    200,
  );
});

test('rates: a refused request that waits as long as required is allowed', (t) => {
  checkProperty(
    t,
    fc.property(rate, start, fc.array(forward, { maxLength: 100 }), (perSecond, startMs, steps) => {
      const rates = new RateLimits();
      let nowMs = startMs;
      for (const step of steps) {
        nowMs += step;
        const decision = rates.take(ID, perSecond, nowMs);
        if (decision.allowed) continue;
        const laterMs = nowMs + decision.retryAfterSeconds * 1000 + CLOCK_MS;
        assert.ok(rates.take(ID, perSecond, laterMs).allowed);
        nowMs = laterMs;
      }
    }),
    200,
  );
});

test('rates: `remaining` is how many more requests are allowed at once', (t) => {
  checkProperty(
    t,
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      start,
      fc.array(forward, { minLength: 1, maxLength: 50 }),
      (perSecond, startMs, steps) => {
        const rates = new RateLimits();
        let nowMs = startMs;
        let remaining = perSecond;
        for (const step of steps) {
          nowMs += step;
          remaining = rates.take(ID, perSecond, nowMs).remaining;
        }
        assert.equal(takeAll(rates, { perSecond, nowMs }), remaining);
      },
    ),
    200,
  );
});

test('rates: the burst is one second of requests, and one more is allowed after its share of a second', () => {
  const rates = new RateLimits();
  assert.equal(takeAll(rates, { perSecond: 100, nowMs: 5 }), 100);
  assert.equal(takeAll(rates, { perSecond: 100, nowMs: 14 }), 0);
  assert.equal(takeAll(rates, { perSecond: 100, nowMs: 15 }), 1);
  assert.equal(takeAll(rates, { perSecond: 100, nowMs: 1_000_000 }), 100);
});

test('rates: after a burst, a caller at exactly its rate is not refused for a rounding error', () => {
  for (let perSecond = 1; perSecond <= 1000; perSecond += 1) {
    const rates = new RateLimits();
    takeAll(rates, { perSecond, nowMs: 0 });
    for (let n = 1; n <= 5; n += 1) assert.ok(rates.take(ID, perSecond, (n * 1000) / perSecond).allowed);
  }
});

test('rates: a clock that goes back neither refuses for long nor allows a second burst', () => {
  const rates = new RateLimits();
  assert.equal(takeAll(rates, { perSecond: 10, nowMs: 1_000_000 }), 10);
  assert.equal(takeAll(rates, { perSecond: 10, nowMs: 0 }), 0);
  assert.equal(takeAll(rates, { perSecond: 10, nowMs: 500 }), 5);
});

test('rates: a limit that is lowered or raised counts from the next request', () => {
  const rates = new RateLimits();
  assert.equal(takeAll(rates, { perSecond: 100, nowMs: 0 }), 100);
  assert.deepEqual(rates.take(ID, 10, 0), {
    allowed: false,
    limit: 10,
    remaining: 0,
    resetSeconds: 10,
    retryAfterSeconds: 10,
  });
  assert.equal(takeAll(rates, { perSecond: 150, nowMs: 0 }), 50);
});

test('rates: callers have separate limits', () => {
  const rates = new RateLimits();
  assert.equal(takeAll(rates, { perSecond: 3, nowMs: 0 }), 3);
  assert.equal(rates.take('key_2', 3, 0).allowed, true);
});

test('rates: idle callers are forgotten when others arrive', () => {
  const rates = new RateLimits();
  for (let n = 0; n < 1000; n += 1) rates.take(`key_${n}`, 10, 0);
  assert.equal(rates.size, 1000);
  for (let n = 0; n < 1000; n += 1) rates.take(`later_${n}`, 10, 1000);
  assert.equal(rates.size, 1000);
  assert.equal(takeAll(rates, { perSecond: 10, nowMs: 1000 }), 10);
  rates.take('last', 10, 5000);
  rates.take('laster', 10, 5000);
  assert.equal(rates.size, 999);
});

test('rates: the number of remembered callers is bounded, also when all are busy', () => {
  const rates = new RateLimits({ callersMax: 100 });
  for (let n = 0; n < 1000; n += 1) {
    assert.equal(rates.take(`key_${n}`, 10, n / 1000).allowed, true);
    assert.ok(rates.size <= 100);
  }
});

test('rates: the headers name the limit, what remains, and when more is allowed', () => {
  const rates = new RateLimits();
  assert.deepEqual(rateHeaders(rates.take(ID, 100, 0)), {
    'RateLimit-Policy': '"requests";q=100;w=1',
    RateLimit: '"requests";r=99;t=1',
  });
  takeAll(rates, { perSecond: 100, nowMs: 0 });
  assert.equal(rateHeaders(rates.take(ID, 100, 0)).RateLimit, '"requests";r=0;t=1');
});
