// Finds the balance of an account at a point of the journal. Entries of an account are numbered without gaps, and their
// journal numbers never fall. So a binary search of the numbers finds the last entry up to a point. It takes about
// twenty probes of the primary key for a million entries, and no further index.

/**
 * A lateral subquery (entry_number, balance): the last entry, up to a journal number, of the row of `accounts` in the
 * query around it; 0 and 0 if it had none. `ledger` (its id) and `journalNumber` are SQL expressions.
 */
export function lastEntryUpTo(ledger: string, journalNumber: string): string {
  return `
  lateral (
    with recursive search (low, high) as (
      -- Everything up to low is at or before the point, everything from high on is after it.
      select 0::bigint, accounts.entry_count + 1
      union all
      select
        case when probe.journal_number <= ${journalNumber} then (low + high) / 2 else low end,
        case when probe.journal_number <= ${journalNumber} then high else (low + high) / 2 end
      from search
      cross join lateral (
        select journal_number
        from entries
        where entries.ledger_id = ${ledger}
          and entries.account_number = accounts.account_number
          and entries.currency = accounts.currency
          and entries.entry_number = (low + high) / 2
      ) as probe
      where high - low > 1
    )
    select coalesce(entries.entry_number, 0) as entry_number, coalesce(entries.balance, 0) as balance
    from search
    left join entries
      on entries.ledger_id = ${ledger}
      and entries.account_number = accounts.account_number
      and entries.currency = accounts.currency
      and entries.entry_number = low
    where high - low = 1
  )`;
}

/** The number of a ledger's last journal row before an instant (`<`) or up to it (`<=`); 0 if there was none. */
export function lastJournalNumber(ledger: string, comparison: '<' | '<=', instant: string): string {
  return `
  coalesce(
    (
      select number
      from journal
      where ledger_id = ${ledger} and settled_at ${comparison} ${instant}
      order by settled_at desc, number desc
      limit 1
    ),
    0
  )`;
}
