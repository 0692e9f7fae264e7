// How connections and streams are divided between callers.
import assert from 'node:assert/strict';
import { ByteBudget } from '../../src/main/http/byte-budget.ts';
import { test } from 'node:test';
import { fitConnections } from '../../src/main/http/connections.ts';
import { callerOf, Shares } from '../../src/main/shares.ts';

/** Takes for a caller until it is refused, and returns how often it was not. */
function takeAll(shares: Shares, caller: string): number {
  let count = 0;
  while (shares.tryTake(caller)) count += 1;
  return count;
}

test('shares: each caller gets half of the rest, so that the next caller gets a place', () => {
  const shares = new Shares({ total: 64, percent: 50 });
  assert.deepEqual(
    ['A', 'B', 'C', 'D', 'E', 'F'].map((caller) => takeAll(shares, caller)),
    [32, 16, 8, 4, 2, 1],
  );
  assert.equal(shares.free, 1);
});

test('shares: callers that compete from the start get equal shares', () => {
  const shares = new Shares({ total: 90, percent: 50 });
  const counts = [0, 0];
  for (let n = 0; n < 90; n += 1) {
    for (const [index, caller] of ['A', 'B'].entries())
      if (shares.tryTake(caller)) counts[index] = (counts[index] ?? 0) + 1;
  }
  assert.deepEqual(counts, [30, 30]);
});

test('shares: a released place can be taken again', () => {
  const shares = new Shares({ total: 4, percent: 50 });
  assert.equal(takeAll(shares, 'A'), 2);
  shares.release('A');
  assert.equal(shares.free, 3);
  assert.equal(takeAll(shares, 'A'), 1);
});

test('shares: a single place goes to the first caller', () => {
  const shares = new Shares({ total: 1, percent: 50 });
  assert.deepEqual([shares.tryTake('A'), shares.tryTake('B')], [true, false]);
});

test('shares: 100 percent sets no limit for one caller', () => {
  const shares = new Shares({ total: 10, percent: 100 });
  assert.equal(takeAll(shares, 'A'), 10);
  assert.equal(shares.tryTake('B'), false);
});

test('shares: a caller is an IPv4 address, or the first 64 bits of an IPv6 address', () => {
  assert.equal(callerOf('192.0.2.7'), '192.0.2.7');
  assert.equal(callerOf('::ffff:192.0.2.7'), '192.0.2.7');
  assert.equal(callerOf('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::/64');
  assert.equal(callerOf('2001:db8:1:2::6'), '2001:db8:1:2::/64');
  assert.equal(callerOf('2001:db8::6'), '2001:db8:0:0::/64');
  assert.equal(callerOf('::1'), '0:0:0:0::/64');
  assert.equal(callerOf(undefined), '');
});

test('connections: the limit of open files leaves room for the database, the threads and the reserve', () => {
  const needs = { threads: 10, ownConnections: 29 };
  assert.deepEqual(fitConnections(10_000, { filesMax: Infinity, ...needs }), { connectionsMax: 10_000, reserve: 64 });
  assert.deepEqual(fitConnections(100, { filesMax: 1024, ...needs }), { connectionsMax: 100, reserve: 64 });
  const { connectionsMax, reserve } = fitConnections(10_000, { filesMax: 200, ...needs });
  assert.ok(connectionsMax >= 40 && reserve >= 20 && connectionsMax + reserve + 29 + 10 * 6 < 200);
  assert.deepEqual(fitConnections(10_000, { filesMax: 50, ...needs }), { connectionsMax: 1, reserve: 1 });
});

test('shares: a caller holds its share of the bytes, and others the rest', () => {
  const budget = new ByteBudget(100, 'too_many_bodies', 50);
  const [ann, bob] = [budget.of('ann'), budget.of('bob')];
  ann.take(80);
  assert.throws(() => ann.take(1), /Your share of the memory/, 'A caller that holds nothing may take what is free.');
  bob.take(20);
  assert.throws(() => bob.take(1), /The memory/);
  ann.release(80);
  bob.take(10);
  assert.throws(() => bob.take(30), /Your share of the memory/);
  ann.take(35);
  bob.release(30);
  ann.release(35);
  ann.take(100);
  assert.throws(() => bob.take(1), /The memory/);
});
