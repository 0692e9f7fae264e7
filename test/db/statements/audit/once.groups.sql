-- all ledgers
select groups.ledger_id::bigint as ledger, null::text as account, null::text as currency,
  groups.group_id::text as transfer, groups.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (
select ledger_id, group_id, count(*) as total, count(distinct group_position) as position_total, min(group_position) as first,
  max(group_position) as last, bool_and(atomic) as atomic, bool_or(atomic) as any_atomic,
  count(distinct status) as status_total, string_agg(distinct status, ' and ') as statuses,
  count(distinct journal_number) as row_total, max(journal_number) as journal_number from (
select ledger_id, group_id, group_position, atomic, status, journal_number
from transfers as settled
union all
select ledger_id, group_id, group_position, atomic, 'pending', null
from pending_transfers as pending) as members where group_id is not null group by ledger_id, group_id) as groups
cross join lateral (
  values ('positions in the group', (groups.first = 0 and groups.last = total - 1 and position_total = total) is true, ('0, 1, 2, without gaps')::text, (format('%s from %s to %s', total, groups.first, groups.last))::text),
    ('atomic in all of the group', ((groups.atomic) is not distinct from (groups.any_atomic)) is true, (groups.atomic)::text, (groups.any_atomic)::text),
    ('status of the members of an atomic group', (not groups.atomic or status_total = 1) is true, ('one')::text, (statuses)::text),
    ('journal rows of an atomic group that completed', (not groups.atomic or statuses <> 'completed' or row_total = 1) is true, ('1')::text, (row_total)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((groups.first = 0 and groups.last = total - 1 and position_total = total) is true
  and ((groups.atomic) is not distinct from (groups.any_atomic)) is true
  and (not groups.atomic or status_total = 1) is true
  and (not groups.atomic or statuses <> 'completed' or row_total = 1) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select groups.ledger_id::bigint as ledger, null::text as account, null::text as currency,
  groups.group_id::text as transfer, groups.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (
select ledger_id, group_id, count(*) as total, count(distinct group_position) as position_total, min(group_position) as first,
  max(group_position) as last, bool_and(atomic) as atomic, bool_or(atomic) as any_atomic,
  count(distinct status) as status_total, string_agg(distinct status, ' and ') as statuses,
  count(distinct journal_number) as row_total, max(journal_number) as journal_number from (
select settled.*
from (select distinct ledger_id, group_id from (select * from transfers where ledger_id = 1 and journal_number > 7) as members where group_id is not null) as touched
cross join lateral (
  select ledger_id, group_id, group_position, atomic, status, journal_number
  from transfers
  where transfers.ledger_id = touched.ledger_id and transfers.group_id = touched.group_id
  offset 0
) as settled
union all
select ledger_id, group_id, group_position, atomic, 'pending', null
from (select * from pending_transfers where ledger_id = 1) as pending
where (ledger_id, group_id) in (select ledger_id, group_id from (select distinct ledger_id, group_id from (select * from transfers where ledger_id = 1 and journal_number > 7) as members where group_id is not null) as touched)) as members group by ledger_id, group_id) as groups
cross join lateral (
  values ('positions in the group', (groups.first = 0 and groups.last = total - 1 and position_total = total) is true, ('0, 1, 2, without gaps')::text, (format('%s from %s to %s', total, groups.first, groups.last))::text),
    ('atomic in all of the group', ((groups.atomic) is not distinct from (groups.any_atomic)) is true, (groups.atomic)::text, (groups.any_atomic)::text),
    ('status of the members of an atomic group', (not groups.atomic or status_total = 1) is true, ('one')::text, (statuses)::text),
    ('journal rows of an atomic group that completed', (not groups.atomic or statuses <> 'completed' or row_total = 1) is true, ('1')::text, (row_total)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((groups.first = 0 and groups.last = total - 1 and position_total = total) is true
  and ((groups.atomic) is not distinct from (groups.any_atomic)) is true
  and (not groups.atomic or status_total = 1) is true
  and (not groups.atomic or statuses <> 'completed' or row_total = 1) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
