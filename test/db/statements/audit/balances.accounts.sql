-- all ledgers
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
  select ledger_id, account_number, currency, balance, entry_count, true as known
  from accounts as known_accounts
) as accounts
    full join (
      select ledger_id, account_number, currency, count(*) as entry_total, sum(amount) as amount_total,
        max(entry_number) as last_number
      from entries as summed
      group by ledger_id, account_number, currency
    ) as sums using (ledger_id, account_number, currency)
    left join (
      select ledger_id, account_number, currency, entry_number, balance
      from entries as every
    ) as last (last_ledger, last_account, last_currency, entry_number, balance)
      on last_ledger = ledger_id and last_account = account_number and last_currency = currency and last.entry_number = sums.last_number
cross join lateral (
  values ('account of entries', (accounts.known) is true, ('an account')::text, ('none')::text),
    ('number of entries', ((accounts.known) is not true or ((coalesce(entry_total, 0)) is not distinct from (entry_count))) is true, (coalesce(entry_total, 0))::text, (entry_count)::text),
    ('balance, by the sum of entries', ((accounts.known) is not true or ((coalesce(amount_total, 0)) is not distinct from (accounts.balance))) is true, (coalesce(amount_total, 0))::text, (accounts.balance)::text),
    ('number of the last entry', ((accounts.known) is not true or ((coalesce(last.entry_number, 0)) is not distinct from (entry_count))) is true, (coalesce(last.entry_number, 0))::text, (entry_count)::text),
    ('balance, by the last entry', ((accounts.known) is not true or ((coalesce(last.balance, 0)) is not distinct from (accounts.balance))) is true, (coalesce(last.balance, 0))::text, (accounts.balance)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((accounts.known) is true
  and ((accounts.known) is not true or ((coalesce(entry_total, 0)) is not distinct from (entry_count))) is true
  and ((accounts.known) is not true or ((coalesce(amount_total, 0)) is not distinct from (accounts.balance))) is true
  and ((accounts.known) is not true or ((coalesce(last.entry_number, 0)) is not distinct from (entry_count))) is true
  and ((accounts.known) is not true or ((coalesce(last.balance, 0)) is not distinct from (accounts.balance))) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
    null::text as transfer, last.journal_number::bigint as journal, fact.what, fact.expected, fact.found
  from (
    select ledger_id, account_number, currency, balance, entry_count, true as known
    from (select * from accounts where ledger_id = 1) as known_accounts
  ) as accounts
    full join (
  select ledger_id, account_number, currency, min(entry_number) as first_number
  from (
  select ledger_id, from_account as account_number, currency, from_entry_number as entry_number
  from (select * from transfers where ledger_id = 1 and journal_number > 7) as transfers
  where from_entry_number is not null and currency is not null union all
  select ledger_id, to_account as account_number, currency, to_entry_number as entry_number
  from (select * from transfers where ledger_id = 1 and journal_number > 7) as transfers
  where to_entry_number is not null and currency is not null) as side
  group by ledger_id, account_number, currency
) as touched using (ledger_id, account_number, currency)
    left join lateral (
      select entry_number, balance, journal_number
      from entries
      where entries.ledger_id = 1
        and entries.account_number = coalesce(accounts.account_number, touched.account_number)
        and entries.currency = coalesce(accounts.currency, touched.currency)
      order by entry_number desc
      limit 1
    ) as last on true
  cross join lateral (
    values ('account of entries', (accounts.known) is true, ('an account')::text, ('none')::text),
      ('number of the last entry', ((accounts.known) is not true or ((coalesce(last.entry_number, 0)) is not distinct from (entry_count))) is true, (coalesce(last.entry_number, 0))::text, (entry_count)::text),
      ('balance, by the last entry', ((accounts.known) is not true or ((coalesce(last.balance, 0)) is not distinct from (accounts.balance))) is true, (coalesce(last.balance, 0))::text, (accounts.balance)::text),
      ('entries after journal row 7', ((accounts.known) is not true or ((case when first_number is null then 'none' else 'some' end) is not distinct from (case when coalesce(last.journal_number, 0) <= 7 then 'none' else 'some' end))) is true, (case when first_number is null then 'none' else 'some' end)::text, (case when coalesce(last.journal_number, 0) <= 7 then 'none' else 'some' end)::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where ((accounts.known) is true
    and ((accounts.known) is not true or ((coalesce(last.entry_number, 0)) is not distinct from (entry_count))) is true
    and ((accounts.known) is not true or ((coalesce(last.balance, 0)) is not distinct from (accounts.balance))) is true
    and ((accounts.known) is not true or ((case when first_number is null then 'none' else 'some' end) is not distinct from (case when coalesce(last.journal_number, 0) <= 7 then 'none' else 'some' end))) is true) is not true
    and not fact.holds
     order by ledger nulls first, journal nulls first, account, currency, transfer, what
