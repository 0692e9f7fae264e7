-- all ledgers
select coalesce(named.ledger_id, entry.ledger_id)::bigint as ledger, coalesce(named.account_number, entry.account_number)::text as account, coalesce(named.currency, entry.currency)::text as currency,
  coalesce(named.transfer_id, entry.transfer_id)::text as transfer, coalesce(named.journal_number, entry.journal_number)::bigint as journal, fact.what, fact.expected, fact.found
from (
select ledger_id, id as transfer_id, from_account as account_number, currency, from_entry_number as entry_number, -amount as amount,
  journal_number
from transfers as transfers
where status = 'completed' and kind in ('transfer', 'capture', 'reversal')
    union all
select ledger_id, id as transfer_id, to_account as account_number, currency, to_entry_number as entry_number, amount as amount,
  journal_number
from transfers as transfers
where status = 'completed' and kind in ('transfer', 'capture', 'reversal')
  ) as named
  full join entries as entry
    on entry.ledger_id = named.ledger_id
    and entry.account_number = named.account_number
    and entry.currency = named.currency
    and entry.entry_number = named.entry_number
cross join lateral (
  values ('entry of the transfer', ((named.transfer_id, named.amount, named.journal_number)
      is not distinct from (entry.transfer_id, entry.amount, entry.journal_number)) is true, (case
  when named.transfer_id is null then 'no entry'
  else format(
    'entry %s of %s: %s of transfer %s in journal row %s', named.entry_number, named.currency, named.amount,
    named.transfer_id, named.journal_number
  )
end)::text, (case
  when entry.transfer_id is null then 'no entry'
  else format(
    'entry %s of %s: %s of transfer %s in journal row %s', entry.entry_number, entry.currency, entry.amount,
    entry.transfer_id, entry.journal_number
  )
end)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((named.transfer_id, named.amount, named.journal_number)
      is not distinct from (entry.transfer_id, entry.amount, entry.journal_number)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select coalesce(named.ledger_id, entry.ledger_id)::bigint as ledger, coalesce(named.account_number, entry.account_number)::text as account, coalesce(named.currency, entry.currency)::text as currency,
    coalesce(named.transfer_id, entry.transfer_id)::text as transfer, coalesce(named.journal_number, entry.journal_number)::bigint as journal, fact.what, fact.expected, fact.found
  from (
  select ledger_id, id as transfer_id, from_account as account_number, currency, from_entry_number as entry_number, -amount as amount,
    journal_number
  from (select * from transfers where ledger_id = 1 and journal_number > 7) as transfers
  where status = 'completed' and kind in ('transfer', 'capture', 'reversal')
      union all
  select ledger_id, id as transfer_id, to_account as account_number, currency, to_entry_number as entry_number, amount as amount,
    journal_number
  from (select * from transfers where ledger_id = 1 and journal_number > 7) as transfers
  where status = 'completed' and kind in ('transfer', 'capture', 'reversal')
    ) as named
    full join (select * from (
  select entries.*, entries.entry_number >= touched.first_number as audited
  from (
  select ledger_id, account_number, currency, min(entry_number) as first_number
  from (
  select ledger_id, from_account as account_number, currency, from_entry_number as entry_number
  from (select * from transfers where ledger_id = 1 and journal_number > 7) as transfers
  where from_entry_number is not null and currency is not null union all
  select ledger_id, to_account as account_number, currency, to_entry_number as entry_number
  from (select * from transfers where ledger_id = 1 and journal_number > 7) as transfers
  where to_entry_number is not null and currency is not null) as side
  group by ledger_id, account_number, currency
) as touched
  cross join lateral (
    select *
    from entries
    where entries.ledger_id = touched.ledger_id
      and entries.account_number = touched.account_number
      and entries.currency = touched.currency
      and entries.entry_number >= touched.first_number - 1
    -- Keeps the planner from making a join of this: look-ups by key are what makes a short scope fast.
    offset 0
  ) as entries
) as anchored where audited) as entry
      on entry.ledger_id = named.ledger_id
      and entry.account_number = named.account_number
      and entry.currency = named.currency
      and entry.entry_number = named.entry_number
  cross join lateral (
    values ('entry of the transfer', ((named.transfer_id, named.amount, named.journal_number)
        is not distinct from (entry.transfer_id, entry.amount, entry.journal_number)) is true, (case
    when named.transfer_id is null then 'no entry'
    else format(
      'entry %s of %s: %s of transfer %s in journal row %s', named.entry_number, named.currency, named.amount,
      named.transfer_id, named.journal_number
    )
  end)::text, (case
    when entry.transfer_id is null then 'no entry'
    else format(
      'entry %s of %s: %s of transfer %s in journal row %s', entry.entry_number, entry.currency, entry.amount,
      entry.transfer_id, entry.journal_number
    )
  end)::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where (((named.transfer_id, named.amount, named.journal_number)
        is not distinct from (entry.transfer_id, entry.amount, entry.journal_number)) is true) is not true
    and not fact.holds
     order by ledger nulls first, journal nulls first, account, currency, transfer, what
