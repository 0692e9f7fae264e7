-- all ledgers
select ledger_id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, number::bigint as journal, fact.what, fact.expected, fact.found
from journal as journal
cross join lateral (
  values ('transfers of the row that had been pending', (intake_count between 0 and transfer_count) is true, ('at most as many as it has')::text, (intake_count)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((intake_count between 0 and transfer_count) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select ledger_id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, number::bigint as journal, fact.what, fact.expected, fact.found
from (select * from journal where ledger_id = 1 and number > 7) as journal
cross join lateral (
  values ('transfers of the row that had been pending', (intake_count between 0 and transfer_count) is true, ('at most as many as it has')::text, (intake_count)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((intake_count between 0 and transfer_count) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
