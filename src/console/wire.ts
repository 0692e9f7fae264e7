// The JSON of the interface, as far as the console shows it. test/console/wire.test.ts compares it with the views.

export type Page<Item> = { readonly items: readonly Item[]; readonly next: string | null };

export type Access = {
  readonly key: string | null;
  readonly ledger: string | null;
  readonly scopes: readonly string[];
  readonly account_prefix: string | null;
  readonly version: string;
};

/** What the answering process does now, and has done since it started. */
export type Activity = {
  readonly process: string;
  readonly at: string;
  readonly uptime_seconds: number;
  readonly queue: {
    readonly transfers: number;
    readonly transfers_max: number;
    readonly bytes: number;
    readonly bytes_max: number;
  };
  readonly totals: {
    readonly requests: number;
    readonly settled: number;
    readonly refused: number;
  };
  /** How long transfers took to become final: how many took at most `le` seconds. The last bound is null: no bound. */
  readonly settle_seconds: readonly { readonly le: number | null; readonly count: number }[];
};

export type Ledger = {
  readonly name: string;
  readonly created_at: string;
  readonly clock: 'real' | 'manual';
  readonly now: string | null;
};

export type Account = {
  readonly account_number: string;
  readonly name: string | null;
  readonly email: string | null;
  readonly phone: string | null;
  readonly date_of_birth: string | null;
  readonly personal_data_erased?: true | undefined;
  readonly currency: string;
  readonly status: 'open' | 'receive_only' | 'frozen' | 'closed';
  readonly balance: number;
  readonly held: number;
  readonly overdraft_limit: number;
  /** Null for @external, which may send without limit. */
  readonly available: number | null;
  readonly entry_count: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly created_at: string;
};

export type Entry = {
  readonly entry_number: number;
  readonly transfer_id: string;
  readonly amount: number;
  readonly balance: number;
  readonly journal_number: number;
  readonly settled_at: string;
};

export type Hold = {
  readonly id: string;
  readonly state: 'pending' | 'failed' | 'open' | 'captured' | 'voided' | 'expired';
  readonly failure_code: string | null;
  readonly from_account: string;
  readonly to_account: string;
  readonly currency: string | null;
  readonly amount: number;
  readonly captured: number;
  readonly released: number;
  readonly remaining: number;
  readonly created_at: string;
  readonly expires_at: string | null;
};

export type Transfer = {
  readonly id: string;
  readonly kind: string;
  readonly status: 'pending' | 'completed' | 'failed';
  readonly failure_code: string | null;
  readonly from_account: string;
  readonly to_account: string;
  /** Only if the account is in another ledger. */
  readonly from_ledger?: string | undefined;
  readonly to_ledger?: string | undefined;
  readonly amount: number | null;
  readonly currency: string | null;
  readonly parent_id: string | null;
  readonly group_id: string | null;
  readonly conversion: {
    readonly from_currency: string;
    readonly to_currency: string;
    readonly rate: string;
  } | null;
  readonly description: string | null;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly request_id: string;
  readonly ordered_by: string | null;
  readonly approved_by: string | null;
  readonly created_at: string;
  readonly completed_at: string | null;
  readonly journal_number: number | null;
};

/** What stands for another ledger in this one. */
export const LEDGER_PREFIX = '@ledger:';

/** The account in this ledger that stands for a side of a transfer. */
export function accountHere(account: string, otherLedger: string | undefined): string {
  return otherLedger === undefined ? account : LEDGER_PREFIX + otherLedger;
}

/** A side of a transfer, with its ledger if that is another one. */
export function partyText(account: string, otherLedger: string | undefined): string {
  return otherLedger === undefined ? account : `${account} in ${otherLedger}`;
}

export type SettledTransfer = Transfer & {
  readonly type: string;
  readonly from_entry_number: number | null;
  readonly to_entry_number: number | null;
};

/** One row of the journal. */
export type JournalRow = {
  readonly ledger: string;
  readonly number: number;
  readonly settled_at: string;
  readonly hash: string;
  readonly previous_hash: string;
  readonly digest: string;
  readonly transfer_count: number;
  readonly change_count: number;
};

/** What the digest of a row covers. */
export type JournalRecord = {
  readonly kind: 'account_change' | 'administration' | 'transfer';
  readonly fields: readonly string[];
};

export type JournalDetail = JournalRow & {
  readonly records: readonly JournalRecord[];
  readonly next_record: number | null;
};

/** One row of the journal, with what it covers. */
export type JournalEvent = {
  readonly ledger: string;
  readonly journal_number: number;
  readonly settled_at: string;
  readonly hash: string;
  readonly previous_hash: string;
  readonly digest: string;
  readonly transfer_count: number;
  readonly change_count: number;
  readonly transfers: readonly SettledTransfer[];
  readonly account_changes: readonly {
    readonly type: string;
    readonly account_number: string;
    readonly currency: string;
    readonly change_number: number;
  }[];
};

/** A request that waits for the approval of a second key, or waited for it. */
export type Approval = {
  readonly approval_id: string;
  readonly kind: 'transfers' | 'account';
  readonly state: 'pending' | 'approved' | 'rejected' | 'expired';
  readonly requested_by: string;
  readonly decided_by: string | null;
  readonly created_at: string;
  readonly expires_at: string;
  readonly decided_at: string | null;
  readonly request: Readonly<Record<string, unknown>>;
  readonly transfers: readonly Transfer[] | null;
};

export type AuditLogEntry = {
  readonly id: string;
  readonly at: string;
  readonly action: string;
  readonly actor: string | null;
  readonly subject: string | null;
  readonly address: string | null;
  readonly count: number;
  readonly journal_number: number | null;
  readonly details: Readonly<Record<string, unknown>>;
};

export type Webhook = {
  readonly id: string;
  readonly url: string;
  readonly description: string | null;
  readonly types: readonly string[] | null;
  readonly account: string | null;
  readonly kind: string | null;
  readonly status: 'enabled' | 'disabled';
  readonly disabled_reason: 'paused' | 'gone' | 'failing' | null;
  readonly disabled_at: string | null;
  readonly journal_number: number;
  readonly failing_since: string | null;
  readonly next_attempt_at: string | null;
  readonly previous_secret_until: string | null;
  readonly secret?: string;
  readonly created_at: string;
};

export type Delivery = {
  readonly number: number;
  readonly event_id: string;
  readonly type: string;
  readonly journal_number: number;
  readonly state: 'pending' | 'delivered';
  readonly attempts: number;
  readonly attempted_at: string;
  readonly answer_status: number | null;
  readonly error: 'status' | 'timeout' | 'connection' | 'too_large' | 'refused' | null;
  readonly created_at: string;
};

export type ProblemJson = {
  readonly code: string;
  readonly title: string;
  readonly detail?: string | undefined;
  readonly request_id?: string | undefined;
  readonly errors?: readonly { readonly pointer: string; readonly detail: string }[] | undefined;
};
