-- all ledgers
select pending.ledger_id::bigint as ledger, pending.from_account::text as account, null::text as currency,
  pending.id::text as transfer, settled.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from pending_transfers as pending
  left join transfers as settled on settled.ledger_id = pending.ledger_id and settled.id = pending.id
cross join lateral (
  values ('pending transfer', (settled.id is null) is true, ('not settled')::text, ('settled as well')::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((settled.id is null) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select ledger_id::bigint as ledger, null::text as account, null::text as currency,
  id::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
  select ledger_id, id, count(*) as total
  from transfers as transfers
  group by ledger_id, id
  having count(*) > 1
) as settled
cross join lateral (
  values ('times that it was settled', ((1) is not distinct from (total)) is true, (1)::text, (total)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((1) is not distinct from (total)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select pending.ledger_id::bigint as ledger, pending.from_account::text as account, null::text as currency,
  pending.id::text as transfer, settled.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (select * from pending_transfers where ledger_id = 1) as pending
  left join lateral (select * from (select * from transfers where ledger_id = 1) as settled where settled.ledger_id = pending.ledger_id and settled.id = pending.id offset 0) as settled on true
cross join lateral (
  values ('pending transfer', (settled.id is null) is true, ('not settled')::text, ('settled as well')::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((settled.id is null) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
