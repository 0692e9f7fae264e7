// What the main process and a thread say to each other. Plain values only: errors lose their class and code on the way.
import type { FailureCode, NewTransfer } from './transfer.ts';

/** A batch of accepted transfers, in the order in which they were accepted. */
export type Job = {
  readonly transferIds: readonly string[];
  /** Whether there are orders among them that are about a hold or an earlier transfer, which then must be read. */
  readonly hasParents: boolean;
  /** Fail the transfers without looking at the books: a last resort for one that broke settlement, alone in its job. */
  readonly giveUp: boolean;
  /** Orders that are not stored: they are settled for real, in a transaction that is rolled back. */
  readonly dryRun: { readonly intakeId: string; readonly transfers: readonly NewTransfer[] } | null;
};

/** How one transfer of a job ended: null is completed, gone is settled before by somebody else. */
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
  /** Something in this job cannot be settled; its parts may. */
  | { readonly result: 'broken'; readonly reason: string; readonly sqlState: string | null };
