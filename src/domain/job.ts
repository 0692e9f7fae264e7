// What the main process and a thread say to each other. Plain values only: errors lose their class and code on the way.
import type { FailureCode, NewTransfer } from './transfer.ts';

/** A durable transfer on its way to settlement, with the facts that a job needs. */
export type QueuedTransfer = {
  readonly id: string;
  readonly requestId: string;
  readonly fromAccount: string;
  readonly toAccount: string;
  /** The hold or the transfer that it is about. */
  readonly parentId: string | null;
  /** Members of one atomic group come together, in order, and stay together. */
  readonly atomicGroupId: string | null;
  /** How many processes died with it: the more, the smaller its job. */
  readonly adoptions: number;
  /** About how many bytes it takes of a job's memory. */
  readonly bytes: number;
};

/** A batch of accepted transfers; a thread answers one of none at once. */
export type Job = {
  /** In the order in which they were accepted. */
  readonly transferIds: readonly string[];
  /** The accounts, holds and earlier transfers that they name, each once. */
  readonly accountNumbers: readonly string[];
  readonly parentIds: readonly string[];
  /** Fail the transfers without looking at the books: a last resort for one that broke settlement, alone in its job. */
  readonly giveUp: boolean;
  /** Transfers that are not stored: they are settled in a transaction that is rolled back. */
  readonly dryRun: readonly NewTransfer[] | null;
};

/** How one transfer of a job ended: null is completed, gone was settled before by another process. */
export type Ending = FailureCode | null | 'gone';

export type JobReport =
  | {
      readonly result: 'settled';
      /** One per transfer of the job, in its order. */
      readonly endings: readonly Ending[];
      readonly currencies: readonly (string | null)[];
      /** What was moved, reserved or released, in minor units. */
      readonly amounts: readonly (bigint | null)[];
      /** Null if every transfer was gone. */
      readonly journalNumber: bigint | null;
      readonly settledAt: string | null;
      readonly accountCount: number;
      /** Attempts it took; more than one means that the database asked for a retry. */
      readonly attempts: number;
    }
  /** The database is out of reach or too busy; nothing was decided, and the same job may be run again later. */
  | { readonly result: 'unavailable'; readonly reason: string; readonly sqlState: string | null }
  /** The thread died with the job. The job may be the cause, so it is run again in parts. */
  | { readonly result: 'died'; readonly reason: string; readonly sqlState: null }
  /** Something in this job cannot be settled; its parts may. */
  | { readonly result: 'broken'; readonly reason: string; readonly sqlState: string | null };
