// Finds due holds.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';

/** An open hold whose time has come. */
export type DueHold = {
  readonly ledger: Ledger;
  readonly id: string;
  readonly fromAccount: string;
  readonly toAccount: string;
  readonly currency: string;
};

/** At most `limit` holds that are due by the database's clock, but not those of `skipped`; the longest due first. */
export async function loadDueHolds(
  connection: Queryable,
  limit: number,
  skipped: readonly string[],
): Promise<DueHold[]> {
  const due = await connection.query<{
    ledger_id: number;
    ledger: string;
    id: string;
    from_account: string;
    to_account: string;
    currency: string;
  }>({
    name: 'load due holds',
    text: `
      select ledger_id, ledgers.name as ledger, holds.id, from_account, to_account, currency
      from holds
      join ledgers on ledgers.id = ledger_id
      where state = 'open' and expires_at <= now() and holds.id <> all($2::uuid[])
      order by expires_at
      limit $1::integer`,
    values: [limit, skipped],
  });
  return due.rows.map((row) => ({
    ledger: { id: row.ledger_id, name: row.ledger },
    id: row.id,
    fromAccount: row.from_account,
    toAccount: row.to_account,
    currency: row.currency,
  }));
}
