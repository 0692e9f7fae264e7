// Goal: a job is run whatever becomes of threads, and there is always one to spare. No database: a job without
// transfers needs none.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { READING_TIMEOUTS } from '../../src/db/connect.ts';
import type { JobReport } from '../../src/domain/job.ts';
import { createThreadPool, type ThreadPool } from '../../src/main/pool.ts';
import { until } from '../support/until.ts';

const NOWHERE = { host: '127.0.0.1', port: 1, user: 'nobody', database: 'none' };
const NOTHING = { transferIds: [], accountNumbers: [], parentIds: [], giveUp: false, dryRun: null };

/** A pool of which every thread that is made is given to `onThread`. */
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

/** Runs a job again for as long as its thread dies, as settlement does. */
async function runAgain(pool: ThreadPool): Promise<JobReport> {
  return await pool.run(NOTHING).catch(async () => await runAgain(pool));
}

test('pool: one works and one is to spare, also after several died while they loaded', async (t) => {
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
  test(`pool: of ${threads}, a job is run though one thread after the other dies while it loads`, async (t) => {
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
