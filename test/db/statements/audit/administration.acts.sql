-- all ledgers
select act.ledger_id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, act.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (select * from audit_log as acts where journal_number is not null) as act
  left join journal as journal
    on journal.ledger_id = act.ledger_id and journal.number = act.journal_number
cross join lateral (
  values ('journal row of the act', (journal.number is not null) is true, ('one')::text, ('none')::text),
    ('action', (action <> 'refused') is true, ('an administrative act')::text, (action)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((journal.number is not null) is true
  and (action <> 'refused') is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select act.ledger_id::bigint as ledger, null::text as account, null::text as currency,
  null::text as transfer, act.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (select * from (select * from audit_log where ledger_id = 1 and journal_number > 7) as acts where journal_number is not null) as act
  left join (select * from journal where ledger_id = 1 and number > 7) as journal
    on journal.ledger_id = act.ledger_id and journal.number = act.journal_number
cross join lateral (
  values ('journal row of the act', (journal.number is not null) is true, ('one')::text, ('none')::text),
    ('action', (action <> 'refused') is true, ('an administrative act')::text, (action)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((journal.number is not null) is true
  and (action <> 'refused') is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
