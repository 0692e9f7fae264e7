// The messages between the main process and its threads. Plain values only, because errors lose their class and code on the way.
//
// A job carries its transfers as one array per field: a message of objects costs 4.3 µs per transfer, one of arrays 0.8.
import type { Account } from './account.ts';
import { type Column, toColumn } from './column.ts';
import type { Ledger } from './ledger.ts';
import type { OpeningColumns } from './opening.ts';
import { renderJsonb } from './record.ts';
import type { FailureCode, IdempotencyKey, NewTransfer, TransferTerms, Orderer, TransferKind } from './transfer.ts';

/** A transfer on its way to settlement. */
export type QueuedTransfer = {
  readonly transfer: NewTransfer;
  /** When it was stored in the intake log, in microseconds since the epoch. Null: its job's commit makes it durable. */
  readonly storedAtMicros: bigint | null;
};

/** A transfer as a job decides and writes it. */
export type LockedTransfer = TransferTerms & {
  readonly requestId: string | null;
  readonly by: Orderer;
  readonly rate: string | null;
  readonly description: string | null;
  /** The metadata as PostgreSQL renders its jsonb. */
  readonly metadataText: string | null;
  /** Microseconds since the epoch: when it was stored, or the time of the job. */
  readonly createdAtMicros: bigint;
};

/** Transfers as one array per field. A field that is null for every transfer is null. */
export type TransferColumns = {
  readonly id: readonly string[];
  readonly fromAccount: readonly string[];
  readonly toAccount: readonly string[];
  readonly amount: Column<bigint>;
  readonly currency: Column<string>;
  /** Null for the most common kind, 'transfer'. */
  readonly kind: Column<Exclude<TransferKind, 'transfer'>>;
  readonly parentId: Column<string>;
  readonly groupId: Column<string>;
  readonly groupPosition: Column<number>;
  readonly atomic: Column<boolean>;
  readonly finalCapture: Column<boolean>;
  readonly expiresIn: Column<number>;
  readonly ifFromEntryNumber: Column<bigint>;
  readonly ifMinAvailableAfter: Column<bigint>;
  readonly requestId: Column<string>;
  readonly orderedBy: Column<string>;
  readonly approvedBy: Column<string>;
  readonly rate: Column<string>;
  readonly remoteAccount: Column<string>;
  readonly description: Column<string>;
  readonly metadataText: Column<string>;
  readonly storedAtMicros: Column<bigint>;
};

/**
 * The idempotency keys that the units of a job claim. A key names the unit's transfer, its group, or the first account
 * that it opens.
 */
export type Claim = IdempotencyKey & {
  /** The index of the unit in the job. */
  readonly unit: number;
  readonly transferId: string | null;
  readonly accountNumber: string | null;
};

/** A batch of units of one ledger. A thread answers an empty one at once. */
export type Job = {
  readonly ledger: Ledger;
  /**
   * How many transfers each unit has, in the order of `transfers`. A unit is accepted, replayed or refused as a whole:
   * one transfer, a request whose caller waits, or a request that opens accounts.
   */
  readonly units: readonly number[];
  readonly transfers: TransferColumns;
  readonly claims: readonly Claim[];
  readonly openings: OpeningColumns;
  /**
   * quarantine: fail the transfers without reading the books, the last resort for one that broke settlement alone.
   * dry run: roll back instead of committing.
   */
  readonly mode: 'settle' | 'quarantine' | 'dry run';
  /** An earlier attempt may have committed: its answer was lost. */
  readonly mayBeSettled: boolean;
  /**
   * How long ago the first of its stored transfers was stored. A thread whose connection is newer may have another server,
   * such as a promoted standby, which lacks them.
   */
  readonly storedAgoMs: number;
  /**
   * For how many milliseconds a thread retries after temporary errors of the database. The limit is the earliest end of
   * a caller's wait: the caller gets another answer then.
   */
  readonly retryMs: number;
  /** Whether the thread measures what it does, for the span of the job. */
  readonly traced: boolean;
};

/** What a thread did in a job, and when, on the clock of performance.now(): a statement, or its decision. */
export type Timing = {
  /** The name of a statement, or `decide`. */
  readonly name: string;
  readonly isStatement: boolean;
  readonly startedAt: number;
  readonly endedAt: number;
  /** The SQLSTATE with which a statement failed, or another code; null: it did not fail. */
  readonly failure: string | null;
};

/** How a unit of a job ended. */
export type UnitOutcome =
  | 'settled'
  /** Another process, or an earlier attempt, has settled it. Its rows have the outcome. */
  | 'settled_elsewhere'
  /** It was stored, and is neither pending nor settled: the server lacks it. Nothing was written. */
  | 'missing'
  /** Its idempotency key names an earlier request. Nothing was written. */
  | 'replayed'
  /** An account that it opens already exists. Nothing was written. */
  | 'account_exists';

export type SettledJob = {
  readonly result: 'settled';
  /** One per unit of the job; null: all were settled. */
  readonly units: readonly UnitOutcome[] | null;
  /**
   * One per transfer of the job, in its order: why it failed, or null if it is completed. Meaningless where the unit was
   * not settled.
   */
  readonly failureCodes: readonly (FailureCode | null)[];
  readonly currencies: readonly (string | null)[];
  /** The amount that was moved, reserved or released, in minor units. */
  readonly amounts: readonly (bigint | null)[];
  /**
   * One per opening of the job: the account at the end of it, or null if it is as it was opened. Meaningless where the unit
   * was not settled.
   */
  readonly opened: readonly (Account | null)[];
  /** The time of the job in microseconds since the epoch: when its unstored transfers were created. */
  readonly jobMicros: bigint;
  /** Null if nothing was written. */
  readonly journalNumber: bigint | null;
  readonly settledAt: string | null;
  readonly accountCount: number;
  /** Attempts it took; more than one means that the database asked for a retry. */
  readonly attempts: number;
  /**
   * Whether an earlier attempt may have committed: its answer was lost. An account that exists may then be the job's
   * own.
   */
  readonly answerLost: boolean;
  /** How long its first round trip took, in milliseconds: the accounts are locked in it. */
  readonly lockMs: number;
};

/** What a temporary error concerns: one job, such as a lock; all writes; or every statement. */
export type Trouble = 'job' | 'database' | 'out of reach';

export type JobReport = JobResult & {
  /** What a traced job did. */
  readonly timings?: readonly Timing[];
};

type JobResult =
  | SettledJob
  /** The database is unreachable or too busy; the same job may be run again later. */
  | {
      readonly result: 'unavailable';
      readonly reason: string;
      readonly sqlState: string | null;
      /** Whether a commit was sent whose answer is lost. Otherwise nothing was settled. */
      readonly mayBeSettled: boolean;
      readonly trouble: Trouble;
    }
  /** The thread died with the job, perhaps after its commit. The job may be the cause, so it is run again in parts. */
  | { readonly result: 'died'; readonly reason: string; readonly sqlState: null }
  /** Something in this job cannot be settled; its parts may. */
  | { readonly result: 'poisoned'; readonly reason: string; readonly sqlState: string | null };

/** The transfers of a job as columns. */
export function toColumns(queued: readonly QueuedTransfer[]): TransferColumns {
  const transfers = queued.map(({ transfer }) => transfer);
  const column = <Value>(valueOf: (transfer: NewTransfer) => Value | null) => toColumn(transfers, valueOf);
  return {
    id: transfers.map(({ id }) => id),
    fromAccount: transfers.map(({ fromAccount }) => fromAccount),
    toAccount: transfers.map(({ toAccount }) => toAccount),
    amount: column(({ amount }) => amount),
    currency: column(({ currency }) => currency),
    kind: column(({ kind }) => (kind === 'transfer' ? null : kind)),
    parentId: column(({ parentId }) => parentId),
    groupId: column(({ group }) => group?.id ?? null),
    groupPosition: column(({ group }) => group?.position ?? null),
    atomic: column(({ group }) => group?.atomic ?? null),
    finalCapture: column(({ kind, finalCapture }) => (kind === 'capture' ? finalCapture : null)),
    expiresIn: column(({ expiresIn }) => expiresIn),
    ifFromEntryNumber: column(({ conditions }) => conditions?.fromEntryNumber ?? null),
    ifMinAvailableAfter: column(({ conditions }) => conditions?.minAvailableAfter ?? null),
    requestId: column(({ requestId }) => requestId),
    orderedBy: column(({ by }) => by.orderedBy),
    approvedBy: column(({ by }) => by.approvedBy),
    rate: column(({ rate }) => rate),
    remoteAccount: column(({ remoteAccount }) => remoteAccount),
    description: column(({ description }) => description),
    metadataText: column(({ metadata }) => metadata && renderJsonb(metadata)),
    storedAtMicros: toColumn(queued, ({ storedAtMicros }) => storedAtMicros),
  };
}

/** The transfers of some columns, in their order. `jobMicros`: the creation time of those that were not stored. */
export function fromColumns(columns: TransferColumns, jobMicros: bigint): LockedTransfer[] {
  const { id: ids, fromAccount, toAccount, groupId, ifFromEntryNumber, ifMinAvailableAfter } = columns;
  return ids.map((id, index) => {
    const group = groupId?.[index] ?? null;
    const fromEntryNumber = ifFromEntryNumber?.[index] ?? null;
    const minAvailableAfter = ifMinAvailableAfter?.[index] ?? null;
    return {
      id,
      kind: columns.kind?.[index] ?? 'transfer',
      fromAccount: fromAccount[index] ?? '',
      toAccount: toAccount[index] ?? '',
      amount: columns.amount?.[index] ?? null,
      currency: columns.currency?.[index] ?? null,
      parentId: columns.parentId?.[index] ?? null,
      group:
        group === null
          ? null
          : {
              id: group,
              position: columns.groupPosition?.[index] ?? 0,
              atomic: columns.atomic?.[index] ?? false,
            },
      conditions:
        fromEntryNumber === null && minAvailableAfter === null ? null : { fromEntryNumber, minAvailableAfter },
      finalCapture: columns.finalCapture?.[index] ?? false,
      expiresIn: columns.expiresIn?.[index] ?? null,
      requestId: columns.requestId?.[index] ?? null,
      by: { orderedBy: columns.orderedBy?.[index] ?? null, approvedBy: columns.approvedBy?.[index] ?? null },
      rate: columns.rate?.[index] ?? null,
      remoteAccount: columns.remoteAccount?.[index] ?? null,
      description: columns.description?.[index] ?? null,
      metadataText: columns.metadataText?.[index] ?? null,
      createdAtMicros: columns.storedAtMicros?.[index] ?? jobMicros,
    };
  });
}

/** The columns of the transfers for which `isKept` is true of their index. */
export function selectColumns(columns: TransferColumns, isKept: (index: number) => boolean): TransferColumns {
  const keep = <Value>(values: readonly Value[]): Value[] => values.filter((_, index) => isKept(index));
  const keepColumn = <Value>(values: Column<Value>): Column<Value> => values && keep(values);
  return {
    id: keep(columns.id),
    fromAccount: keep(columns.fromAccount),
    toAccount: keep(columns.toAccount),
    amount: keepColumn(columns.amount),
    currency: keepColumn(columns.currency),
    kind: keepColumn(columns.kind),
    parentId: keepColumn(columns.parentId),
    groupId: keepColumn(columns.groupId),
    groupPosition: keepColumn(columns.groupPosition),
    atomic: keepColumn(columns.atomic),
    finalCapture: keepColumn(columns.finalCapture),
    expiresIn: keepColumn(columns.expiresIn),
    ifFromEntryNumber: keepColumn(columns.ifFromEntryNumber),
    ifMinAvailableAfter: keepColumn(columns.ifMinAvailableAfter),
    requestId: keepColumn(columns.requestId),
    orderedBy: keepColumn(columns.orderedBy),
    approvedBy: keepColumn(columns.approvedBy),
    rate: keepColumn(columns.rate),
    remoteAccount: keepColumn(columns.remoteAccount),
    description: keepColumn(columns.description),
    metadataText: keepColumn(columns.metadataText),
    storedAtMicros: keepColumn(columns.storedAtMicros),
  };
}
