// The turns of callers before a pool of connections, without a pool.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DatabaseError } from 'pg-protocol';
import { createPool, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { Problem } from '../../src/main/http/problem.ts';
import { Reads } from '../../src/main/api/reads.ts';

/** Never connects: nothing here asks it. */
const pool = createPool({ connectionString: 'postgres://127.0.0.1:1/none' }, READING_TIMEOUTS, 1);

const codeOf = (code: string) => (error: unknown) => error instanceof Problem && error.code === code;

test('reads: callers take turns, even if one of them floods', async () => {
  const reads = new Reads({ pool, runningMax: 1, waitTimeoutMs: 60_000, advice: null });
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = reads.run('A', async () => await gate.promise);
  const run = async (name: string) =>
    await reads.run(name.charAt(0), async () => {
      order.push(name);
    });
  const others = ['A1', 'A2', 'A3', 'B1', 'B2', 'C1'].map(run);
  gate.resolve();
  await Promise.all([first, ...others]);
  assert.deepEqual(order, ['A1', 'B1', 'C1', 'A2', 'B2', 'A3']);
});

test('reads: as many run at once as there are connections, also after failures', async () => {
  const reads = new Reads({ pool, runningMax: 2, waitTimeoutMs: 60_000, advice: null });
  let running = 0;
  let most = 0;
  const work = async (fails: boolean) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise(setImmediate);
    running -= 1;
    if (fails) throw new RangeError('planned');
  };
  const ended = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => reads.run('A', () => work(n % 3 === 0))));
  assert.equal(ended.filter(({ status }) => status === 'rejected').length, 7);
  assert.equal(most, 2);
});

test('reads: a request that waits too long is refused, and the others are not', async () => {
  const reads = new Reads({ pool, runningMax: 1, waitTimeoutMs: 20, advice: null });
  const gate = Promise.withResolvers<void>();
  const first = reads.run('A', async () => await gate.promise);
  await assert.rejects(
    reads.run('B', async () => {}),
    codeOf('too_busy'),
  );
  gate.resolve();
  await first;
  assert.equal(await reads.run('C', async () => 'done'), 'done');
});

test('reads: a statement that the server cancels is reported as too slow', async () => {
  const reads = new Reads({ pool, runningMax: 1, waitTimeoutMs: 20, advice: 'Ask for less.' });
  const canceled = Object.assign(new DatabaseError('canceling statement', 0, 'error'), {
    code: '57014',
    severity: 'ERROR',
  });
  await assert.rejects(
    reads.run('A', async () => {
      throw canceled;
    }),
    codeOf('query_too_slow'),
  );
});
