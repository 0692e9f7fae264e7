// How transfers are gathered into jobs and what becomes of a job that fails, with threads that the test plays itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QueuedTransfer, Ending, Job, JobReport } from '../../src/domain/job.ts';
import { createLogger } from '../../src/logger.ts';
import { createMetrics } from '../../src/main/metrics.ts';
import { Queue } from '../../src/main/queue.ts';
import { Settlement } from '../../src/main/settlement.ts';

test('settlement: a job is what has gathered, up to its size, and tears no atomic group apart', async () => {
  const { settlement, jobs, end } = await start({ jobSizeMax: 4 });
  settlement.push([order('first')]);
  const orders = [order('a'), order('b'), ...group('g', 3), ...group('h', 6), order('c'), order('d')];
  settlement.push(orders);
  await endAll(orders, { settlement, jobs, end });
  assert.deepEqual(
    jobs.map(({ transferIds }) => transferIds),
    [['first'], ['a', 'b'], ['g0', 'g1', 'g2'], ['h0', 'h1', 'h2', 'h3', 'h4', 'h5'], ['c', 'd']],
  );
});

test('settlement: a broken job is halved until the culprit is alone, and then given up; a group as a whole', async () => {
  const { settlement, jobs, end } = await start({ jobSizeMax: 100 });
  const orders = [order('a'), order('b'), ...group('g', 3), order('c')];
  settlement.push(orders);
  await endAll(orders, { settlement, jobs, end }, ({ transferIds, giveUp }) =>
    transferIds.includes('g1') && !giveUp ? { result: 'broken', reason: 'g1', sqlState: null } : null,
  );
  const runs = jobs.map(({ transferIds, giveUp }) => `${transferIds.join()}${giveUp ? ' given up' : ''}`);
  assert.deepEqual(runs, ['a,b,g0,g1,g2,c', 'a,b', 'g0,g1,g2,c', 'g0,g1,g2', 'c', 'g0,g1,g2 given up']);
});

test('settlement: who waits for several is told when all have ended, and how each did', async () => {
  const { settlement, jobs, end } = await start({ jobSizeMax: 1 });
  settlement.push([order('a'), order('b'), order('c')]);
  const all = settlement.waitFor(['a', 'b', 'unknown'], 60_000);
  const one = settlement.waitFor(['b'], 60_000);
  const late = settlement.waitFor(['a', 'c'], 60_000);
  end(settled(jobs[0], 'insufficient_funds'));
  await turn();
  assert.equal(await Promise.race([all, Promise.resolve('not yet')]), 'not yet');
  end(settled(jobs[1], null));
  const endings = (finals: Awaited<typeof all>) => finals.map((final) => final?.ending);
  assert.deepEqual(endings(await all), ['insufficient_funds', null, undefined]);
  assert.deepEqual(endings(await one), [null]);
  await turn();
  end(settled(jobs[2], null));
  assert.deepEqual(endings(await late), ['insufficient_funds', null]);
});

test('settlement: who has waited long enough is told which have ended', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { settlement, jobs, end } = await start({ jobSizeMax: 1 });
  settlement.push([order('a'), order('b')]);
  const waited = settlement.waitFor(['a', 'b'], 1000);
  end(settled(jobs[0], null));
  await turn();
  t.mock.timers.tick(1000);
  assert.deepEqual(
    (await waited).map((final) => final?.ending),
    [null, undefined],
  );
});

test('settlement: a job that kills its thread is halved, and a transfer that kills three threads alone is failed', async () => {
  const { settlement, jobs, end, die } = await start({ jobSizeMax: 100 });
  const transfers = [order('a'), order('b'), order('c')];
  settlement.push(transfers);
  for (let index = 0; transfers.some(({ id }) => settlement.has(id)); index += 1) {
    const job = jobs[index];
    assert.ok(job, 'a job runs as long as something is on its way');
    if (job.transferIds.includes('b') && !job.giveUp) die(new Error('worker exited with code: 1'));
    else end(settled(job, null));
    await turn();
  }
  const runs = jobs.map(({ transferIds, giveUp }) => `${transferIds.join()}${giveUp ? ' given up' : ''}`);
  assert.deepEqual(runs, ['a,b,c', 'a,b', 'c', 'a', 'b', 'b', 'b', 'b given up']);
});

test('settlement: the end of the pool is no death, and nothing runs after stop', async () => {
  const { settlement, jobs, die } = await start({ jobSizeMax: 1 });
  settlement.push([order('a'), order('b')]);
  settlement.stop();
  die(new Error('Terminating worker thread'));
  await turn();
  assert.deepEqual(
    jobs.map(({ transferIds }) => transferIds),
    [['a']],
  );
  assert.deepEqual([settlement.has('a'), settlement.has('b')], [true, true]);
});

test('settlement: what processes died with runs in jobs of its own, the smaller the more often', async () => {
  const { settlement, jobs, end } = await start({ jobSizeMax: 64 });
  const adopted = (adoptions: number, count: number) =>
    Array.from({ length: count }, (_, index) => ({ ...order(`${adoptions}-${index}`), adoptions }));
  const transfers = [...adopted(1, 20), ...adopted(3, 2), ...adopted(11, 2), ...adopted(16, 2)];
  settlement.push(transfers);
  await endAll(transfers, { settlement, jobs, end });
  const runs = jobs.map(({ transferIds, giveUp }) => `${transferIds.length}${giveUp ? ' given up' : ''}`);
  assert.deepEqual(runs, ['16', '4', '1', '1', '1', '1', '1 given up', '1 given up']);
});

/** Settlement with one thread, which runs a job until `end` is called with its report. */
async function start({ jobSizeMax }: { jobSizeMax: number }) {
  const { logger } = await createLogger('silent');
  const queue = new Queue(1000, 1e9);
  queue.admit(1000, 1000);
  const jobs: Job[] = [];
  let end: (report: JobReport) => void = () => {};
  let die: (error: Error) => void = () => {};
  const settlement = new Settlement({
    pool: {
      async run(job) {
        jobs.push(job);
        return await new Promise((resolve, reject) => {
          end = resolve;
          die = reject;
        });
      },
      destroy: async () => {},
    },
    queue,
    metrics: createMetrics(queue),
    logger,
    threads: 1,
    jobSizeMax,
    onJournal() {},
  });
  return { settlement, jobs, end: (report: JobReport) => end(report), die: (error: Error) => die(error) };
}

/** Ends each job as `reportOf` says, or settled, until none of the orders is on its way. */
async function endAll(
  orders: readonly QueuedTransfer[],
  { settlement, jobs, end }: Pick<Awaited<ReturnType<typeof start>>, 'settlement' | 'jobs' | 'end'>,
  reportOf: (job: Job) => JobReport | null = () => null,
): Promise<void> {
  for (let index = 0; orders.some(({ id }) => settlement.has(id)); index += 1) {
    const job = jobs[index];
    assert.ok(job, 'a job runs as long as something is on its way');
    end(reportOf(job) ?? settled(job, null));
    await turn();
  }
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

function settled(job: Job | undefined, ending: Ending): JobReport {
  const each = <Value>(value: Value) => Array.from(job?.transferIds ?? [], () => value);
  return {
    result: 'settled',
    endings: each(ending),
    currencies: each('USD'),
    amounts: each(1n),
    journalNumber: 1n,
    settledAt: '2026-01-01T00:00:00.000000Z',
    accountCount: 2,
    attempts: 1,
  };
}

function order(id: string, atomicGroupId: string | null = null): QueuedTransfer {
  return { id, requestId: id, fromAccount: 'A', toAccount: 'B', parentId: null, atomicGroupId, adoptions: 0, bytes: 1 };
}

function group(name: string, size: number): QueuedTransfer[] {
  return Array.from({ length: size }, (_, index) => order(`${name}${index}`, name));
}
