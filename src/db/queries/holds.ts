// Reads holds, also while the transfer that makes one is pending, or after it was refused.
import type { HoldState } from '../../domain/hold.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { FailureCode } from '../../domain/transfer.ts';
import type { Queryable } from '../connection/connect.ts';

export type HoldRecord = {
  readonly id: string;
  /** The state of the hold, or of its transfer if there is no hold. */
  readonly state: HoldState | 'pending' | 'failed';
  readonly failureCode: FailureCode | null;
  readonly fromAccount: string;
  readonly toAccount: string;
  /** Null until the transfer has completed, if the transfer named none. */
  readonly currency: string | null;
  readonly amount: bigint;
  readonly captured: bigint;
  readonly released: bigint;
  readonly createdAt: string;
  readonly expiresAt: string | null;
};

// One statement, so one snapshot: a hold that is being settled is found exactly once, before or after.
const LOAD_HOLD = `
  select id, state, null as failure_code, from_account, to_account, currency, amount, captured, released, created_at, expires_at
  from holds
  where ledger_id = $2::integer and id = $1::uuid
  union all
  select id, 'pending', null, from_account, to_account, currency, amount, 0, 0, created_at, null
  from pending_transfers
  where ledger_id = $2::integer and id = $1::uuid and kind = 'hold'
  union all
  select id, 'failed', failure_code, from_account, to_account, currency, amount, 0, 0, created_at, null
  from transfers
  where ledger_id = $2::integer and id = $1::uuid and kind = 'hold' and status = 'failed'`;

/** The hold of this id, which is the id of the transfer that makes it. */
export async function loadHold(connection: Queryable, ledger: Ledger, id: string): Promise<HoldRecord | undefined> {
  const result = await connection.query<{
    id: string;
    state: HoldRecord['state'];
    failure_code: FailureCode | null;
    from_account: string;
    to_account: string;
    currency: string | null;
    amount: bigint;
    captured: bigint;
    released: bigint;
    created_at: string;
    expires_at: string | null;
  }>({ name: 'load hold', text: LOAD_HOLD, values: [id, ledger.id] });
  const row = result.rows[0];
  return (
    row && {
      id: row.id,
      state: row.state,
      failureCode: row.failure_code,
      fromAccount: row.from_account,
      toAccount: row.to_account,
      currency: row.currency,
      amount: row.amount,
      captured: row.captured,
      released: row.released,
      createdAt: row.created_at,
      expiresAt: row.expires_at,
    }
  );
}
