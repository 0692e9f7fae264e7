-- all ledgers
select ledger_id::bigint as ledger, null::text as account, currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
  select ledger_id, currency, sum(amount) as total from entries as summed group by ledger_id, currency
) as sums
cross join lateral (
  values ('sum of all entries', ((0) is not distinct from (total)) is true, (0)::text, (total)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((0) is not distinct from (total)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select ledger_id::bigint as ledger, null::text as account, currency::text as currency,
    null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
  from (
    select ledger_id, currency, sum(amount) as total from (select * from (
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
) as anchored where audited) as summed group by ledger_id, currency
  ) as sums
  cross join lateral (
    values ('sum of all entries', ((0) is not distinct from (total)) is true, (0)::text, (total)::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where (((0) is not distinct from (total)) is true) is not true
    and not fact.holds
     order by ledger nulls first, journal nulls first, account, currency, transfer, what
