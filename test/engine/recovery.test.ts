// What recovery takes from the database, and how much of it, while locks delay its jobs. The test simulates the
// threads: a job that it does not end waits for a lock.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createPool, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import type { Job, JobReport } from '../../src/domain/job.ts';
import { AdmissionShares } from '../../src/main/engine/admission-shares.ts';
import { Courier } from '../../src/main/engine/courier.ts';
import { Intake } from '../../src/main/engine/intake.ts';
import { Lease } from '../../src/main/engine/lease.ts';
import { startRecovery } from '../../src/main/engine/recovery.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { startDispatcher } from '../support/fake-pool.ts';
import { until } from '../support/until.ts';

const BROKEN: JobReport = { result: 'poisoned', reason: 'culprit', sqlState: '22P02' };
/** As many as recovery takes at once. */
const PAGE = 1000;

/** Recovery on a database, with threads that the test simulates. */
async function startOn(t: TestContext, database: TestDatabase) {
  const started = await startDispatcher({ threads: 8, jobSizeMax: PAGE });
  const { dispatcher, admission, metrics, logger } = started;
  const timeouts = READING_TIMEOUTS;
  const [heartPool, pool] = [createPool(database.settings, timeouts, 1), createPool(database.settings, timeouts, 1)];
  const lease = new Lease();
  await lease.open(pool);
  const intake = new Intake({
    database: database.settings,
    timeouts,
    lease,
    metrics,
    logger,
    orphanedAfterMs: 60_000,
    onSuspicion() {},
  });
  const ledgerShares = new AdmissionShares(admission, 100);
  const courier = new Courier({ roundPool: pool, pool, admission, ledgerShares, dispatcher, logger });
  const recovery = startRecovery({
    heartPool,
    pool,
    lease,
    intake,
    admission,
    ledgerShares,
    dispatcher,
    courier,
    logger,
    tracer: null,
    heartbeatMs: 50,
    orphanedAfterMs: 60_000,
  });
  onEnd(t, async () => {
    dispatcher.stop();
    await recovery.stop();
    await Promise.all([heartPool.end(), pool.end()]);
  });
  return started;
}

type Started = Awaited<ReturnType<typeof startOn>>;

/** Ends each job for which `reportOf` gives a report: null settles it, and undefined leaves it waiting. */
async function endJobs({ pool }: Started, reportOf: (job: Job) => JobReport | null | undefined): Promise<void> {
  const jobs = pool.running.map(({ job }) => job);
  for (const job of jobs) {
    const report = reportOf(job);
    const index = pool.running.findIndex((running) => running.job === job);
    if (report === undefined || index === -1) continue;
    // FakePool ends the first.
    pool.running.unshift(...pool.running.splice(index, 1));
    await pool.end(report ?? undefined);
  }
}

/** Holds of 1 that are due, each from an account of this name and a number; the longest due come first. */
async function addDueHolds(database: TestDatabase, account: string, count: number, ageMinutes: number): Promise<void> {
  await database.query(
    `insert into holds (ledger_id, id, amount, created_at, expires_at, from_account, to_account, currency)
     select 1, gen_random_uuid(), 1, now() - interval '1 day', now() - $3::integer * interval '1 minute', $1 || n, $1 || 'TO', 'USD'
     from generate_series(1, $2::integer) as n`,
    [account, count, ageMinutes],
  );
}

/** Transfers of a ledger that a stopped process left pending. */
async function addOrphans(database: TestDatabase, ledgerId: number, count: number): Promise<void> {
  await database.query(
    `with lease as (
       insert into leases (id, closed) values (gen_random_uuid(), true) returning id
     )
     insert into pending_transfers (ledger_id, id, lease_id, amount, from_account, to_account)
     select $1::integer, gen_random_uuid(), lease.id, 1, 'ANN', 'BOB'
     from lease
     cross join generate_series(1, $2::integer)`,
    [ledgerId, count],
  );
}

test('recovery: due holds that wait for a lock do not delay due holds of other accounts', async (t) => {
  const database = await createDatabase(t);
  await addDueHolds(database, 'LOCKED', PAGE, 2);
  await addDueHolds(database, 'FREE', 3, 1);
  const started = await startOn(t, database);
  let ended = 0;
  await until(
    async () => {
      await endJobs(started, ({ transfers }) => {
        if (transfers.toAccount.includes('LOCKEDTO')) return undefined;
        ended += transfers.id.length;
        return null;
      });
      return ended === 3;
    },
    { what: 'the other holds to end' },
  );
  assert.ok(started.pool.jobs.some(({ transfers }) => transfers.toAccount.includes('LOCKEDTO')));
});

test('recovery: due holds whose expiry fails are retried later, after the holds behind them', async (t) => {
  const database = await createDatabase(t);
  for (let n = 0; n < 10; n += 1) await addDueHolds(database, `BROKEN${n}-`, PAGE / 5, 2);
  await addDueHolds(database, 'FREE', 3, 1);
  const started = await startOn(t, database);
  let ended = 0;
  await until(
    async () => {
      await started.pool.endAll(({ transfers }) => {
        if (transfers.toAccount.some((account) => account.startsWith('BROKEN'))) return BROKEN;
        ended += transfers.id.length;
        return null;
      });
      return ended >= 3;
    },
    { what: 'the other holds to end' },
  );
});

test('recovery: a ledger that waits for a lock adopts four pages of a lease, and other ledgers adopt all', async (t) => {
  const database = await createDatabase(t);
  await database.query(`insert into ledgers (id, name) values (2, 'other')`);
  await database.query('insert into journal_head (ledger_id) values (2)');
  await addOrphans(database, 1, 6 * PAGE);
  const started = await startOn(t, database);
  const isAdopted = (count: number) => () => started.admission.size >= count;
  await until(isAdopted(4 * PAGE), { timeoutMs: 30_000, what: 'four pages' });
  await addOrphans(database, 2, 3);
  await addOrphans(database, 1, 3);
  await until(isAdopted(4 * PAGE + 6), { what: 'the transfers of another ledger, and of another lease' });
  assert.equal(started.admission.size, 4 * PAGE + 6);
  await until(
    async () => {
      await endJobs(started, () => null);
      const settled = started.pool.jobs.reduce((sum, { transfers }) => sum + transfers.id.length, 0);
      return settled === 6 * PAGE + 6 && started.admission.size === 0;
    },
    { timeoutMs: 30_000, what: 'the rest to be adopted and settled' },
  );
});
