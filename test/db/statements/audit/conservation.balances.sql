-- all ledgers
select ledger_id::bigint as ledger, null::text as account, currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
  select ledger_id, currency, sum(balance) as total from accounts as summed group by ledger_id, currency
) as sums
cross join lateral (
  values ('sum of all balances', ((0) is not distinct from (total)) is true, (0)::text, (total)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((0) is not distinct from (total)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select ledger_id::bigint as ledger, null::text as account, currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
  select ledger_id, currency, sum(balance) as total from (select * from accounts where ledger_id = 1) as summed group by ledger_id, currency
) as sums
cross join lateral (
  values ('sum of all balances', ((0) is not distinct from (total)) is true, (0)::text, (total)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((0) is not distinct from (total)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
