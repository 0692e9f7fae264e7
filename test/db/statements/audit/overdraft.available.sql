-- all ledgers
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from accounts as accounts
cross join lateral (
  values ('available, which is balance - held + overdraft limit', (balance - held + overdraft_limit >= 0) is true, ('at least 0')::text, (balance - held + overdraft_limit)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((balance - held + overdraft_limit >= 0) is true) is not true
  and not fact.holds
  and (account_number not like '@%') order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (select * from accounts where ledger_id = 1) as accounts
cross join lateral (
  values ('available, which is balance - held + overdraft limit', (balance - held + overdraft_limit >= 0) is true, ('at least 0')::text, (balance - held + overdraft_limit)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((balance - held + overdraft_limit >= 0) is true) is not true
  and not fact.holds
  and (account_number not like '@%') order by ledger nulls first, journal nulls first, account, currency, transfer, what
