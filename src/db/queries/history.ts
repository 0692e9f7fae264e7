// Finds the balance of an account at a point of the journal. Entries of an account are numbered without gaps, and their
// journal numbers never fall. So a binary search of the numbers finds the last entry up to a point, and no further index
// is needed. The sealed balances of closed months bound the search to the entries of one month.

/**
 * A lateral subquery (entry_number, balance): the last entry, up to a journal number, of the row of `accounts` in the
 * query around it; 0 and 0 if it had none. `ledger` (its id), `journalNumber` and `isSealed` are SQL expressions.
 *
 * `isSealed`: whether a closed month ends at the journal number. Then the nearest sealed balance is the answer, and no
 * entry is read.
 */
export function lastEntryUpTo(ledger: string, journalNumber: string, isSealed = 'false'): string {
  const sealed = (columns: string, comparison: '<=' | '>', direction: 'asc' | 'desc') => `
      select ${columns}
      from sealed_balances
      where sealed_balances.ledger_id = ${ledger}
        and sealed_balances.account_number = accounts.account_number
        and sealed_balances.currency = accounts.currency
        and sealed_balances.journal_number ${comparison} ${journalNumber}
      order by sealed_balances.journal_number ${direction}
      limit 1`;
  return `
  lateral (
    with recursive sealed as (
      ${sealed('entry_number, balance', '<=', 'desc').trim()}
    ), search (low, high) as (
      -- Everything up to low is at or before the point, everything from high on is after it.
      select coalesce((select entry_number from sealed), 0),
        case when ${isSealed} then coalesce((select entry_number from sealed), 0) + 1
          else coalesce((
            ${sealed('entry_number', '>', 'asc').trim()}
          ), accounts.entry_count) + 1
        end
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
    select low as entry_number,
      case
        when low = 0 then 0
        when low = (select entry_number from sealed) then (select balance from sealed)
        else (
          select entries.balance
          from entries
          where entries.ledger_id = ${ledger}
            and entries.account_number = accounts.account_number
            and entries.currency = accounts.currency
            and entries.entry_number = low
        )
      end as balance
    from search
    where high - low = 1
  )`;
}

/** Whether a closed month of a ledger ends at a journal number, or no row is before it. Both are SQL expressions. */
export function isMonthEnd(ledger: string, journalNumber: string): string {
  return `
  ${journalNumber} = 0 or exists (
    select
    from closed_months
    where closed_months.ledger_id = ${ledger} and closed_months.journal_number = ${journalNumber}
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
