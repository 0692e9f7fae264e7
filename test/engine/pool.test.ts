// Goal: a job runs although threads die, and one spare thread is always ready. No database: a job without units needs
// none.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import type { JobReport } from '../../src/domain/job.ts';
import { createThreadPool, type ThreadPool } from '../../src/main/engine/pool.ts';
import { newJob } from '../support/jobs.ts';
import { until } from '../support/until.ts';

const NOWHERE = { host: '127.0.0.1', port: 1, user: 'test', database: 'none' };

/** Opens a pool, and hands each thread that it makes to `onThread`. */
function openPool(t: TestContext, threads: number, onThread: (thread: Worker) => void): ThreadPool {
  process.on('worker', onThread);
  const pool = createThreadPool({
    threads,
    maxQueue: 10,
    database: NOWHERE,
    timeouts: READING_TIMEOUTS,
    onError() {},
  });
  t.after(async () => {
    await pool.destroy();
    process.off('worker', onThread);
  });
  return pool;
}

/** Runs a job again for as long as its thread dies, as the dispatcher does. */
async function runAgain(pool: ThreadPool): Promise<JobReport> {
  return await pool.run(newJob()).catch(async () => await runAgain(pool));
}

test('pool: two threads are alive after several died during loading', async (t) => {
  const alive = new Set<Worker>();
  let killed = 0;
  openPool(t, 10, (thread) => {
    alive.add(thread);
    thread.once('exit', () => alive.delete(thread));
    if (killed === 6) return;
    killed += 1;
    void thread.terminate();
  });
  await until(() => killed === 6 && alive.size >= 2, { what: 'two threads' });
});

for (const threads of [1, 4]) {
  test(`pool: a job runs although one of ${threads} threads after the other dies while it loads`, async (t) => {
    let killed = 0;
    const pool = openPool(t, threads, (thread) => {
      if (killed === 8) return;
      killed += 1;
      void thread.terminate();
    });
    const report = await runAgain(pool);
    assert.equal(report.result, 'settled');
    await until(() => killed === 8, { what: 'eight threads to have died' });
    assert.equal((await runAgain(pool)).result, 'settled');
  });
}
