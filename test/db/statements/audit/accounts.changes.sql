-- all ledgers
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  null::text as transfer, journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (
    select *,
      coalesce(lag(change_number) over run, 0) + 1 as next_number,
      coalesce(lag(journal_number) over run, 0) as previous_journal_number
    from account_changes as account_changes
    window run as (partition by ledger_id, account_number, currency order by change_number)
  ) as change
  left join accounts as accounts using (ledger_id, account_number, currency)
cross join lateral (
  values ('change number', ((next_number) is not distinct from (change_number)) is true, (next_number)::text, (change_number)::text),
    ('journal number', (journal_number >= previous_journal_number) is true, ('none before that of the change before')::text, (journal_number)::text),
    ('account of the change', (accounts.created_at is not null) is true, ('an account')::text, ('none')::text),
    ('ordered_by', (ordered_by is null or ordered_by <> '') is true, ('a key, or null')::text, (ordered_by)::text),
    ('approved_by', (approved_by is null or approved_by <> '') is true, ('a key, or null')::text, (approved_by)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((next_number) is not distinct from (change_number)) is true
  and (journal_number >= previous_journal_number) is true
  and (accounts.created_at is not null) is true
  and (ordered_by is null or ordered_by <> '') is true
  and (approved_by is null or approved_by <> '') is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select change.ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  null::text as transfer, journal_number::bigint as journal, fact.what, fact.expected, fact.found
from account_changes as change
  left join journal as journal
    on journal.ledger_id = change.ledger_id and journal.number = change.journal_number
cross join lateral (
  values ('journal row of the change', (journal.number is not null) is true, ('one')::text, ('none')::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((journal.number is not null) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  null::text as transfer, journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (
    select *,
      coalesce(lag(change_number) over run, 0) + 1 as next_number,
      coalesce(lag(journal_number) over run, 0) as previous_journal_number
    from (select * from account_changes where ledger_id = 1) as account_changes
    window run as (partition by ledger_id, account_number, currency order by change_number)
  ) as change
  left join (select * from accounts where ledger_id = 1) as accounts using (ledger_id, account_number, currency)
cross join lateral (
  values ('change number', ((next_number) is not distinct from (change_number)) is true, (next_number)::text, (change_number)::text),
    ('journal number', (journal_number >= previous_journal_number) is true, ('none before that of the change before')::text, (journal_number)::text),
    ('account of the change', (accounts.created_at is not null) is true, ('an account')::text, ('none')::text),
    ('ordered_by', (ordered_by is null or ordered_by <> '') is true, ('a key, or null')::text, (ordered_by)::text),
    ('approved_by', (approved_by is null or approved_by <> '') is true, ('a key, or null')::text, (approved_by)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((next_number) is not distinct from (change_number)) is true
  and (journal_number >= previous_journal_number) is true
  and (accounts.created_at is not null) is true
  and (ordered_by is null or ordered_by <> '') is true
  and (approved_by is null or approved_by <> '') is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select change.ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  null::text as transfer, journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (select * from account_changes where ledger_id = 1 and journal_number > 7) as change
  left join (select * from journal where ledger_id = 1 and number > 7) as journal
    on journal.ledger_id = change.ledger_id and journal.number = change.journal_number
cross join lateral (
  values ('journal row of the change', (journal.number is not null) is true, ('one')::text, ('none')::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((journal.number is not null) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
