// The rest of a ledger after a job, in which transfers gather whose callers do not wait.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { turn } from '../support/fake-pool.ts';
import { idsOf, named, OTHER_LEDGER, runsOf, start, stored, UNAVAILABLE, waiting } from './units.ts';

const REST_MS = 20;

/** A dispatcher whose ledger `main` rests after a job with the transfer `first`. */
async function startRest(t: TestContext, options: Parameters<typeof start>[0] = {}) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const started = await start({ threads: 4, jobSizeMax: 1000, restAfter: () => REST_MS, ...options });
  started.push(stored(['first']));
  await turn();
  await started.pool.end();
  return started;
}

const many = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${prefix}${n}`);

test('dispatcher: stored transfers that come after a job share the next one, which begins after a rest', async (t) => {
  const { push, pool, dispatcher } = await startRest(t);
  push(stored(['a']));
  t.mock.timers.tick(REST_MS - 1);
  push(stored(['b']));
  assert.equal(pool.running.length, 0);
  assert.ok(dispatcher.has(named('a')));
  t.mock.timers.tick(1);
  await pool.endAll();
  assert.deepEqual(runsOf(pool.jobs), ['first', 'a,b']);
  // The rest after that job ends without a transfer. A later one begins its job at once.
  t.mock.timers.tick(REST_MS);
  push(stored(['c']));
  assert.deepEqual(runsOf(pool.jobs), ['first', 'a,b', 'c']);
});

test('dispatcher: a rest ends when a caller waits for a transfer', async (t) => {
  const { push, submit, pool } = await startRest(t);
  push(stored(['a']));
  assert.equal(pool.running.length, 0);
  submit(waiting(['b']));
  assert.deepEqual(runsOf(pool.jobs), ['first', 'a,b']);
});

test('dispatcher: a rest goes on when the caller that waited is withdrawn', async (t) => {
  const { push, submit, dispatcher, admission, pool } = await startRest(t, { schedule: setImmediate });
  push(stored(['a']));
  const unit = submit(waiting(['b']));
  assert.ok(dispatcher.withdraw(unit));
  admission.release(unit.size, unit.bytes);
  await turn();
  assert.equal(pool.running.length, 0);
  t.mock.timers.tick(REST_MS);
  assert.deepEqual(runsOf(pool.jobs), ['first', 'a']);
});

test('dispatcher: a rest ends when 256 transfers wait', async (t) => {
  const { push, pool } = await startRest(t);
  push(stored(many('a', 255)));
  assert.equal(pool.running.length, 0);
  push(stored(['last']));
  assert.equal(pool.first.job.transfers.id.length, 256);
});

test('dispatcher: a rest ends when a quarter of the queue is taken', async (t) => {
  const { push, pool } = await startRest(t, { maxQueue: 40 });
  push(stored(many('a', 10)));
  assert.equal(pool.running.length, 0);
  push(stored(['last']));
  assert.equal(pool.first.job.transfers.id.length, 11);
});

test('dispatcher: a rest ends when the queue fills by bytes', async (t) => {
  const [one] = stored(['one']);
  const { push, pool } = await startRest(t, { bytesMax: (one?.bytes ?? 0) * 40 });
  push(stored(many('a', 10)));
  assert.equal(pool.running.length, 0);
  push(stored(['last']));
  assert.equal(pool.first.job.transfers.id.length, 11);
});

test('dispatcher: another ledger does not rest', async (t) => {
  const { push, pool } = await startRest(t);
  push(stored(['a']));
  push(stored(['b'], { ledger: OTHER_LEDGER }));
  assert.deepEqual(
    pool.running.map(({ job }) => [job.ledger, idsOf(job)]),
    [[OTHER_LEDGER, 'b']],
  );
});

test('dispatcher: a ledger does not rest after a job that did not settle', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { push, pool } = await start({ restAfter: () => 60_000 });
  push(stored(['a', 'b']));
  await pool.end(UNAVAILABLE);
  t.mock.timers.tick(5000);
  assert.deepEqual(runsOf(pool.jobs), ['a,b', 'a,b']);
});
