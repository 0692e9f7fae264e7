-- all ledgers
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
    select ledger_id, account_number, currency, held, true as known
    from accounts as known_accounts
  ) as accounts
  full join (
    select ledger_id, from_account as account_number, currency, sum(amount - captured - released) as open_total
    from holds as holds
    where state = 'open'
    group by ledger_id, from_account, currency
  ) as open_holds using (ledger_id, account_number, currency)
cross join lateral (
  values ('account of open holds', (accounts.known) is true, ('an account')::text, ('none')::text),
    ('held, by open holds', ((accounts.known) is not true or ((coalesce(open_total, 0)) is not distinct from (held))) is true, (coalesce(open_total, 0))::text, (held)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((accounts.known) is true
  and ((accounts.known) is not true or ((coalesce(open_total, 0)) is not distinct from (held))) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
    select ledger_id, account_number, currency, held, true as known
    from (select * from accounts where ledger_id = 1) as known_accounts
  ) as accounts
  full join (
    select ledger_id, from_account as account_number, currency, sum(amount - captured - released) as open_total
    from (select * from holds where ledger_id = 1) as holds
    where state = 'open'
    group by ledger_id, from_account, currency
  ) as open_holds using (ledger_id, account_number, currency)
cross join lateral (
  values ('account of open holds', (accounts.known) is true, ('an account')::text, ('none')::text),
    ('held, by open holds', ((accounts.known) is not true or ((coalesce(open_total, 0)) is not distinct from (held))) is true, (coalesce(open_total, 0))::text, (held)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((accounts.known) is true
  and ((accounts.known) is not true or ((coalesce(open_total, 0)) is not distinct from (held))) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
