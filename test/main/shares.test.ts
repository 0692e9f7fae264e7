// How bounded resources are divided between callers: each mechanism alone, on a clock that the test sets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitConnections } from '../../src/main/connections.ts';
import { Queue } from '../../src/main/queue.ts';
import { QueueShares } from '../../src/main/queue-shares.ts';
import { callerOf, Shares } from '../../src/main/shares.ts';

/** Takes for a caller until it is refused, and returns how often it was not. */
function takeAll(shares: Shares, caller: string): number {
  let count = 0;
  while (shares.tryTake(caller)) count += 1;
  return count;
}

test('shares: one caller gets half, and there is always something left for the next', () => {
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

test('shares: what is given back can be taken again', () => {
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

/** A queue with its shares; admits as the service does. */
function createQueue(maxQueue: number) {
  const clock = { now: 0 };
  const queue = new Queue(maxQueue, Infinity);
  const shares = new QueueShares(queue, 50, () => clock.now);
  const admit = (caller: string, count = 1): boolean => {
    if (!shares.mayTake(caller) || !queue.admit(count, count)) return false;
    shares.taken(caller, count);
    return true;
  };
  return { clock, queue, admit };
}

test('queue shares: a caller without competitors fills the queue', () => {
  const { admit, queue } = createQueue(50);
  for (let n = 0; n < 50; n += 1) assert.equal(admit('A'), true);
  assert.equal(admit('A'), false);
  assert.equal(queue.room, 0);
});

test('queue shares: when another caller asks, the one that filled the queue keeps to its share', () => {
  const { admit, queue } = createQueue(50);
  assert.equal(admit('A', 50), true);
  assert.equal(admit('B'), false);
  queue.release(20, 20, true);
  assert.equal(admit('A'), false);
  assert.equal(admit('B'), true);
  queue.release(10, 10, true);
  assert.equal(admit('A'), true, 'A holds 20 of 50, and 29 are free');
});

test('queue shares: transfers become final in about the order of their admission', () => {
  const { admit, queue } = createQueue(10);
  assert.equal(admit('A', 4), true);
  assert.equal(admit('B', 3), true);
  queue.release(4, 4, true);
  assert.equal(admit('A', 3), true, 'all that is left is that of B');
  assert.equal(admit('B'), true, 'B holds 3, and 4 are free');
  assert.equal(admit('B'), false, 'B holds 4, and 3 are free');
});

test('queue shares: a competitor that has not asked for a while does not count', () => {
  const { admit, clock } = createQueue(10);
  assert.equal(admit('B'), true);
  assert.equal(admit('A', 6), true);
  assert.equal(admit('A'), false);
  clock.now = 10_000;
  assert.equal(admit('A'), true);
});

test('connections: the limit of open files leaves room for the database, the threads and the reserve', () => {
  const needs = { threads: 10, databaseConnections: 29 };
  assert.deepEqual(fitConnections(10_000, { filesMax: Infinity, ...needs }), { connectionsMax: 10_000, reserve: 64 });
  assert.deepEqual(fitConnections(100, { filesMax: 1024, ...needs }), { connectionsMax: 100, reserve: 64 });
  const { connectionsMax, reserve } = fitConnections(10_000, { filesMax: 200, ...needs });
  assert.ok(connectionsMax >= 40 && reserve >= 20 && connectionsMax + reserve + 29 + 10 * 6 < 200);
  assert.deepEqual(fitConnections(10_000, { filesMax: 50, ...needs }), { connectionsMax: 1, reserve: 1 });
});
