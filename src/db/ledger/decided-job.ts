// What a job writes: the outcome of its decision.
import type { Account, NewAccount } from '../../domain/account.ts';
import type { BooksContent } from '../../domain/books.ts';
import type { Claim, LockedTransfer } from '../../domain/job.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { EntryPair, Orderer, Outcome } from '../../domain/transfer.ts';
import { renderColumn } from '../queries/transfer-columns.ts';

/** An account that a job opens. */
export type Opened = {
  readonly account: NewAccount;
  readonly by: Orderer;
  /** The account at the end of the job. */
  readonly state: Account;
  /** Its personal data, encrypted with its key, in hexadecimal digits; empty if it has none. */
  readonly encrypted: string;
  /** SHA-256 of the account's fields, in hexadecimal digits. */
  readonly seal: string;
};

/** A named statement and its parameters. */
export type Statement = { readonly name: string; readonly text: string; readonly values: unknown[] };

/** What a job writes. */
export type DecidedJob = {
  readonly ledger: Ledger;
  readonly jobMicros: bigint;
  readonly transfers: readonly LockedTransfer[];
  /** The transfers as `renderColumns` made them. */
  readonly columns: readonly (string | null)[];
  /** When each transfer was stored in the intake log; null for those that were not stored. Null: none was. */
  readonly storedAtMicros: readonly (bigint | null)[] | null;
  readonly outcomes: readonly Outcome[];
  readonly changed: BooksContent;
  readonly opened: readonly Opened[];
  readonly claims: readonly Claim[];
  /** Makes the SHA-256 of the records. Called while the server updates the accounts; must not throw. */
  readonly digest: () => Buffer;
  /** The accounts that the decision assumed to be missing. */
  readonly missing: readonly string[];
  /** The earliest expiry of the captured holds that were not due; null if it is not soon. */
  readonly nextExpiry: bigint | null;
  readonly dryRun: boolean;
};

/** The transfers that are in the intake log. */
export function storedIdsOf({ transfers, storedAtMicros }: DecidedJob): string[] {
  if (storedAtMicros === null) return [];
  return transfers.flatMap(({ id }, index) => (storedAtMicros[index] === null ? [] : [id]));
}

/** The ends of a job's transfers as arrays, one for each column; null: it has no value. */
export function renderEnded({ outcomes, storedAtMicros }: DecidedJob) {
  const column = (valueOf: (outcome: Outcome) => string | bigint | null) => renderColumn(outcomes.map(valueOf));
  const entry = (name: keyof EntryPair) => column((outcome) => (outcome.ok ? (outcome.entries?.[name] ?? null) : null));
  return {
    storedAtMicros: renderColumn(storedAtMicros),
    amount: column((outcome) => outcome.amount),
    currency: column((outcome) => outcome.currency),
    failureCode: column((outcome) => (outcome.ok ? null : outcome.code)),
    fromEntryNumber: entry('fromEntryNumber'),
    fromBalance: entry('fromBalance'),
    toEntryNumber: entry('toEntryNumber'),
    toBalance: entry('toBalance'),
  };
}
