// What runs in each of the threads: one transaction per job, on a connection of the thread's own. It never throws: it
// returns a report, because an error would lose its code on the way to the main process.
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import { connect, type Connection, type DatabaseSettings, type DatabaseTimeouts, disconnect } from '../db/connect.ts';
import { constraintOf, isFaultOfTheData, retryAfter, sqlStateOf, toError } from '../db/errors.ts';
import { type LockedJob, lockJob } from '../db/locked-job.ts';
import { type JournalRow, type Opened, StaleDecisionError, writeJob } from '../db/settlement.ts';
import { BeginFailedError, CommitUnknownError, type Transaction } from '../db/transaction.ts';
import { renderColumns } from '../db/transfer-columns.ts';
import { type Account, EXTERNAL, type NewAccount, newExternal } from '../domain/account.ts';
import { type Decision, decide } from '../domain/decide.ts';
import {
  fromColumns,
  type Job,
  type JobReport,
  type LockedTransfer,
  selectColumns,
  type SettledJob,
  type UnitEnding,
} from '../domain/job.ts';
import { renderNewAccount, renderOpening, renderRecord } from '../domain/record.ts';
import type { Outcome } from '../domain/transfer.ts';

/** What the main process hands to each thread at its start. */
export type ThreadSettings = { readonly database: DatabaseSettings; readonly timeouts: DatabaseTimeouts };

const ATTEMPTS_MAX = 5;
const BACK_OFF_MS = 10;

/** Constraints that refuse what was written before: by another process, or by an attempt whose answer was lost. */
const WRITTEN_BEFORE = new Set(['transfers_pkey', 'idempotency_keys_pkey', 'accounts_pkey', 'accounts_one_currency']);

// piscina hands its own values in front of the pool's.
const settings: ThreadSettings = Array.isArray(workerData) ? workerData.at(-1) : workerData;
let connection: Connection | undefined;

/** Settles one job. */
export default async function settleJob(job: Job): Promise<JobReport> {
  if (job.units.length === 0) return reportNothing(job, null, 0n, { attempts: 0, lockMs: 0 });
  let { mayBeSettled: answerLost } = job;
  let isWrittenBefore = false;
  const startedAt = performance.now();
  for (let attempt = 1; ; attempt += 1) {
    let isConnected = false;
    try {
      connection ??= await openConnection();
      isConnected = true;
      return await attemptJob(
        connection,
        { ...job, mayBeSettled: answerLost || isWrittenBefore },
        { attempt, answerLost },
      );
    } catch (error) {
      const isStale = error instanceof StaleDecisionError;
      if (isStale && attempt === 1) continue;
      answerLost ||= error instanceof CommitUnknownError;
      const failure = { reason: toError(error).message, sqlState: sqlStateOf(error) };
      if (isFaultOfTheData(error)) {
        if (!WRITTEN_BEFORE.has(constraintOf(error) ?? '') || attempt >= ATTEMPTS_MAX) {
          return { result: 'broken', ...failure };
        }
        isWrittenBefore = true;
        continue;
      }
      if (!isStale && retryAfter(error) !== 'same connection') await dropConnection();
      // While the database refuses connections, other callers wait for this job to end: the main process tries again.
      const isOver = attempt >= ATTEMPTS_MAX || performance.now() - startedAt >= job.retryMs;
      if (!isConnected || isOver) return { result: 'unavailable', ...failure, mayBeSettled: answerLost };
      // Jittered, so that two jobs that collided do not collide again.
      await sleep(BACK_OFF_MS * 2 ** attempt * (0.5 + Math.random()));
    }
  }
}

async function attemptJob(
  connection: Connection,
  job: Job,
  { attempt: attempts, answerLost }: { attempt: number; answerLost: boolean },
): Promise<JobReport> {
  const startedAt = performance.now();
  const locking = lockJob(connection, job).catch(async (error: unknown) => {
    if (error instanceof BeginFailedError) await dropConnection();
    throw error;
  });
  // The work that does not need the accounts is done while the server locks them.
  const columns = renderColumns(job.transfers);
  const { transaction, locked } = await locking;
  const attempt = { attempts, lockMs: performance.now() - startedAt };
  const units = judgeUnits(job, locked, answerLost);
  let committed = false;
  try {
    const report = await settleIn(transaction, job, { locked, units, columns, attempt });
    committed = job.mode !== 'dry run' && report.journalNumber !== null;
    return report;
  } finally {
    // A connection whose transaction may still be open must not begin another one.
    if (!committed && !(await transaction.rollback())) await dropConnection();
  }
}

type Attempt = { readonly attempts: number; readonly lockMs: number };

async function settleIn(
  transaction: Transaction,
  job: Job,
  settling: {
    locked: LockedJob;
    units: UnitEnding[] | null;
    columns: readonly (string | null)[];
    attempt: Attempt;
  },
): Promise<SettledJob> {
  const { locked, units, columns: rendered, attempt } = settling;
  const { jobMicros } = locked;
  if (units?.every((ending) => ending !== 'settled')) return reportNothing(job, units, jobMicros, attempt);
  const isKept = (unit: number) => units === null || units[unit] === 'settled';
  const unitOf = units && job.units.flatMap((count, unit) => Array.from({ length: count }, () => unit));
  const kept = unitOf ? selectColumns(job.transfers, (index) => isKept(unitOf[index] ?? -1)) : job.transfers;
  const transfers = fromColumns(kept, jobMicros);
  const openings = openingsOf(job, locked, isKept);
  const books = { ...locked.books, accounts: [...locked.books.accounts, ...openings.map(toNewState)] };
  const { outcomes, changed } = job.mode === 'quarantine' ? quarantine(transfers) : decide(transfers, books);
  if (outcomes.length !== transfers.length) throw new TypeError('A decision has an outcome for each transfer.');
  const states = new Map(changed.accounts.map((account) => [keyOf(account), account]));
  const opened = openings.map((account) => ({
    account,
    state: states.get(keyOf(account)) ?? toNewState(account),
    seal: createHash('sha256').update(renderNewAccount(account, jobMicros)).digest('hex'),
  }));
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
  return report(job, { units, unitOf, outcomes, opened, journal, jobMicros, attempt, changed });
}

/**
 * How each unit ends, as far as that is known before the decision: 'settled' ones are decided. Null: all are. A unit is left out as a
 * whole if its key is taken, if it was settled before, or if it opens an account that exists. `answerLost`: an earlier attempt may have
 * committed.
 */
function judgeUnits(job: Job, locked: LockedJob, answerLost: boolean): UnitEnding[] | null {
  const left = new Map<number, UnitEnding>();
  const leave = (unit: number, ending: UnitEnding): void => {
    if (!left.has(unit)) left.set(unit, ending);
  };
  const claimed = new Set<string>();
  for (const { unit, key, transferId, accountNumber } of job.claims) {
    const holder = locked.keyHolders.get(key);
    // The key of a transfer that was settled before names that transfer itself.
    const isOwn = holder && transferId !== null && accountNumber === null && holder.transferId === transferId;
    if (holder) leave(unit, isOwn ? 'settled_elsewhere' : 'replayed');
    else if (claimed.has(key)) leave(unit, 'replayed');
    claimed.add(key);
  }
  const { id: ids, kind, parentId } = job.transfers;
  if (locked.settledIds.size > 0 || kind?.includes('expiry')) {
    const due = new Set(
      locked.books.holds.flatMap(({ id, state, due: isDue }) => (state === 'open' && isDue ? [id] : [])),
    );
    const unitOf = job.units.flatMap((count, unit) => Array.from({ length: count }, () => unit));
    for (const [index, id] of ids.entries()) {
      const parent = parentId?.[index] ?? null;
      // An expiry that finds its hold ended, or about to be, has nothing to do, and is not worth a record.
      const isIdle =
        kind?.[index] === 'expiry' &&
        (!due.has(parent ?? '') || parentId?.some((other, place) => other === parent && place !== index));
      if (isIdle || locked.settledIds.has(id)) leave(unitOf[index] ?? -1, 'settled_elsewhere');
    }
  }
  // Last, because an opening that was settled before is known by its transfer.
  leaveOpenings(job, locked, left, answerLost ? 'account_may_be_own' : 'account_exists');
  return left.size === 0 ? null : job.units.map((_, unit) => left.get(unit) ?? 'settled');
}

/** Adds the units to `left` that open an account which exists, or which another unit of the job opens. */
function leaveOpenings(job: Job, locked: LockedJob, left: Map<number, UnitEnding>, ending: UnitEnding): void {
  const taken = new Set(locked.books.accounts.map(({ accountNumber }) => accountNumber));
  const byUnit = Map.groupBy(job.openings, ({ unit }) => unit);
  for (const [unit, openings] of byUnit) {
    if (left.has(unit)) continue;
    const numbers = openings.map(({ account }) => account.accountNumber);
    if (numbers.some((number) => taken.has(number))) left.set(unit, ending);
    else for (const number of numbers) taken.add(number);
  }
}

/** The accounts that the kept units open, with @external in each currency that is new. */
function openingsOf(job: Job, locked: LockedJob, isKept: (unit: number) => boolean): NewAccount[] {
  const accounts = job.openings.flatMap(({ unit, account }) => (isKept(unit) ? [account] : []));
  const externals = new Set(
    locked.books.accounts.flatMap(({ accountNumber, currency }) => (accountNumber === EXTERNAL ? [currency] : [])),
  );
  const currencies = new Set(accounts.map(({ currency }) => currency).filter((currency) => !externals.has(currency)));
  // In order of the key: of the locks, and of the records of the digest.
  return [...accounts, ...[...currencies].map(newExternal)].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}

function keyOf({ accountNumber, currency }: Pick<Account, 'accountNumber' | 'currency'>): string {
  return `${accountNumber}\u001f${currency}`;
}

function toNewState({ accountNumber, currency, overdraftLimit }: NewAccount): Account {
  return { accountNumber, currency, status: 'open', balance: 0n, held: 0n, overdraftLimit, entryCount: 0n };
}

/** The facts of a decision that must still hold at the job's place in the journal. */
function factsOf(transfers: readonly LockedTransfer[], locked: LockedJob, openings: readonly NewAccount[]) {
  const named = new Set(transfers.flatMap(({ fromAccount, toAccount }) => [fromAccount, toAccount]));
  const own = new Set(openings.map(({ accountNumber }) => accountNumber));
  const missing = locked.missing.filter((number) => named.has(number) && !own.has(number));
  const expiries = transfers.flatMap(({ kind, parentId }) =>
    kind === 'capture' ? (locked.expiries.get(parentId ?? '') ?? []) : [],
  );
  const nextExpiry = expiries.reduce<bigint | null>((next, at) => (next !== null && next < at ? next : at), null);
  return { missing, nextExpiry };
}

/** The SHA-256 of the records of a job, which the journal keeps: openings in order of their keys, then transfers in their order. */
function digestOf(
  opened: readonly Opened[],
  transfers: readonly LockedTransfer[],
  outcomes: readonly Outcome[],
): Buffer {
  const hash = createHash('sha256');
  for (const { account, seal } of opened) hash.update(renderOpening(account, seal));
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
    units: UnitEnding[] | null;
    unitOf: readonly number[] | null;
    outcomes: readonly Outcome[];
    opened: readonly Opened[];
    journal: JournalRow;
    jobMicros: bigint;
    attempt: Attempt;
    changed: { accounts: readonly Account[] };
  },
): SettledJob {
  const { units, unitOf, journal, jobMicros, attempt, changed } = settled;
  const states = new Map(settled.opened.map(({ account, state }) => [account.accountNumber, state]));
  const outcomes: readonly (Outcome | undefined)[] = unitOf
    ? spread(unitOf, units ?? [], settled.outcomes)
    : settled.outcomes;
  return {
    result: 'settled',
    units,
    endings: outcomes.map((outcome) => (outcome?.ok === false ? outcome.code : null)),
    currencies: outcomes.map((outcome) => outcome?.currency ?? null),
    amounts: outcomes.map((outcome) => outcome?.amount ?? null),
    opened: job.openings.map(({ unit, account }) =>
      units === null || units[unit] === 'settled' ? (states.get(account.accountNumber) ?? null) : null,
    ),
    jobMicros,
    journalNumber: journal.number,
    settledAt: journal.settledAt,
    accountCount: changed.accounts.length,
    ...attempt,
  };
}

/** The outcomes of the kept transfers at the places that these have in the job. */
function spread(
  unitOf: readonly number[],
  units: readonly UnitEnding[],
  outcomes: readonly Outcome[],
): (Outcome | undefined)[] {
  const kept = outcomes.values();
  return unitOf.map((unit) => (units[unit] === 'settled' ? kept.next().value : undefined));
}

function reportNothing(job: Job, units: UnitEnding[] | null, jobMicros: bigint, attempt: Attempt): SettledJob {
  const { id } = job.transfers;
  return {
    result: 'settled',
    units,
    endings: id.map(() => null),
    currencies: id.map(() => null),
    amounts: id.map(() => null),
    opened: job.openings.map(() => null),
    jobMicros,
    journalNumber: null,
    settledAt: null,
    accountCount: 0,
    ...attempt,
  };
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
