-- all ledgers
select transfers.ledger_id::bigint as ledger, transfers.from_account::text as account, transfers.currency::text as currency,
  transfers.id::text as transfer, transfers.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from transfers as transfers
  left join journal as journal
    on journal.ledger_id = transfers.ledger_id and journal.number = transfers.journal_number
cross join lateral (
  values ('journal row', (journal.number is not null) is true, ('one')::text, ('none')::text),
    ('completed_at', ((journal.number is not null) is not true or ((journal.settled_at) is not distinct from (transfers.completed_at))) is true, (journal.settled_at)::text, (transfers.completed_at)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((journal.number is not null) is true
  and ((journal.number is not null) is not true or ((journal.settled_at) is not distinct from (transfers.completed_at))) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select transfers.ledger_id::bigint as ledger, transfers.from_account::text as account, transfers.currency::text as currency,
  transfers.id::text as transfer, transfers.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (select * from transfers where ledger_id = 1 and journal_number > 7) as transfers
  left join (select * from journal where ledger_id = 1 and number > 7) as journal
    on journal.ledger_id = transfers.ledger_id and journal.number = transfers.journal_number
cross join lateral (
  values ('journal row', (journal.number is not null) is true, ('one')::text, ('none')::text),
    ('completed_at', ((journal.number is not null) is not true or ((journal.settled_at) is not distinct from (transfers.completed_at))) is true, (journal.settled_at)::text, (transfers.completed_at)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((journal.number is not null) is true
  and ((journal.number is not null) is not true or ((journal.settled_at) is not distinct from (transfers.completed_at))) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
