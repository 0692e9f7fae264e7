// The code of each thread: one transaction per job, on a connection of the thread's own. It never throws: it
// returns a report, because an error would lose its code on the way to the main process.
import { createHash, hash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import {
  connect,
  type Connection,
  type DatabaseSettings,
  type DatabaseTimeouts,
  disconnect,
  type Queryable,
} from '../db/connection/connect.ts';
import {
  constraintOf,
  isFaultOfTheData,
  retryPolicyOf,
  sqlStateOf,
  toError,
  troubleOf,
} from '../db/connection/errors.ts';
import { type LockedJob, lockJob } from '../db/ledger/locked-job.ts';
import type { Opened } from '../db/ledger/decided-job.ts';
import { type JournalRow, StaleDecisionError, writeJob } from '../db/ledger/settlement.ts';
import { BeginFailedError, CommitUnknownError, type Transaction } from '../db/connection/transaction.ts';
import { timed } from '../db/connection/timed.ts';
import { renderColumns } from '../db/queries/transfer-columns.ts';
import type { Account, NewAccount } from '../domain/account.ts';
import { type Decision, decide } from '../domain/decide.ts';
import {
  type Claim,
  fromColumns,
  type Job,
  type JobReport,
  type LockedTransfer,
  selectColumns,
  type SettledJob,
  type Timing,
  type UnitOutcome,
} from '../domain/job.ts';
import { renderNewAccount, renderOpening, renderRecord } from '../domain/record.ts';
import type { Outcome } from '../domain/transfer.ts';
import { type EncryptedOpening, encryptOpenings, keyOf, type Opening, openingsOf } from './openings.ts';

/** The data that the main process passes to each thread at its start. */
export type ThreadSettings = { readonly database: DatabaseSettings; readonly timeouts: DatabaseTimeouts };

const ATTEMPTS_MAX = 5;
const BACK_OFF_MS = 10;
/** How long a process may go on storing on a former primary, after one of its threads has reached the next one. */
const MOVING_MS = 1000;

/** Constraints that refuse rows written earlier: by another process, or by an attempt whose answer was lost. */
const WRITTEN_BEFORE = new Set(['transfers_pkey', 'idempotency_keys_pkey', 'accounts_pkey', 'accounts_one_currency']);

// piscina puts its own values before those of the pool.
const settings: ThreadSettings = Array.isArray(workerData) ? workerData.at(-1) : workerData;
let connection: Connection | undefined;
let connectedAt = 0;

// As in the main thread: a report of Node has the environment of each thread, and with it secrets. Threads do not inherit
// this.
process.report.excludeEnv = true;

export default async function settleJob(job: Job): Promise<JobReport> {
  if (!job.traced) return await settle(job, null);
  const timings: Timing[] = [];
  return { ...(await settle(job, timings)), timings };
}

/** `timings`: where what the job does is noted; null: nowhere. */
async function settle(job: Job, timings: Timing[] | null): Promise<JobReport> {
  if (job.units.length === 0) return reportNothing(job, null, 0n, { attempts: 0, answerLost: false, lockMs: 0 });
  let { mayBeSettled } = job;
  const startedAt = performance.now();
  let answerLost = false;
  for (let attempt = 1; ; attempt += 1) {
    let isConnected = false;
    try {
      connection ??= await openConnection();
      isConnected = true;
      const looked = { ...job, mayBeSettled: mayBeSettled || mayBeMissing(job) };
      return await attemptJob(connection, looked, { attempts: attempt, answerLost, timings });
    } catch (error) {
      const isStale = error instanceof StaleDecisionError;
      if (isStale && attempt === 1) continue;
      answerLost ||= error instanceof CommitUnknownError;
      mayBeSettled ||= answerLost;
      const failure = { reason: toError(error).message, sqlState: sqlStateOf(error) };
      const isWrittenBefore = WRITTEN_BEFORE.has(constraintOf(error) ?? '');
      if (isFaultOfTheData(error) && !isWrittenBefore) return { result: 'poisoned', ...failure };
      mayBeSettled ||= isWrittenBefore;
      if (isWrittenBefore && attempt < ATTEMPTS_MAX) continue;
      const isOfThisJob = isStale || isWrittenBefore;
      if (!isOfThisJob && retryPolicyOf(error) !== 'same connection') await dropConnection();
      // While the database refuses connections, other callers wait for this job to end. So the main process retries,
      // not the thread.
      const isOver = attempt >= ATTEMPTS_MAX || performance.now() - startedAt >= job.retryMs;
      if (!isConnected) return { result: 'unavailable', ...failure, mayBeSettled, trouble: 'out of reach' };
      const trouble = isOfThisJob ? 'job' : troubleOf(error);
      if (isOver) return { result: 'unavailable', ...failure, mayBeSettled, trouble };
      // Jittered, so that two jobs that collided do not collide again.
      await sleep(BACK_OFF_MS * 2 ** attempt * (0.5 + Math.random()));
    }
  }
}

/** Whether the transfers of a job may have been stored on another server than that of the connection. */
function mayBeMissing({ transfers, storedAgoMs }: Job): boolean {
  return transfers.storedAtMicros !== null && performance.now() - connectedAt < storedAgoMs + MOVING_MS;
}

async function attemptJob(
  connection: Connection,
  job: Job,
  { timings, ...counted }: Omit<Attempt, 'lockMs'> & { timings: Timing[] | null },
): Promise<JobReport> {
  const startedAt = performance.now();
  const locking = lockJob(timings ? noting(connection, timings) : connection, job).catch(async (error: unknown) => {
    if (error instanceof BeginFailedError) await dropConnection();
    throw error;
  });
  // Work that does not need the accounts is done while the server locks them.
  const columns = renderColumns(job.transfers);
  const encrypted = encryptOpenings(job);
  const { transaction, locked } = await locking;
  const attempt = { ...counted, lockMs: performance.now() - startedAt };
  let committed = false;
  try {
    const report = await settleIn(transaction, job, { locked, columns, encrypted, attempt, timings });
    committed = job.mode !== 'dry run' && report.journalNumber !== null;
    return report;
  } finally {
    // A connection whose transaction may still be open must not begin another one.
    if (!committed && !(await transaction.rollback())) await dropConnection();
  }
}

type Attempt = Pick<SettledJob, 'attempts' | 'answerLost' | 'lockMs'>;

async function settleIn(
  transaction: Transaction,
  job: Job,
  {
    locked,
    columns: rendered,
    encrypted,
    attempt,
    timings,
  }: {
    locked: LockedJob;
    columns: readonly (string | null)[];
    encrypted: readonly EncryptedOpening[];
    attempt: Attempt;
    timings: Timing[] | null;
  },
): Promise<SettledJob> {
  const { jobMicros } = locked;
  const decidingAt = performance.now();
  const units = judgeUnits(job, locked, encrypted);
  if (units?.every((outcome) => outcome !== 'settled')) return reportNothing(job, units, jobMicros, attempt);
  const isKept = (unit: number) => units === null || units[unit] === 'settled';
  const unitOf = units && unitOfEach(job.units);
  const kept = unitOf ? selectColumns(job.transfers, (index) => isKept(unitOf[index] ?? -1)) : job.transfers;
  const transfers = fromColumns(kept, jobMicros);
  const openings = openingsOf(job, { locked, transfers, isKept, encrypted });
  const books = {
    ...locked.books,
    accounts: [...locked.books.accounts, ...openings.map(({ account }) => toNewState(account))],
  };
  const { outcomes, changed } = job.mode === 'quarantine' ? quarantine(transfers) : decide(transfers, books);
  timings?.push({
    name: 'decide',
    isStatement: false,
    startedAt: decidingAt,
    endedAt: performance.now(),
    failure: null,
  });
  if (outcomes.length !== transfers.length) throw new TypeError('A decision has an outcome for each transfer.');
  const states = new Map(changed.accounts.map((account) => [keyOf(account), account]));
  const opened = openings.map((opening) => {
    const { account } = opening;
    return {
      ...opening,
      state: states.get(keyOf(account)) ?? toNewState(account),
      seal: hash('sha256', renderNewAccount(account, opening.encrypted, jobMicros)),
    };
  });
  const journal = await writeJob(transaction, {
    ledger: job.ledger,
    jobMicros,
    transfers,
    columns: units ? renderColumns(kept) : rendered,
    storedAtMicros: kept.storedAtMicros,
    outcomes,
    changed,
    opened,
    claims: job.claims.filter(({ unit }) => isKept(unit)),
    digest: () => digestOf(opened, transfers, outcomes),
    ...factsOf(transfers, locked, openings),
    dryRun: job.mode === 'dry run',
  });
  return report(job, { units, unitOf, outcomes, journal, jobMicros, attempt, changed });
}

/**
 * The outcome of each unit, if it is known before the decision: 'settled' ones are decided. Null: all are. A unit is
 * skipped as a whole if it was settled before, if its key is taken, or if it opens an existing account. It then has no
 * effect on the units after it.
 */
function judgeUnits(job: Job, locked: LockedJob, encrypted: readonly EncryptedOpening[]): UnitOutcome[] | null {
  const settled = settledUnits(job, locked);
  const missing = missingUnits(job, locked);
  if (settled.size === 0 && missing.size === 0 && job.claims.length === 0 && encrypted.length === 0) return null;
  const claims = new Map(job.claims.map((claim) => [claim.unit, claim]));
  const openings = Map.groupBy(encrypted, ({ unit }) => unit);
  const claimed = new Set<string>();
  const opened = new Set(locked.books.accounts.map(({ accountNumber }) => accountNumber));
  const outcomes = job.units.map((_, unit): UnitOutcome => {
    if (settled.has(unit)) return 'settled_elsewhere';
    if (missing.has(unit)) return 'missing';
    const claim = claims.get(unit);
    const holder = claim && locked.keyHolders.get(claim.key);
    if (holder) return isOwn(claim, holder) ? 'settled_elsewhere' : 'replayed';
    if (claim && claimed.has(claim.key)) return 'replayed';
    const numbers = (openings.get(unit) ?? []).map(({ account }) => account.accountNumber);
    if (new Set(numbers).size < numbers.length) throw new TypeError('A unit opens an account twice.');
    if (numbers.some((number) => opened.has(number))) return 'account_exists';
    if (claim) claimed.add(claim.key);
    for (const number of numbers) opened.add(number);
    return 'settled';
  });
  return outcomes.every((outcome) => outcome === 'settled') ? null : outcomes;
}

/** Whether a key was claimed by an earlier attempt of the same unit: it names the unit's own transfer or group. */
function isOwn(claim: Claim, holder: { transferId: string | null }): boolean {
  return claim.transferId !== null && claim.accountNumber === null && holder.transferId === claim.transferId;
}

/**
 * The units that were settled before, by their index. One settled transfer proves that its whole unit was settled, with
 * its openings: the transfer's id is in no other request.
 */
function settledUnits({ units, transfers }: Job, locked: LockedJob): Set<number> {
  const settled = new Set<number>();
  const { id: ids, kind, parentId } = transfers;
  if (locked.settledIds.size === 0 && !kind?.includes('expiry')) return settled;
  const due = new Set(
    locked.books.holds.flatMap(({ id, state, due: isDue }) => (state === 'open' && isDue ? [id] : [])),
  );
  const unitOf = unitOfEach(units);
  for (const [index, id] of ids.entries()) {
    const parent = parentId?.[index] ?? null;
    // An expiry whose hold has ended, or is about to end, does nothing, and gets no record.
    const isIdle =
      kind?.[index] === 'expiry' &&
      (!due.has(parent ?? '') || parentId?.some((other, place) => other === parent && place !== index));
    if (isIdle || locked.settledIds.has(id)) settled.add(unitOf[index] ?? -1);
  }
  return settled;
}

/** The units with a stored transfer that is not in the intake log, by their index. Some of them may be settled. */
function missingUnits({ units, transfers }: Job, { absentIds }: LockedJob): Set<number> {
  if (absentIds.size === 0) return new Set();
  const unitOf = unitOfEach(units);
  return new Set(transfers.id.flatMap((id, index) => (absentIds.has(id) ? (unitOf[index] ?? []) : [])));
}

/** For each transfer of a job, the index of its unit. `units`: how many transfers each has. */
function unitOfEach(units: readonly number[]): number[] {
  return units.flatMap((count, unit) => Array.from({ length: count }, () => unit));
}

function toNewState({ accountNumber, currency, overdraftLimit }: NewAccount): Account {
  return { accountNumber, currency, status: 'open', balance: 0n, held: 0n, overdraftLimit, entryCount: 0n };
}

/** The facts of a decision that must still hold at the job's place in the journal. */
function factsOf(transfers: readonly LockedTransfer[], locked: LockedJob, openings: readonly Opening[]) {
  const named = new Set(transfers.flatMap(({ fromAccount, toAccount }) => [fromAccount, toAccount]));
  const own = new Set(openings.map(({ account }) => account.accountNumber));
  const missing = locked.missing.filter((number) => named.has(number) && !own.has(number));
  const expiries = transfers.flatMap(({ kind, parentId }) =>
    kind === 'capture' ? (locked.expiries.get(parentId ?? '') ?? []) : [],
  );
  const nextExpiry = expiries.reduce<bigint | null>((next, at) => (next !== null && next < at ? next : at), null);
  return { missing, nextExpiry };
}

/**
 * The SHA-256 of the records of a job, which the journal keeps: openings in order of their keys, then transfers in
 * their order.
 */
function digestOf(
  opened: readonly Opened[],
  transfers: readonly LockedTransfer[],
  outcomes: readonly Outcome[],
): Buffer {
  const hash = createHash('sha256');
  for (const { account, seal, by } of opened) hash.update(renderOpening(account, seal, by));
  for (const [index, transfer] of transfers.entries()) {
    const outcome = outcomes[index];
    if (outcome) hash.update(renderRecord(transfer, outcome));
  }
  return hash.digest();
}

function quarantine(transfers: readonly LockedTransfer[]): Decision {
  const outcomes = transfers.map(({ currency, amount }) => ({
    ok: false as const,
    code: 'cannot_be_settled' as const,
    currency,
    amount,
  }));
  return { outcomes, changed: { accounts: [], holds: [], originals: [] } };
}

function report(
  job: Job,
  settled: {
    units: UnitOutcome[] | null;
    unitOf: readonly number[] | null;
    outcomes: readonly Outcome[];
    journal: JournalRow;
    jobMicros: bigint;
    attempt: Attempt;
    changed: { accounts: readonly Account[] };
  },
): SettledJob {
  const { units, unitOf, journal, jobMicros, attempt, changed } = settled;
  const moved = job.openings.unit.length === 0 ? [] : changed.accounts;
  const states = new Map(moved.map((account) => [account.accountNumber, account]));
  const outcomes: readonly (Outcome | undefined)[] = unitOf
    ? spread(unitOf, units ?? [], settled.outcomes)
    : settled.outcomes;
  return {
    result: 'settled',
    units,
    failureCodes: outcomes.map((outcome) => (outcome?.ok === false ? outcome.code : null)),
    currencies: outcomes.map((outcome) => outcome?.currency ?? null),
    amounts: outcomes.map((outcome) => outcome?.amount ?? null),
    opened: job.openings.accountNumber.map((number) => states.get(number) ?? null),
    jobMicros,
    journalNumber: journal.number,
    settledAt: journal.settledAt,
    accountCount: changed.accounts.length,
    ...attempt,
  };
}

/** The outcomes of the kept transfers, at the indexes of these transfers in the job. */
function spread(
  unitOf: readonly number[],
  units: readonly UnitOutcome[],
  outcomes: readonly Outcome[],
): (Outcome | undefined)[] {
  const kept = outcomes.values();
  return unitOf.map((unit) => (units[unit] === 'settled' ? kept.next().value : undefined));
}

function reportNothing(job: Job, units: UnitOutcome[] | null, jobMicros: bigint, attempt: Attempt): SettledJob {
  const { id } = job.transfers;
  return {
    result: 'settled',
    units,
    failureCodes: id.map(() => null),
    currencies: id.map(() => null),
    amounts: id.map(() => null),
    opened: job.openings.unit.map(() => null),
    jobMicros,
    journalNumber: null,
    settledAt: null,
    accountCount: 0,
    ...attempt,
  };
}

function noting(connection: Connection, timings: Timing[]): Queryable {
  return timed(connection, (timing) => timings.push({ ...timing, isStatement: true }));
}

async function openConnection(): Promise<Connection> {
  connectedAt = performance.now();
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
