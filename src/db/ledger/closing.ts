// Closes the months of a ledger: seals the balances at their ends, with a hash, in the audit log as well. The owner of the
// tables runs it, so the service cannot write a seal. Each step can be repeated: a seal of a month that is over is always
// the same.
import { createHash, type Hash } from 'node:crypto';
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { lastEntryUpTo, lastJournalNumber } from '../queries/history.ts';
import { recordAdministration } from './administration.ts';

/** A month that can be closed next. */
export type ClosableMonth = {
  /** Such as 2026-10. */
  readonly month: string;
  /** The first instant after it, and the last microsecond in it. */
  readonly ends: string;
  readonly last: string;
  /** Whether the real or the test clock of the ledger is past it. */
  readonly isOver: boolean;
};

export type ClosedMonth = {
  readonly month: string;
  readonly journalNumber: bigint;
  readonly accountCount: bigint;
  /** In hexadecimal. */
  readonly hash: string;
};

/** Bounds the memory and the time of one statement. */
const PAGE_ACCOUNTS = 1000;
const NO_HASH = Buffer.alloc(32);

// The months of a ledger begin with its journal, and follow each other.
const NEXT = `
  select to_char(month, 'YYYY-MM') as month, ends, ends - interval '1 microsecond' as last, ends <= coalesce(clock, clock_timestamp()) as is_over
  from (
    select coalesce(
      (select max(month) + interval '1 month' from closed_months where ledger_id = $1::integer),
      (
        select date_trunc('month', settled_at at time zone 'UTC')
        from journal
        where ledger_id = $1::integer and number = 1
      )
    ) as month
  ) as next
  cross join lateral (select (month + interval '1 month') at time zone 'UTC' as ends) as ending
  join journal_head on journal_head.ledger_id = $1::integer
  where month is not null`;

/** The month after the last closed one, or the first of the journal; null if the journal is empty. */
export async function findNextMonth(connection: Queryable, ledger: Ledger): Promise<ClosableMonth | null> {
  type Row = { month: string; ends: string; last: string; is_over: boolean };
  const { rows } = await connection.query<Row>(NEXT, [ledger.id]);
  return rows.map(({ is_over: isOver, ...month }) => ({ ...month, isOver }))[0] ?? null;
}

const END = `
  select point.number, coalesce(journal.hash, decode(repeat('00', 32), 'hex')) as hash,
    (select coalesce(max(journal_number), 0) from closed_months where ledger_id = $1::integer) as number_before
  from (select ${lastJournalNumber('$1::integer', '<', '$2::timestamptz')} as number) as point
  left join journal on journal.ledger_id = $1::integer and journal.number = point.number`;

// A page of accounts in the order of their key, with their last entries up to the end of the month. An account that did not
// move since the end of the month before gets none.
const SEAL_PAGE = `
  with page as materialized (
    select account_number, currency, entry_count
    from accounts
    where ledger_id = $1::integer and (account_number, currency) > ($3::text, $4::text)
    order by account_number, currency
    limit ${PAGE_ACCOUNTS}
  ), found as materialized (
    select accounts.account_number, accounts.currency, last.entry_number, last.balance,
      last.entry_number > coalesce(
        (
          select entry_number
          from sealed_balances
          where ledger_id = $1::integer and sealed_balances.account_number = accounts.account_number
            and sealed_balances.currency = accounts.currency and sealed_balances.journal_number <= $5::bigint
          order by sealed_balances.journal_number desc
          limit 1
        ), 0
      ) as has_moved
    from page as accounts
    cross join ${lastEntryUpTo('$1::integer', '$2::bigint')} as last
  ), sealed as (
    insert into sealed_balances (ledger_id, journal_number, account_number, currency, entry_number, balance)
    select $1::integer, $2::bigint, account_number, currency, entry_number, balance
    from found
    where has_moved
    on conflict (ledger_id, account_number, currency, journal_number) do nothing
  )
  select account_number, currency, entry_number, balance, has_moved
  from found
  order by account_number, currency`;

type Totals = { accounts: bigint; positive: bigint; negative: bigint };

/** What the pages of a month have added up to. */
type Sealing = { readonly records: Hash; readonly totals: Map<string, Totals>; accounts: bigint };

/**
 * Seals the balances of a month, page by page. The caller has closed the journal past the month, so that nothing can be
 * added to it.
 */
export async function sealMonth(
  connection: Queryable,
  ledger: Ledger,
  { month, ends }: ClosableMonth,
): Promise<{ readonly end: { number: bigint; hash: Buffer }; readonly month: string; readonly sealing: Sealing }> {
  type End = { number: bigint; hash: Buffer; number_before: bigint };
  const [end] = (await connection.query<End>(END, [ledger.id, ends])).rows;
  if (!end) throw new Error('The end of a month was not found.');
  const sealing: Sealing = { records: createHash('sha256'), totals: new Map(), accounts: 0n };
  for (let after = ['', '']; ;) {
    type Row = {
      account_number: string;
      currency: string;
      entry_number: bigint;
      balance: bigint;
      has_moved: boolean;
    };
    const { rows } = await connection.query<Row>(SEAL_PAGE, [ledger.id, end.number, ...after, end.number_before]);
    for (const row of rows) {
      if (row.entry_number > 0n) addTo(sealing.totals, row.currency, row.balance);
      if (!row.has_moved) continue;
      sealing.accounts += 1n;
      sealing.records.update(render(row.account_number, row.currency, row.entry_number, row.balance));
    }
    const last = rows.at(-1);
    if (!last || rows.length < PAGE_ACCOUNTS) return { end, month, sealing };
    after = [last.account_number, last.currency];
  }
}

function addTo(totals: Map<string, Totals>, currency: string, balance: bigint): void {
  const sum = totals.get(currency) ?? { accounts: 0n, positive: 0n, negative: 0n };
  sum.accounts += 1n;
  if (balance > 0n) sum.positive += balance;
  else sum.negative += balance;
  totals.set(currency, sum);
}

/** A record: fields joined by U+001F, ended by U+001E. */
function render(...fields: readonly (string | bigint)[]): string {
  return `${fields.join('\u001F')}\u001E`;
}

const INSERT_TOTALS = `
  insert into sealed_totals (ledger_id, journal_number, currency, account_count, positive, negative)
  select $1::integer, $2::bigint, total.*
  from unnest($3::text[], $4::bigint[], $5::numeric[], $6::numeric[]) as total
  on conflict (ledger_id, journal_number, currency) do nothing`;

const PREVIOUS = `
  select hash
  from closed_months
  where ledger_id = $1::integer
  order by month desc
  limit 1`;

const INSERT_MONTH = `
  insert into closed_months (
    ledger_id, month, journal_number, account_count, journal_hash, digest, previous_hash, hash
  )
  values (
    $1::integer, ($2::text || '-01')::date, $3::bigint, $4::bigint, $5::bytea, $6::bytea, $7::bytea, $8::bytea
  )`;

/** Closes a month whose balances are sealed, and records it in the audit log. Run it in a transaction. */
export async function closeMonth(
  connection: Queryable,
  ledger: Ledger,
  actor: string,
  { end, month, sealing }: Awaited<ReturnType<typeof sealMonth>>,
): Promise<ClosedMonth> {
  const totals = [...sealing.totals].sort(([left], [right]) => (left < right ? -1 : 1));
  for (const [currency, { accounts, positive, negative }] of totals) {
    sealing.records.update(render(currency, accounts, positive, negative));
  }
  const digest = sealing.records.digest();
  const previous = (await connection.query<{ hash: Buffer }>(PREVIOUS, [ledger.id])).rows[0]?.hash ?? NO_HASH;
  const hash = createHash('sha256')
    .update(previous)
    .update(`${ledger.name}|${month}|${end.number}|${sealing.accounts}`)
    .update(end.hash)
    .update(digest)
    .digest();
  await connection.query(INSERT_TOTALS, [
    ledger.id,
    end.number,
    totals.map(([currency]) => currency),
    totals.map(([, { accounts }]) => accounts),
    totals.map(([, { positive }]) => String(positive)),
    totals.map(([, { negative }]) => String(negative)),
  ]);
  const fields = [ledger.id, month, end.number, sealing.accounts, end.hash, digest, previous, hash];
  await connection.query(INSERT_MONTH, fields);
  const closed = { month, journalNumber: end.number, accountCount: sealing.accounts, hash: hash.toString('hex') };
  await recordAdministration(connection, ledger, {
    action: 'ledger.month_closed',
    actor,
    subject: ledger.name,
    details: { month, journal_number: String(end.number), accounts: String(sealing.accounts), hash: closed.hash },
  });
  return closed;
}
