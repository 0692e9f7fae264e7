-- all ledgers
select head.ledger_id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from journal_head as head
  left join ledgers on ledgers.id = head.ledger_id
  left join (
    select ledger_id, max(settled_at) as settled_at
    from journal as journal
    where ledger_id in (select id from ledgers where clock_start is not null)
    group by ledger_id
  ) as last on last.ledger_id = head.ledger_id
cross join lateral (
  values ('clock of the ledger', ((head.clock is null) = (ledgers.clock_start is null)) is true, ('a test clock if the ledger was created with one, otherwise null')::text, (coalesce(head.clock::text, 'null'))::text),
    ('clock of the ledger, where its journal ends', (head.clock is null or head.clock = coalesce(last.settled_at, ledgers.clock_start)) is true, ('the time of the last row, or the start of the clock')::text, (coalesce(head.clock::text, 'null'))::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((head.clock is null) = (ledgers.clock_start is null)) is true
  and (head.clock is null or head.clock = coalesce(last.settled_at, ledgers.clock_start)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select row.ledger_id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, row.number::bigint as journal, fact.what, fact.expected, fact.found
from (
    select journal.ledger_id, number, settled_at, clock_start,
      coalesce(lag(settled_at) over (partition by journal.ledger_id order by number), clock_start) as previous
    from journal as journal
    join ledgers on ledgers.id = journal.ledger_id and clock_start is not null
  ) as row
  left join (select * from audit_log as acts where journal_number is not null) as act
    on act.ledger_id = row.ledger_id and act.journal_number = row.number and action = 'ledger.clock_advanced'
cross join lateral (
  values ('settled_at of a row by a test clock', (settled_at >= clock_start) is true, ('not before the clock started')::text, (settled_at)::text),
    ('settled_at of a row that is no advance of the test clock', (settled_at = previous or act.id is not null) is true, ('that of the row before')::text, (settled_at)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((settled_at >= clock_start) is true
  and (settled_at = previous or act.id is not null) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select transfers.ledger_id::bigint as ledger, transfers.from_account::text as account, transfers.currency::text as currency,
  transfers.id::text as transfer, transfers.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from transfers as transfers
  join ledgers on ledgers.id = transfers.ledger_id and clock_start is not null
cross join lateral (
  values ('created_at by a test clock', (transfers.created_at between clock_start and transfers.completed_at) is true, ('a time that the clock showed before completed_at')::text, (transfers.created_at)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((transfers.created_at between clock_start and transfers.completed_at) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select head.ledger_id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (select * from journal_head where ledger_id = 1) as head
  left join ledgers on ledgers.id = head.ledger_id
  left join (
    select ledger_id, max(settled_at) as settled_at
    from (select * from journal where ledger_id = 1) as journal
    where ledger_id in (select id from ledgers where clock_start is not null)
    group by ledger_id
  ) as last on last.ledger_id = head.ledger_id
cross join lateral (
  values ('clock of the ledger', ((head.clock is null) = (ledgers.clock_start is null)) is true, ('a test clock if the ledger was created with one, otherwise null')::text, (coalesce(head.clock::text, 'null'))::text),
    ('clock of the ledger, where its journal ends', (head.clock is null or head.clock = coalesce(last.settled_at, ledgers.clock_start)) is true, ('the time of the last row, or the start of the clock')::text, (coalesce(head.clock::text, 'null'))::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((head.clock is null) = (ledgers.clock_start is null)) is true
  and (head.clock is null or head.clock = coalesce(last.settled_at, ledgers.clock_start)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select row.ledger_id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, row.number::bigint as journal, fact.what, fact.expected, fact.found
from (
    select journal.ledger_id, number, settled_at, clock_start,
      coalesce(lag(settled_at) over (partition by journal.ledger_id order by number), (select settled_at from journal as anchor where ledger_id = 1 and number = 7), settled_at) as previous
    from (select * from journal where ledger_id = 1 and number > 7) as journal
    join ledgers on ledgers.id = journal.ledger_id and clock_start is not null
  ) as row
  left join (select * from (select * from audit_log where ledger_id = 1 and journal_number > 7) as acts where journal_number is not null) as act
    on act.ledger_id = row.ledger_id and act.journal_number = row.number and action = 'ledger.clock_advanced'
cross join lateral (
  values ('settled_at of a row by a test clock', (settled_at >= clock_start) is true, ('not before the clock started')::text, (settled_at)::text),
    ('settled_at of a row that is no advance of the test clock', (settled_at = previous or act.id is not null) is true, ('that of the row before')::text, (settled_at)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((settled_at >= clock_start) is true
  and (settled_at = previous or act.id is not null) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select transfers.ledger_id::bigint as ledger, transfers.from_account::text as account, transfers.currency::text as currency,
  transfers.id::text as transfer, transfers.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (select * from transfers where ledger_id = 1 and journal_number > 7) as transfers
  join ledgers on ledgers.id = transfers.ledger_id and clock_start is not null
cross join lateral (
  values ('created_at by a test clock', (transfers.created_at between clock_start and transfers.completed_at) is true, ('a time that the clock showed before completed_at')::text, (transfers.created_at)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((transfers.created_at between clock_start and transfers.completed_at) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
