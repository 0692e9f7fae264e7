-- all ledgers
select id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from ledgers
cross join lateral (
  values ('id of the ledger', (id >= 1) is true, ('at least 1')::text, (id)::text),
    ('name of the ledger', (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$') is true, ('a name')::text, (name)::text),
    ('created_at of the ledger', (isfinite(created_at)) is true, ('an instant')::text, (created_at)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((id >= 1) is true
  and (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$') is true
  and (isfinite(created_at)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (select (select min(name) from ledgers where id = 1) as name) as first
cross join lateral (
  values ('name of ledger 1', (('main') is not distinct from (name)) is true, ('main')::text, (name)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((('main') is not distinct from (name)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (select id, count(*) as total from ledgers group by id) as counted
cross join lateral (
  values ('ledgers with this id', (total = 1) is true, ('1')::text, (total || ' of ' || id)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((total = 1) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (select name, count(*) as total from ledgers group by name) as counted
cross join lateral (
  values ('ledgers with this name', (total = 1) is true, ('1')::text, (total || ' of ' || name)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((total = 1) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from ledgers
cross join lateral (
  values ('id of the ledger', (id >= 1) is true, ('at least 1')::text, (id)::text),
    ('name of the ledger', (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$') is true, ('a name')::text, (name)::text),
    ('created_at of the ledger', (isfinite(created_at)) is true, ('an instant')::text, (created_at)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((id >= 1) is true
  and (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$') is true
  and (isfinite(created_at)) is true) is not true
  and not fact.holds
  and (id = 1) order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (select (select min(name) from ledgers where id = 1) as name) as first
cross join lateral (
  values ('name of ledger 1', (('main') is not distinct from (name)) is true, ('main')::text, (name)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((('main') is not distinct from (name)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (select id, count(*) as total from ledgers group by id) as counted
cross join lateral (
  values ('ledgers with this id', (total = 1) is true, ('1')::text, (total || ' of ' || id)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((total = 1) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select null::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (select name, count(*) as total from ledgers group by name) as counted
cross join lateral (
  values ('ledgers with this name', (total = 1) is true, ('1')::text, (total || ' of ' || name)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((total = 1) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
