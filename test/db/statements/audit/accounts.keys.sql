-- all ledgers
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from accounts as accounts
  full join (
    select ledger_id, account_number, currency, count(*) as total
    from personal_keys as personal_keys
    group by ledger_id, account_number, currency
  ) as keys using (ledger_id, account_number, currency)
cross join lateral (
  values ('account of the key', (accounts.created_at is not null) is true, ('an account')::text, ('none')::text),
    ('keys of the personal data', ((accounts.created_at is not null) is not true or ((num_nonnulls(personal_data)) is not distinct from (coalesce(keys.total, 0)))) is true, (num_nonnulls(personal_data))::text, (coalesce(keys.total, 0))::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((accounts.created_at is not null) is true
  and ((accounts.created_at is not null) is not true or ((num_nonnulls(personal_data)) is not distinct from (coalesce(keys.total, 0)))) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (select * from accounts where ledger_id = 1) as accounts
  full join (
    select ledger_id, account_number, currency, count(*) as total
    from (select * from personal_keys where ledger_id = 1) as personal_keys
    group by ledger_id, account_number, currency
  ) as keys using (ledger_id, account_number, currency)
cross join lateral (
  values ('account of the key', (accounts.created_at is not null) is true, ('an account')::text, ('none')::text),
    ('keys of the personal data', ((accounts.created_at is not null) is not true or ((num_nonnulls(personal_data)) is not distinct from (coalesce(keys.total, 0)))) is true, (num_nonnulls(personal_data))::text, (coalesce(keys.total, 0))::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((accounts.created_at is not null) is true
  and ((accounts.created_at is not null) is not true or ((num_nonnulls(personal_data)) is not distinct from (coalesce(keys.total, 0)))) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
