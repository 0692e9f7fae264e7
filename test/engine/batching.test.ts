// How units are put into jobs, and how many jobs of a ledger run at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Concurrency, countFitting, fillsJob, restAfter, sizeAfterDeaths } from '../../src/main/engine/batching.ts';
import { checkProperty } from '../support/property.ts';

const MIB = 1024 * 1024;

const FITTING: { name: string; units: [size: number, bytes: number][]; sizeMax: number; count: number }[] = [
  { name: 'nothing', units: [], sizeMax: 4, count: 0 },
  {
    name: 'units up to the size',
    units: [
      [1, 1],
      [2, 1],
      [1, 1],
      [1, 1],
    ],
    sizeMax: 4,
    count: 3,
  },
  {
    name: 'a first unit that is larger than the size',
    units: [
      [9, 1],
      [1, 1],
    ],
    sizeMax: 4,
    count: 1,
  },
  {
    name: 'no unit that is larger than the rest',
    units: [
      [1, 1],
      [9, 1],
      [1, 1],
    ],
    sizeMax: 4,
    count: 1,
  },
  {
    name: 'all that fit exactly',
    units: [
      [2, 1],
      [2, 1],
    ],
    sizeMax: 4,
    count: 2,
  },
  {
    name: 'units up to 4 MiB',
    units: [
      [1, 2 * MIB],
      [1, 2 * MIB],
      [1, 1],
    ],
    sizeMax: 9,
    count: 2,
  },
  {
    name: 'a first unit of more than 4 MiB',
    units: [
      [1, 5 * MIB],
      [1, 0],
    ],
    sizeMax: 9,
    count: 1,
  },
];

for (const { name, units, sizeMax, count } of FITTING) {
  test(`batching: a job takes ${name}`, () => {
    assert.equal(
      countFitting(
        units.map(([size, bytes]) => ({ size, bytes })),
        sizeMax,
      ),
      count,
    );
  });
}

test('batching: a job is the longest run of units that fits, and never empty', (t) => {
  const unit = fc.record({ size: fc.integer({ min: 1, max: 40 }), bytes: fc.nat({ max: 3 * MIB }) });
  const property = fc.property(
    fc.array(unit, { minLength: 1, maxLength: 30 }),
    fc.integer({ min: 1, max: 64 }),
    (units, sizeMax) => {
      const count = countFitting(units, sizeMax);
      const fits = (length: number) => {
        const taken = units.slice(0, length);
        const sum = (of: 'size' | 'bytes') => taken.reduce((total, each) => total + each[of], 0);
        return sum('size') <= sizeMax && sum('bytes') <= 4 * MIB;
      };
      assert.ok(count >= 1);
      assert.ok(count === 1 || fits(count));
      assert.ok(count === units.length || !fits(count + 1));
    },
  );
  checkProperty(t, property, 500);
});

for (const [sizeMax, adoptions, size] of [
  [4096, 0, 4096],
  [4096, 1, 1024],
  [4096, 2, 256],
  [4096, 5, 4],
  [4096, 6, 1],
  [4096, 7, 1],
  [4096, 16, 1],
  [4096, 1000, 1],
  [1, 0, 1],
  [1, 3, 1],
  [2, 1, 1],
] as const) {
  test(`batching: after ${adoptions} deaths, jobs of at most ${sizeMax} have at most ${size}`, () => {
    assert.equal(sizeAfterDeaths(sizeMax, adoptions), size);
  });
}

const MANY = 1_000_000;
const NO_LOCKS = 0.1;
const LOCKS = 0.9;

/** How many jobs may run at once while many transfers wait. */
function limitOf(concurrency: Concurrency): number {
  let busy = 0;
  while (busy < 1000 && concurrency.mayBegin(busy, MANY)) busy += 1;
  return busy;
}

/** After 64 jobs that ran alone, two jobs are tried. */
function tryTwo(concurrency: Concurrency): void {
  for (let jobs = 0; jobs < 64; jobs += 1) concurrency.observe(0, NO_LOCKS);
}

/** Grows to this limit with jobs that do not wait for locks. */
function growTo(concurrency: Concurrency, limit: number): void {
  tryTwo(concurrency);
  while (limitOf(concurrency) < limit) concurrency.observe(limitOf(concurrency) - 1, NO_LOCKS);
}

test('batching: jobs of a ledger run alone until 64 have', () => {
  const concurrency = new Concurrency(8);
  for (let jobs = 0; jobs < 64; jobs += 1) {
    assert.equal(limitOf(concurrency), 1, `after ${jobs} jobs`);
    concurrency.observe(0, LOCKS);
  }
  assert.equal(limitOf(concurrency), 2);
});

test('batching: concurrent jobs grow up to the maximum while they do not wait for locks', () => {
  const concurrency = new Concurrency(4);
  tryTwo(concurrency);
  const limits = [1, 2, 3, 3, 3].map((others) => {
    concurrency.observe(others, NO_LOCKS);
    return limitOf(concurrency);
  });
  assert.deepEqual(limits, [3, 4, 4, 4, 4]);
});

test('batching: jobs of one thread always run alone', () => {
  const concurrency = new Concurrency(1);
  tryTwo(concurrency);
  assert.equal(limitOf(concurrency), 1);
});

test('batching: fewer jobs than allowed give no evidence about one more', () => {
  const concurrency = new Concurrency(8);
  growTo(concurrency, 4);
  concurrency.observe(1, NO_LOCKS);
  concurrency.observe(2, NO_LOCKS);
  assert.equal(limitOf(concurrency), 4);
  concurrency.observe(3, NO_LOCKS);
  assert.equal(limitOf(concurrency), 5);
});

test('batching: concurrent jobs that wait for locks shrink in number down to one', () => {
  const concurrency = new Concurrency(8);
  growTo(concurrency, 4);
  const limits = [3, 2, 1, 1, 1].map((others) => {
    concurrency.observe(others, LOCKS);
    return limitOf(concurrency);
  });
  assert.deepEqual(limits, [3, 2, 1, 1, 1]);
  tryTwo(concurrency);
  assert.equal(limitOf(concurrency), 2, 'two are tried again');
});

test('batching: a job that runs alone gives no evidence about locks', () => {
  const concurrency = new Concurrency(8);
  growTo(concurrency, 3);
  for (let jobs = 0; jobs < 200; jobs += 1) concurrency.observe(0, LOCKS);
  assert.equal(limitOf(concurrency), 3);
});

test('batching: one more job needs 256 waiting transfers for each that runs', () => {
  const concurrency = new Concurrency(8);
  growTo(concurrency, 3);
  assert.equal(concurrency.mayBegin(0, 1), true);
  assert.equal(concurrency.mayBegin(1, 255), false);
  assert.equal(concurrency.mayBegin(1, 256), true);
  assert.equal(concurrency.mayBegin(2, 511), false);
  assert.equal(concurrency.mayBegin(2, 512), true);
  assert.equal(concurrency.mayBegin(3, MANY), false);
});

test('batching: at least one job may run and at most the maximum, after any observations', (t) => {
  const observation = fc.tuple(fc.nat({ max: 9 }), fc.double({ min: 0, max: 1, noNaN: true }));
  const property = fc.property(
    fc.integer({ min: 1, max: 8 }),
    fc.array(observation, { maxLength: 300 }),
    (max, observations) => {
      const concurrency = new Concurrency(max);
      for (const [others, lockShare] of observations) {
        concurrency.observe(others, lockShare);
        const limit = limitOf(concurrency);
        assert.ok(limit >= 1 && limit <= max, `${limit} of ${max}`);
      }
    },
  );
  checkProperty(t, property, 300);
});

test('batching: a ledger rests for as long as a job took, for 50 ms at most, and until 256 transfers wait', () => {
  assert.deepEqual([0, 2, 50, 51, 3000].map(restAfter), [0, 2, 50, 50, 50]);
  assert.deepEqual([0, 255, 256].map(fillsJob), [false, false, true]);
});
