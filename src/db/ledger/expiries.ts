// Finds due holds.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';

/** An open hold that is due. */
export type DueHold = {
  readonly ledger: Ledger;
  readonly id: string;
  readonly fromAccount: string;
  readonly toAccount: string;
  readonly currency: string;
};

/** Exclusions: holds, ledgers, and accounts by their keys. */
export type Skipped = {
  readonly holdIds: readonly string[];
  readonly ledgerIds: readonly number[];
  readonly accountKeys: readonly string[];
};

/** The keys of the two accounts of a hold, unique over all ledgers. */
export function accountKeysOf({ ledger, fromAccount, toAccount }: DueHold): string[] {
  return [`${ledger.id} ${fromAccount}`, `${ledger.id} ${toAccount}`];
}

/** At most `limit` holds that are due by the database's clock, the earliest due first. */
export async function loadDueHolds(
  connection: Queryable,
  limit: number,
  { holdIds, ledgerIds, accountKeys }: Skipped,
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
      where state = 'open' and expires_at <= now() and holds.id <> all($2::uuid[]) and ledger_id <> all($3::integer[])
        and ledger_id || ' ' || from_account <> all($4::text[]) and ledger_id || ' ' || to_account <> all($4::text[])
      order by expires_at
      limit $1::integer`,
    values: [limit, holdIds, ledgerIds, accountKeys],
  });
  return due.rows.map((row) => ({
    ledger: { id: row.ledger_id, name: row.ledger },
    id: row.id,
    fromAccount: row.from_account,
    toAccount: row.to_account,
    currency: row.currency,
  }));
}
