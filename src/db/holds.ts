// Reads holds.
import type { HoldState } from '../domain/hold.ts';
import type { Queryable } from './connect.ts';

export type HoldRecord = {
  readonly id: string;
  readonly state: HoldState;
  readonly fromAccount: string;
  readonly toAccount: string;
  readonly currency: string;
  readonly amount: bigint;
  readonly captured: bigint;
  readonly released: bigint;
  readonly createdAt: string;
  readonly expiresAt: string | null;
};

/** The hold of this id, which is that of the transfer of kind hold that made it; undefined until that has completed. */
export async function loadHold(connection: Queryable, id: string): Promise<HoldRecord | undefined> {
  const result = await connection.query<{
    id: string;
    state: HoldState;
    from_account: string;
    to_account: string;
    currency: string;
    amount: bigint;
    captured: bigint;
    released: bigint;
    created_at: string;
    expires_at: string | null;
  }>({
    name: 'load hold',
    text: `
      select id, state, from_account, to_account, currency, amount, captured, released, created_at, expires_at
      from holds
      where id = $1::uuid`,
    values: [id],
  });
  const row = result.rows[0];
  return (
    row && {
      id: row.id,
      state: row.state,
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
