// The books after a run: checks the promises, in SQL of its own.
import type { Connection } from '../src/db/connect.ts';
import { BrokenPromise } from './contestant.ts';

/** Each is true of whole books. */
const PROMISES: Readonly<Record<string, string>> = {
  'the balances of every ledger sum to zero':
    'select not exists (select from accounts group by ledger_id, currency having sum(balance) <> 0) as holds',
  'nothing is pending': 'select not exists (select from pending_transfers) as holds',
  'the entries explain every balance': `
    select not exists (
      select
      from accounts
      full join (
        select ledger_id, account_number, currency, sum(amount) as total, count(*) as entry_count, min(entry_number) as first,
          max(entry_number) as last, (array_agg(balance order by entry_number desc))[1] as balance
        from entries
        group by ledger_id, account_number, currency
      ) as explained using (ledger_id, account_number, currency)
      where accounts.balance is distinct from coalesce(explained.total, 0)
        or accounts.balance is distinct from coalesce(explained.balance, 0)
        or accounts.entry_count is distinct from coalesce(explained.entry_count, 0)
        or (explained.first, explained.last) is distinct from (1, accounts.entry_count) and accounts.entry_count > 0
    ) as holds`,
  'every completed transfer has its two entries': `
    select (select count(*) from entries) = 2 * count(*)
      and (select coalesce(sum(abs(amount)), 0) from entries) = 2 * coalesce(sum(amount), 0) as holds
    from transfers
    where status = 'completed'`,
  'the journal covers every transfer, without gaps': `
    select (select count(*) from transfers) = (select coalesce(sum(transfer_count), 0) from journal)
      and not exists (
        select
        from journal_head as head
        left join journal using (ledger_id)
        group by ledger_id, head.number
        having head.number <> count(journal.number) or head.number <> coalesce(max(journal.number), 0)
      ) as holds`,
};

/** Throws if the books are not whole, as one snapshot shows them. */
export async function checkBooks(connection: Connection): Promise<void> {
  await connection.query('begin isolation level repeatable read, read only');
  try {
    await connection.query("set local work_mem = '256MB'");
    for (const [promise, text] of Object.entries(PROMISES)) {
      const { rows } = await connection.query<{ holds: boolean }>(text);
      if (rows[0]?.holds !== true) throw new BrokenPromise(`It is not true that ${promise}.`);
    }
  } finally {
    await connection.query('rollback');
  }
}
