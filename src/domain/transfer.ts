// A transfer: moves a positive amount from one account to another, or reserves or releases it.
//
//   pending ──settlement──▶ completed
//                      └──▶ failed        (kept, with the code of the rule that refused it)
//
// completed and failed are final.
//
//   kind       moves money   reserves   parent
//   transfer   yes
//   hold                     amount
//   capture    yes           − amount   the hold; a final one releases the rest as well
//   void                     − rest     the hold
//   expiry                   − rest     the hold, when it is due; created by the service
//   reversal   yes                      the transfer or capture that it undoes, whole or in part

export const TRANSFER_KINDS = ['transfer', 'hold', 'capture', 'void', 'expiry', 'reversal'] as const;

export type TransferKind = (typeof TRANSFER_KINDS)[number];

/** The transfers of one request. The members of an atomic group settle all or none. */
export type Group = { readonly id: string; readonly position: number; readonly atomic: boolean };

/** Conditions on the source when the transfer is decided; null: none. */
export type Conditions = {
  /** The number of its last entry: nothing has changed since the caller read it. */
  readonly fromEntryNumber: bigint | null;
  /** The least available amount afterwards, in minor units. */
  readonly minAvailableAfter: bigint | null;
};

/** What the rules read of a transfer. */
export type TransferTerms = {
  readonly id: string;
  readonly kind: TransferKind;
  readonly fromAccount: string;
  readonly toAccount: string;
  /** Minor units, at least 1. Null: the remaining amount of the parent. */
  readonly amount: bigint | null;
  /** Null: the currency of the accounts. */
  readonly currency: string | null;
  /** The hold that this one captures or ends, or the transfer that it reverses. */
  readonly parentId: string | null;
  readonly group: Group | null;
  readonly conditions: Conditions | null;
  /** A capture that releases the remaining amount of its hold. */
  readonly finalCapture: boolean;
  /** Seconds from acceptance until a hold expires; null: never. */
  readonly expiresIn: number | null;
  /**
   * Of a step of a transfer between ledgers: the account in the other ledger. Captures and voids that callers order never
   * have one.
   */
  readonly remoteAccount: string | null;
};

/** Who ordered a transfer or a change of an account, and who approved it: ids of keys. */
export type Orderer = {
  /** Null: the service had no keys, or ordered it itself. */
  readonly orderedBy: string | null;
  /** Null: it needed no approval. */
  readonly approvedBy: string | null;
};

/** What the service orders itself, such as the expiry of a hold. */
export const BY_SERVICE: Orderer = { orderedBy: null, approvedBy: null };

/** A transfer as it arrives, before it is stored or settled. */
export type NewTransfer = TransferTerms & {
  /** Null: the caller sent none, and the id of its group, or else its own, is used. */
  readonly requestId: string | null;
  readonly by: Orderer;
  /** Of the two transfers of a conversion: its rate, as `renderConversion` renders it. */
  readonly rate: string | null;
  readonly description: string | null;
  readonly metadata: Readonly<Record<string, string>> | null;
};

/** The idempotency key of a request. The fingerprint is the SHA-256 of the request's content, without personal data. */
export type IdempotencyKey = {
  readonly key: string;
  readonly fingerprint: Uint8Array;
  /** Of a request that opens accounts: made with their keys, so that it means nothing after an erasure. */
  readonly personalFingerprint?: Uint8Array;
};

/** The rules that need the books, in the order in which they refuse. */
export const FAILURE_CODES = [
  'hold_not_open',
  'hold_expired',
  'exceeds_hold',
  'not_reversible',
  'exceeds_original',
  'source_not_found',
  'destination_not_found',
  'source_closed',
  'destination_closed',
  'source_frozen',
  'destination_frozen',
  'currency_mismatch',
  'entry_number_mismatch',
  'insufficient_funds',
  'min_available_not_met',
  'balance_out_of_bounds',
  // Another member of the same atomic group was refused.
  'group_failed',
  // Not a business rule: the transfer, alone in its job, broke settlement itself, and the log alerted an operator.
  'cannot_be_settled',
] as const;

export type FailureCode = (typeof FAILURE_CODES)[number];

/** The two entries of a transfer that moved money. */
export type EntryPair = {
  readonly fromEntryNumber: bigint;
  readonly fromBalance: bigint;
  readonly toEntryNumber: bigint;
  readonly toBalance: bigint;
};

/** How a transfer ended. */
export type Outcome =
  | {
      readonly ok: true;
      readonly currency: string;
      /** The amount that was moved, reserved or released. */
      readonly amount: bigint;
      /** Null if no money moved. */
      readonly entries: EntryPair | null;
    }
  | {
      readonly ok: false;
      readonly code: FailureCode;
      readonly currency: string | null;
      readonly amount: bigint | null;
    };
