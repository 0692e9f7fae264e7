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

/** SQL over a row of holds: whether it is open, and not excluded. */
const IS_WANTED = `state = 'open' and holds.id <> all($2::uuid[]) and ledger_id <> all($3::integer[])
          and ledger_id || ' ' || from_account <> all($4::text[]) and ledger_id || ' ' || to_account <> all($4::text[])`;

/**
 * Holds that are due by the clocks of their ledgers: at most `limit` by the real clock, the earliest due first, and as
 * many by test clocks.
 */
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
      select ledger_id, ledgers.name as ledger, due.id, from_account, to_account, currency
      from (
        (
          select ledger_id, holds.id, from_account, to_account, currency, expires_at
          from holds
          where expires_at <= now() and ${IS_WANTED}
            -- A hash of the ledgers with a test clock, made once: their holds may be due by the real clock for ever.
            and ledger_id not in (select journal_head.ledger_id from journal_head where clock is not null)
          order by expires_at
          limit $1::integer
        )
        union all
        (
          select hold.*
          from journal_head
          cross join lateral (
            -- All open holds of the ledger are read: an index over ledger and expiry would cost every other ledger.
            select ledger_id, holds.id, from_account, to_account, currency, expires_at
            from holds
            where ledger_id = journal_head.ledger_id and expires_at <= journal_head.clock and ${IS_WANTED}
            -- In order of the index of open holds. By the index of expiries, each such ledger would read the holds of all.
            order by from_account, holds.id
            limit $1::integer
          ) as hold
          where clock is not null
          order by expires_at
          limit $1::integer
        )
      ) as due
      join ledgers on ledgers.id = ledger_id`,
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

/** Whether a ledger has open holds that are due by its test clock. */
export async function hasDueHolds(connection: Queryable, ledger: Ledger): Promise<boolean> {
  const due = await connection.query({
    name: 'find due hold',
    text: `
      select
      from holds
      where ledger_id = $1::integer and state = 'open'
        and expires_at <= (select clock from journal_head where journal_head.ledger_id = $1::integer)
      -- In order of the index of open holds, so that the planner does not look for one among all holds.
      order by from_account
      limit 1`,
    values: [ledger.id],
  });
  return due.rows.length > 0;
}
