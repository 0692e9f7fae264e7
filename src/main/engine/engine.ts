// The engine: takes requests that move money or open accounts, makes them durable, and has them settled. It knows no HTTP.
//
//   admission ─ no ─▶ refused, nothing is stored
//       │
//       ├─ the caller does not wait ─▶ intake log, one commit ─▶ pending ─▶ job
//       └─ the caller waits ─▶ job, whose commit makes it durable ─▶ final
//                               └─ the wait ends first, and the job has not begun ─▶ intake log ─▶ pending
import type { ConnectionPool } from '../../db/connection/connect.ts';
import type { KeyHolder, StoredRequest } from '../../db/ledger/intake.ts';
import type { Transfer } from '../../db/queries/transfers.ts';
import type { Account, NewAccount } from '../../domain/account.ts';
import { renderInstant } from '../../domain/instant.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { IdempotencyKey, NewTransfer, Orderer } from '../../domain/transfer.ts';
import type { RequestSpan } from '../tracer.ts';
import type { Admission } from './admission.ts';
import type { AdmissionShares } from './admission-shares.ts';
import type { Courier } from './courier.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { Accepted, Intake } from './intake.ts';
import type { KeyLookup } from './keys.ts';
import { loadStored } from './stored.ts';
import { traceIntake } from './tracing.ts';
import { onlyResultOf, type SettledUnit, type QueuedUnit, type UnitResult } from './queued-unit.ts';
import { namedBy, sizeOf, toStoredUnit, toWaitingUnit, type Unit } from './unit.ts';

export type Engine = {
  /** For look-ups that are part of submitting. */
  readonly pool: ConnectionPool;
  readonly intake: Intake;
  readonly keys: KeyLookup;
  readonly admission: Admission;
  /** How admission is shared between callers, and between ledgers. */
  readonly callerShares: AdmissionShares;
  readonly ledgerShares: AdmissionShares;
  readonly dispatcher: Dispatcher;
  readonly courier: Courier;
  /** How long the opening of an account, and the replay of an earlier request, may wait, in milliseconds. */
  readonly waitTimeoutMs: number;
};

/** The origin of a request: its caller, its ledger and its idempotency key. */
export type Source = {
  readonly ledger: Ledger;
  readonly caller: string;
  readonly idempotency: IdempotencyKey | null;
  /** The span of its request; null: it is not traced. */
  readonly span?: RequestSpan | null;
};

/** A request to settle one transfer, or a group. */
export type Submission = Source & {
  readonly transfers: readonly NewTransfer[];
  /** How long the caller waits for the outcome, in milliseconds; null: not at all. */
  readonly waitMs: number | null;
};

/** Why a request was not accepted, or why its outcome is unknown. */
export type Refusal =
  | { readonly refused: 'queue_full'; readonly retryAfterSeconds: number }
  | { readonly refused: 'too_large'; readonly max: number }
  | { readonly refused: 'key_reused'; readonly holder: KeyHolder }
  | { readonly refused: 'account_exists' }
  /** The database is out of reach; nothing was stored. */
  | { readonly refused: 'unavailable' }
  /** The answer of the database was lost: it may be stored, settled, or neither. */
  | { readonly refused: 'outcome_unknown'; readonly namedId: string }
  /** The database refuses this request alone, because a schema accepted an invalid one. Nothing was stored. */
  | { readonly refused: 'poisoned' };

/** The transfers of a request, or of the earlier request that its key names. */
export type Submitted = {
  readonly transfers: readonly Transfer[];
  readonly namedId: string;
  readonly replayed: boolean;
};

/** Submits transfers. They are pending or final; they are final if the caller waits, unless the wait ends first. */
export async function submit(engine: Engine, submission: Submission): Promise<Submitted | Refusal> {
  const { ledger, transfers, idempotency, waitMs, caller, span = null } = submission;
  const unit = { ...toWaitingUnit(ledger, transfers, idempotency), caller, span };
  const refusal = admit(engine, unit);
  if (refusal) return await replayRefused(engine, submission, refusal);
  const waitsUntil = performance.now() + (waitMs ?? 0);
  if (waitMs === null || waitMs === 0) return await store(engine, submission, unit);
  const queued = engine.dispatcher.submit(unit, waitsUntil);
  const result = await endOf(engine, queued);
  if (result === 'withdrawn') return await store(engine, submission, unit);
  if (result === 'unknown') return { refused: 'outcome_unknown', namedId: namedIdOf(transfers) };
  switch (result.state) {
    case 'settled': {
      const namedId = namedIdOf(transfers);
      // A transfer to another ledger has only begun.
      if (hasBegun(transfers, result)) return await load(engine, submission, { namedId, replayed: false, waitsUntil });
      return { transfers: toTransfers(transfers, result), namedId, replayed: false };
    }
    case 'settled_elsewhere':
      return await load(engine, submission, { namedId: namedIdOf(transfers), replayed: false, waitsUntil });
    case 'replayed': {
      const holder = await findHolder(engine, submission);
      // The key names a stored request, even if it cannot be read now.
      return holder
        ? await replay(engine, submission, holder, waitsUntil)
        : { refused: 'outcome_unknown', namedId: namedIdOf(transfers) };
    }
    case 'unavailable':
      return { refused: 'unavailable' };
    case 'account_exists':
      return { refused: 'poisoned' };
    case 'poisoned':
      return refusePoisoned(queued, namedIdOf(transfers));
  }
}

/** Settles transfers in a transaction that is rolled back, and returns their outcomes. */
export async function tryOut(engine: Engine, submission: Submission): Promise<{ transfers: Transfer[] } | Refusal> {
  const { ledger, transfers, caller, span = null } = submission;
  const unit = { ...toWaitingUnit(ledger, transfers, null), caller, span };
  const refusal = admit(engine, unit);
  if (refusal) return refusal;
  const report = await engine.dispatcher.dryRun(unit).finally(() => {
    release(engine, unit);
  });
  if (report.result === 'poisoned') return { refused: 'poisoned' };
  if (report.result !== 'settled') return { refused: 'unavailable' };
  const result = onlyResultOf(report);
  if (result.state !== 'settled') return { refused: 'poisoned' };
  // Journal numbers belong to committed rows.
  return { transfers: toTransfers(transfers, { ...result, journalNumber: null }) };
}

/** A request to open accounts, all or none, each with or without an opening transfer. */
export type Opening = Source & {
  readonly requestId: string;
  readonly by: Orderer;
  readonly accounts: readonly NewAccount[];
  /** The opening transfers; their ids are in the answers. */
  readonly transfers: readonly NewTransfer[];
};

/**
 * The opened accounts at the end of their job, or null for one that is as it was opened; or an earlier request with the same
 * key has opened them.
 */
export type OpeningResult =
  | { readonly opened: readonly (Account | null)[]; readonly createdAt: string }
  | { readonly replayed: KeyHolder }
  /** This request opened them, but the answer to its job was lost. */
  | { readonly opened: null }
  | Refusal;

/** Opens accounts. They exist when this returns. */
export async function open(engine: Engine, opening: Opening): Promise<OpeningResult> {
  const { ledger, accounts, transfers, idempotency } = opening;
  const { requestId, by, caller, span = null } = opening;
  const unit = { ...toWaitingUnit(ledger, transfers, idempotency, { accounts, by }), requestId, caller, span };
  const refusal = admit(engine, unit);
  if (refusal) {
    // A full queue must not hide the answer to a request that was accepted before.
    const holder = await findHolder(engine, opening);
    return holder ? { replayed: holder } : refusal;
  }
  const queued = engine.dispatcher.submit(unit, performance.now() + engine.waitTimeoutMs);
  const namedId = accounts[0]?.accountNumber ?? '';
  const result = await endOf(engine, queued);
  if (result === 'withdrawn') {
    release(engine, unit);
    return { refused: 'unavailable' };
  }
  if (result === 'unknown') return { refused: 'outcome_unknown', namedId };
  switch (result.state) {
    case 'settled':
      return { opened: result.opened, createdAt: renderInstant(result.jobMicros) };
    case 'settled_elsewhere':
      return { opened: null };
    case 'replayed': {
      const holder = await findHolder(engine, opening);
      return holder ? { replayed: holder } : { refused: 'outcome_unknown', namedId };
    }
    case 'account_exists':
      // After a lost answer, this request itself may have opened them.
      return queued.mayBeSettled ? { refused: 'outcome_unknown', namedId } : { refused: 'account_exists' };
    case 'unavailable':
      return { refused: 'unavailable' };
    case 'poisoned':
      return refusePoisoned(queued, namedId);
  }
}

/** The earlier request of an idempotency key; null if there is no key, if it is free, or if it cannot be read. */
async function findHolder({ keys }: Engine, { ledger, idempotency }: Source): Promise<KeyHolder | null> {
  return idempotency && (await keys.find(ledger, idempotency.key));
}

/** A unit that broke its job was not written. One that ended its threads, or whose answer was lost, may have been. */
function refusePoisoned({ mayBeSettled }: QueuedUnit, namedId: string): Refusal {
  return mayBeSettled ? { refused: 'outcome_unknown', namedId } : { refused: 'poisoned' };
}

/** Admits a caller's unit, or returns the refusal. */
function admit(engine: Engine, unit: Unit & { readonly caller: string }): Refusal | null {
  const { intake, admission, callerShares, ledgerShares } = engine;
  const size = sizeOf(unit);
  const { caller, ledger } = unit;
  if (!intake.available) return { refused: 'unavailable' };
  if (callerShares.mayTake(caller) && ledgerShares.mayTake(ledger.name) && admission.tryAdmit(size, unit.bytes)) {
    callerShares.taken(caller, size);
    ledgerShares.taken(ledger.name, size);
    return null;
  }
  if (size > admission.maxQueue) return { refused: 'too_large', max: admission.maxQueue };
  return { refused: 'queue_full', retryAfterSeconds: admission.retryAfterSeconds() };
}

/** Releases a unit that is not in progress in the dispatcher. */
function release(engine: Engine, unit: Unit): void {
  engine.admission.release(sizeOf(unit), unit.bytes);
  releaseShares(engine, unit);
}

/** Releases a unit's shares of admission: that of its ledger, and that of its caller. */
export function releaseShares(
  { callerShares, ledgerShares }: Pick<Engine, 'callerShares' | 'ledgerShares'>,
  unit: Unit,
): void {
  ledgerShares.released(unit.ledger.name, sizeOf(unit));
  if (unit.caller !== undefined) callerShares.released(unit.caller, sizeOf(unit));
}

/**
 * The result of a unit. At the end of the wait it is withdrawn if no job contains it. Otherwise its job answers soon.
 * 'unknown': the answer of a job was lost, and the unit will be settled again.
 */
async function endOf({ dispatcher }: Engine, queued: QueuedUnit): Promise<UnitResult | 'withdrawn' | 'unknown'> {
  while (queued.result === null) {
    const leftMs = queued.waitsUntil - performance.now();
    if (queued.isLost) return 'unknown';
    if (leftMs <= 0 && dispatcher.withdraw(queued)) return 'withdrawn';
    if (leftMs <= 0 && queued.state === 'queued') return 'unknown';
    await queued.change(leftMs <= 0 ? Infinity : leftMs);
  }
  return queued.result;
}

/** Stores an admitted request in the intake log, and hands it to the dispatcher. */
async function store(engine: Engine, submission: Submission, unit: Unit): Promise<Submitted | Refusal> {
  const { ledger, transfers, idempotency, span } = submission;
  const namedId = namedIdOf(transfers);
  const request: StoredRequest = { transfers, namedId, idempotency };
  const accept = (): Promise<Accepted> => engine.intake.accept(ledger, request);
  const accepted = await (span ? traceIntake(span, accept) : accept());
  if (accepted.result !== 'stored') release(engine, unit);
  // The wait is over, or there was none: a replay is answered with its current state.
  const waitsUntil = performance.now();
  switch (accepted.result) {
    case 'stored': {
      const { createdAt, createdAtMicros: storedAtMicros, late } = accepted;
      engine.dispatcher.push([toStoredUnit(unit, storedAtMicros)]);
      if (late) return await load(engine, submission, { namedId, replayed: false, waitsUntil });
      return { transfers: transfers.map((transfer) => toPending(transfer, createdAt)), namedId, replayed: false };
    }
    case 'stored_before':
      return await load(engine, submission, { namedId, replayed: false, waitsUntil });
    case 'replayed':
      return await replay(engine, submission, accepted.holder, waitsUntil);
    case 'poisoned':
      return { refused: 'poisoned' };
    case 'unavailable':
      return accepted.unknown ? { refused: 'outcome_unknown', namedId } : { refused: 'unavailable' };
  }
}

/** A full queue must not hide the answer to a request that was accepted before. */
async function replayRefused(engine: Engine, submission: Submission, refusal: Refusal): Promise<Submitted | Refusal> {
  const waitsUntil = performance.now() + (submission.waitMs ?? 0);
  const holder = await findHolder(engine, submission);
  return holder ? await replay(engine, submission, holder, waitsUntil) : refusal;
}

/** The transfers of the earlier request of a key, unless it was a different request. */
async function replay(
  engine: Engine,
  submission: Submission,
  holder: KeyHolder,
  waitsUntil: number,
): Promise<Submitted | Refusal> {
  const { transferId, accountNumber, fingerprint } = holder;
  const { idempotency } = submission;
  const isSame = idempotency !== null && fingerprint.equals(idempotency.fingerprint);
  if (transferId === null || accountNumber !== null || !isSame) return { refused: 'key_reused', holder };
  return await load(engine, submission, { namedId: transferId, replayed: true, waitsUntil });
}

async function load(
  engine: Engine,
  { ledger, transfers }: Submission,
  found: { namedId: string; replayed: boolean; waitsUntil: number },
): Promise<Submitted | Refusal> {
  const { namedId, replayed, waitsUntil } = found;
  const isGroup = (transfers[0]?.group ?? null) !== null;
  const stored = await loadStored(engine, { ledger, namedId, isGroup }, waitsUntil - performance.now());
  return stored ? { transfers: stored, namedId, replayed } : { refused: 'outcome_unknown', namedId };
}

function namedIdOf([first]: readonly NewTransfer[]): string {
  return first ? namedBy(first) : '';
}

/** Whether the hold of a transfer to another ledger is open. */
function hasBegun(transfers: readonly NewTransfer[], settled: SettledUnit): boolean {
  return transfers.some(
    ({ kind, remoteAccount }, index) =>
      remoteAccount !== null && kind === 'hold' && settled.transfers[index]?.failureCode === null,
  );
}

/** Transfers that one job created and settled. */
function toTransfers(transfers: readonly NewTransfer[], settled: SettledUnit): Transfer[] {
  const createdAt = renderInstant(settled.jobMicros);
  return transfers.map((transfer, index) => {
    const { failureCode = null, currency = null, amount = null } = settled.transfers[index] ?? {};
    return {
      ...toPending(transfer, createdAt),
      status: failureCode === null ? 'completed' : 'failed',
      failureCode,
      amount,
      currency,
      completedAt: settled.settledAt,
      journalNumber: settled.journalNumber,
    };
  });
}

function toPending(transfer: NewTransfer, createdAt: string): Transfer {
  const { id, kind, fromAccount, toAccount, amount, currency, parentId, group, description, metadata } = transfer;
  return {
    id,
    kind,
    status: 'pending',
    failureCode: null,
    fromAccount,
    toAccount,
    amount,
    currency,
    parentId,
    groupId: group?.id ?? null,
    groupPosition: group?.position ?? null,
    description,
    metadata,
    requestId: transfer.requestId ?? group?.id ?? id,
    by: transfer.by,
    rate: transfer.rate,
    remoteAccount: transfer.remoteAccount,
    createdAt,
    completedAt: null,
    journalNumber: null,
  };
}
