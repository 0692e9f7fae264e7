// The threads that settle, as the service runs them, on a database of the test.
import { randomUUIDv7 } from 'node:crypto';
import { connect, type DatabaseTimeouts, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { insertPending, type StoredRequest } from '../../src/db/ledger/intake.ts';
import { enterLedger, openLease, type PendingTransfer } from '../../src/db/ledger/leases.ts';
import type { Job, JobReport, SettledJob } from '../../src/domain/job.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { BY_SERVICE, type NewTransfer } from '../../src/domain/transfer.ts';
import { createThreadPool } from '../../src/main/engine/pool.ts';
import { toJob, toWaitingUnit, type Unit } from '../../src/main/engine/unit.ts';
import { onEnd, type Scope } from './cleanup.ts';
import type { TestDatabase } from './database.ts';

export type Threads = {
  run: (
    units: readonly Unit[],
    options?: Partial<Pick<Job, 'mode' | 'mayBeSettled' | 'storedAgoMs'>>,
  ) => Promise<SettledJob>;
  /** The same for reports of any kind. */
  report: (job: Job) => Promise<JobReport>;
};

/** Starts threads; they end when the scope does. `port`: of a proxy before the database. `url`: names several hosts. */
export function startThreads(
  scope: Scope,
  { settings }: TestDatabase,
  options: { threads?: number; port?: number; url?: string; timeouts?: Partial<DatabaseTimeouts> } = {},
): Threads {
  const { threads = 1, port, url, timeouts } = options;
  const reached = port === undefined ? settings : { ...settings, host: '127.0.0.1', port };
  const pool = createThreadPool({
    threads,
    maxQueue: 100,
    database: url === undefined ? reached : { connectionString: url },
    timeouts: { ...READING_TIMEOUTS, ...timeouts },
    onError() {},
  });
  onEnd(scope, async () => await pool.destroy());
  return {
    report: async (job) => await pool.run(job),
    async run(units, jobOptions = {}) {
      const report = await pool.run(
        toJob(units, { mode: 'settle', mayBeSettled: false, retryMs: Infinity, ...jobOptions }),
      );
      if (report.result !== 'settled') throw new Error(`The job is ${report.result}: ${report.reason}`);
      return report;
    },
  };
}

/** A request with a key of its own; it is made from the name. */
export function keyed(key: string, transfers: readonly NewTransfer[], accounts: Unit['accounts'] = []): Unit {
  return toWaitingUnit(
    MAIN_LEDGER,
    transfers,
    { key, fingerprint: Buffer.alloc(32, key) },
    { accounts, by: BY_SERVICE },
  );
}

/** A request without a key. */
export function unkeyed(transfers: readonly NewTransfer[], accounts: Unit['accounts'] = []): Unit {
  return toWaitingUnit(MAIN_LEDGER, transfers, null, { accounts, by: BY_SERVICE });
}

/** Stores requests in the intake log under a new lease. */
export async function storePending(
  { settings }: TestDatabase,
  requests: readonly StoredRequest[],
): Promise<PendingTransfer[]> {
  const connection = await connect(settings, READING_TIMEOUTS, { applicationName: 'test' });
  try {
    const lease = await openLease(connection, randomUUIDv7());
    await enterLedger(connection, MAIN_LEDGER, lease);
    const { createdAtMicros } = await insertPending(connection, { ledger: MAIN_LEDGER, lease }, requests);
    return requests.flatMap(({ transfers }) =>
      transfers.map((transfer) => ({
        ledger: MAIN_LEDGER,
        transfer,
        storedAtMicros: createdAtMicros,
        adoptions: 0,
        loneDeaths: 0,
      })),
    );
  } finally {
    await disconnect(connection);
  }
}
