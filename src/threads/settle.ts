// What runs in each of the threads: one transaction per job, on a connection of the thread's own. It never throws: it
// returns a report, because an error would lose its code on the way to the main process.
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import { connect, type Connection, type DatabaseSettings, type DatabaseTimeouts, disconnect } from '../db/connect.ts';
import { constraintOf, isFaultOfTheData, retryAfter, sqlStateOf, toError } from '../db/errors.ts';
import { type LockedJob, type LockedOrder, lockJob } from '../db/locked-job.ts';
import { removeSettledTwins, StaleDecisionError, writeJob } from '../db/settlement.ts';
import { Transaction } from '../db/transaction.ts';
import { type Decision, decide } from '../domain/decide.ts';
import type { Job, JobReport } from '../domain/job.ts';
import { renderRecord } from '../domain/record.ts';
import type { Outcome } from '../domain/transfer.ts';

/** What the main process hands to each thread at its start. */
export type ThreadSettings = { readonly database: DatabaseSettings; readonly timeouts: DatabaseTimeouts };

const ATTEMPTS_MAX = 5;
const BACK_OFF_MS = 10;

// piscina hands its own values in front of the pool's.
const settings: ThreadSettings = Array.isArray(workerData) ? workerData.at(-1) : workerData;
let connection: Connection | undefined;

/** Settles one job. */
export default async function settleJob(job: Job): Promise<JobReport> {
  if (job.transferIds.length === 0) return everythingGone(job, 0);
  for (let attempt = 1; ; attempt += 1) {
    let isConnected = false;
    try {
      connection ??= await openConnection();
      isConnected = true;
      return await attemptJob(connection, job, attempt);
    } catch (error) {
      const isStale = error instanceof StaleDecisionError;
      if (isStale && attempt === 1) continue;
      const failure = { reason: toError(error).message, sqlState: sqlStateOf(error) };
      if (connection && isFaultOfTheData(error)) {
        if (await settledBefore(connection, job, error)) continue;
        return { result: 'broken', ...failure };
      }
      if (!isStale && retryAfter(error) !== 'same connection') await dropConnection();
      // While the database refuses connections, other callers wait for this job to end: the main process tries again.
      if (!isConnected || attempt >= ATTEMPTS_MAX) return { result: 'unavailable', ...failure };
      // Jittered, so that two jobs that collided do not collide again.
      await sleep(BACK_OFF_MS * 2 ** attempt * (0.5 + Math.random()));
    }
  }
}

async function attemptJob(connection: Connection, job: Job, attempts: number): Promise<JobReport> {
  const transaction = await Transaction.begin(connection);
  let committed = false;
  try {
    const report = await settleIn(transaction, job, attempts);
    committed = job.dryRun === null && report.journalNumber !== null;
    return report;
  } finally {
    // A connection whose transaction may still be open must not begin another one.
    if (!committed && !(await transaction.rollback())) await dropConnection();
  }
}

async function settleIn(
  transaction: Transaction,
  job: Job,
  attempts: number,
): Promise<Extract<JobReport, { result: 'settled' }>> {
  const locked = await lockJob(transaction, job);
  if (locked.orders.length === 0) return everythingGone(job, attempts);
  const orders = locked.orders.map(({ order }) => order);
  const { outcomes, changed } = job.giveUp ? giveUp(locked) : decide(orders, locked.books);
  if (outcomes.length !== orders.length) throw new TypeError('A decision has an outcome for each order.');
  const journal = await writeJob(transaction, locked, {
    outcomes,
    changed,
    digest: () => digestOf(locked.orders, outcomes),
    dryRun: job.dryRun !== null,
  });
  const outcomeById = new Map(orders.map(({ id }, index) => [id, outcomes[index]]));
  const ended = job.transferIds.map((id) => outcomeById.get(id));
  return {
    result: 'settled',
    endings: ended.map((outcome) => (outcome === undefined ? 'gone' : outcome.ok ? null : outcome.code)),
    currencies: ended.map((outcome) => outcome?.currency ?? null),
    amounts: ended.map((outcome) => outcome?.amount ?? null),
    journalNumber: journal.number,
    settledAt: journal.settledAt,
    accountCount: changed.accounts.length,
    attempts,
  };
}

/** The SHA-256 of the records of a job, which the journal keeps. */
function digestOf(orders: readonly LockedOrder[], outcomes: readonly Outcome[]): Buffer {
  const hash = createHash('sha256');
  for (const [index, { order, details }] of orders.entries()) {
    const outcome = outcomes[index];
    if (outcome) hash.update(renderRecord(order, details, outcome));
  }
  return hash.digest();
}

function giveUp(locked: LockedJob): Decision {
  const outcomes = locked.orders.map(({ order }) => ({
    ok: false as const,
    code: 'cannot_be_settled' as const,
    currency: order.currency,
    amount: order.amount,
  }));
  return { outcomes, changed: { accounts: [], holds: [], originals: [] } };
}

function everythingGone(job: Job, attempts: number): Extract<JobReport, { result: 'settled' }> {
  return {
    result: 'settled',
    endings: job.transferIds.map(() => 'gone'),
    currencies: job.transferIds.map(() => null),
    amounts: job.transferIds.map(() => null),
    journalNumber: null,
    settledAt: null,
    accountCount: 0,
    attempts,
  };
}

/** Whether a job failed because some of its transfers are already settled. Their second copies are then removed. */
async function settledBefore(connection: Connection, job: Job, error: unknown): Promise<boolean> {
  if (constraintOf(error) !== 'transfers_pkey') return false;
  return await removeSettledTwins(connection, job.transferIds).catch(() => false);
}

async function openConnection(): Promise<Connection> {
  return await connect(settings.database, settings.timeouts, {
    applicationName: 'gopherpay thread',
    pipeline: true,
    keyed: true,
  });
}

async function dropConnection(): Promise<void> {
  const broken = connection;
  connection = undefined;
  if (broken) await disconnect(broken);
}
