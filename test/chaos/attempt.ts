// The essentials of one request and the answer that the caller received: the input of the judge, and a line of the
// record.
import { z } from 'zod';

export type Order = {
  from_account: string;
  to_account: string;
  amount: number;
  /** The ledger of to_account, if it is another one. */
  to_ledger?: string;
  /** Of a hold, in seconds. */
  expires_in?: number;
  metadata?: Readonly<Record<string, string>>;
};

export type NewAccount = { account_number: string; balance: number };

/** What is ordered, the same for each time it is sent. */
export type Intent = {
  /** Its name: the idempotency key, or the number of an account that is opened without a key. Two intents never share it. */
  name: string;
  kind: 'transfer' | 'between' | 'group' | 'hold' | 'capture' | 'void' | 'account' | 'accounts' | 'refusable' | 'read';
  /** Whether it is sent with an idempotency key, so that it may be retried after an unknown outcome. */
  keyed: boolean;
  path: string;
  /** What each member of it moves, in order. */
  orders: readonly Order[];
  atomic: boolean;
  /** The hold that is captured or voided. */
  parentId: string | null;
  /** The accounts that it opens, in order. */
  accounts: readonly NewAccount[];
  /** The transfer that is read: one that was accepted before. */
  readId: string | null;
};

/** A transfer in an answer. */
const reported = z.object({
  id: z.string(),
  kind: z.string(),
  status: z.string(),
  failure_code: z.string().nullable(),
  from_account: z.string(),
  to_account: z.string(),
  amount: z.number().nullable(),
  journal_number: z.number().nullable(),
  created_at: z.string(),
});

export type Reported = z.infer<typeof reported>;

const account = z.object({ account_number: z.string(), opening_transfer_id: z.string().nullable() });

/** An opened account in an answer. */
export type OpenedAccount = z.infer<typeof account>;

export type Attempt = {
  intent: Intent;
  round: number;
  requestId: string;
  /** The id of the key that it was sent with. */
  key: string | null;
  /** Where it was sent. */
  url: string;
  /** Whether it asked for the final state (Prefer: wait). */
  waits: boolean;
  /** Whether the caller never sent the end of it. */
  partial: boolean;
  /** Milliseconds since 1970, by the caller's clock. */
  sentAt: number;
  readAt: number;
  /** Null: no answer came. */
  status: number | null;
  /** How the connection ended where no answer came. */
  broken: string | null;
  /** The code of a problem. */
  code: string | null;
  /** What the answer names: the id of a transfer or of a group. */
  named: string | null;
  reported: readonly Reported[];
  /** The accounts that the answer shows. */
  opened: readonly OpenedAccount[];
};

const single = reported;
const group = z.object({ group_id: z.string(), transfers: z.array(reported) });
const accounts = z.object({ accounts: z.array(account) });
const problem = z.object({ code: z.string() });

type Essentials = Pick<Attempt, 'code' | 'named' | 'reported' | 'opened'>;
const NOTHING: Essentials = { code: null, named: null, reported: [], opened: [] };

/** The essentials of an answer's body. Throws if a success lacks a required field. */
export function parseEssentials(intent: Intent, status: number, text: string): Essentials {
  const body: unknown = JSON.parse(text);
  if (status >= 300) return { ...NOTHING, code: problem.parse(body).code };
  switch (intent.kind) {
    case 'group': {
      const { group_id, transfers } = group.parse(body);
      return { ...NOTHING, named: group_id, reported: transfers };
    }
    case 'account':
      return { ...NOTHING, opened: [account.parse(body)] };
    case 'accounts':
      return { ...NOTHING, opened: accounts.parse(body).accounts };
    default: {
      const transfer = single.parse(body);
      return { ...NOTHING, named: transfer.id, reported: [transfer] };
    }
  }
}

/**
 * Whether it may be retried after an unknown outcome: its key, or the number of its account, keeps it from taking
 * effect twice.
 */
export function isRepeatable({ keyed, accounts }: Intent): boolean {
  return keyed || accounts.length > 0;
}

export function isAccepted({ status }: Attempt): boolean {
  return status !== null && status >= 200 && status < 300;
}

/** Whether it must be retried until its outcome is known; after a 401, with another key. */
export function isUndecided({ status }: Attempt): boolean {
  return status === null || status === 503 || status === 401;
}

/** Whether the answer states that nothing was stored. */
export function isRefusal({ status, code }: Attempt): boolean {
  return status !== null && status >= 400 && status !== 500 && code !== 'outcome_unknown';
}
