-- all ledgers
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  transfer_id::text as transfer, journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (
  select *,
    coalesce(lag(entry_number) over run, 0) + 1 as next_number,
    coalesce(lag(balance) over run, 0) + amount as next_balance,
    coalesce(lag(journal_number) over run, 1) as previous_journal_number
  from (select entries.*, true as audited from entries as entries) as entries
  window run as (partition by ledger_id, account_number, currency order by entry_number)
) as entry
cross join lateral (
  values ('entry number', ((next_number) is not distinct from (entry_number)) is true, (next_number)::text, (entry_number)::text),
    ('running balance', ((next_balance) is not distinct from (balance)) is true, (next_balance)::text, (balance)::text),
    ('journal number', (journal_number >= previous_journal_number) is true, ('none before that of the entry before')::text, (journal_number)::text),
    ('amount', (amount <> 0) is true, ('not 0')::text, (amount)::text),
    ('balance', (balance between -9007199254740991 and 9007199254740991) is true, ('-9007199254740991 to 9007199254740991')::text, (balance)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((next_number) is not distinct from (entry_number)) is true
  and ((next_balance) is not distinct from (balance)) is true
  and (journal_number >= previous_journal_number) is true
  and (amount <> 0) is true
  and (balance between -9007199254740991 and 9007199254740991) is true) is not true
  and not fact.holds
  and (audited) order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
    transfer_id::text as transfer, journal_number::bigint as journal, fact.what, fact.expected, fact.found
  from (
    select *,
      coalesce(lag(entry_number) over run, 0) + 1 as next_number,
      coalesce(lag(balance) over run, 0) + amount as next_balance,
      coalesce(lag(journal_number) over run, 1) as previous_journal_number
    from (
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
) as entries
    window run as (partition by ledger_id, account_number, currency order by entry_number)
  ) as entry
  cross join lateral (
    values ('entry number', ((next_number) is not distinct from (entry_number)) is true, (next_number)::text, (entry_number)::text),
      ('running balance', ((next_balance) is not distinct from (balance)) is true, (next_balance)::text, (balance)::text),
      ('journal number', (journal_number >= previous_journal_number) is true, ('none before that of the entry before')::text, (journal_number)::text),
      ('amount', (amount <> 0) is true, ('not 0')::text, (amount)::text),
      ('balance', (balance between -9007199254740991 and 9007199254740991) is true, ('-9007199254740991 to 9007199254740991')::text, (balance)::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where (((next_number) is not distinct from (entry_number)) is true
    and ((next_balance) is not distinct from (balance)) is true
    and (journal_number >= previous_journal_number) is true
    and (amount <> 0) is true
    and (balance between -9007199254740991 and 9007199254740991) is true) is not true
    and not fact.holds
    and (audited) order by ledger nulls first, journal nulls first, account, currency, transfer, what
