-- all ledgers
select child.ledger_id::bigint as ledger, child.from_account::text as account, child.currency::text as currency,
  child.id::text as transfer, child.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (
    select * from transfers as children where status = 'completed' and parent_id is not null
  ) as child
  left join transfers as parent on parent.ledger_id = child.ledger_id and parent.id = child.parent_id
cross join lateral (
  values ('parent', (parent.id is not null) is true, ('a settled transfer')::text, (child.parent_id)::text),
    ('kind and status of the parent', ((parent.id is not null) is not true or (parent.status = 'completed'
      and case when child.kind = 'reversal' then parent.kind in ('transfer', 'capture') else parent.kind = 'hold' end)) is true, ('a completed hold, or for a reversal a completed transfer or capture')::text, (parent.status || ' ' || parent.kind)::text),
    ('from_account', ((parent.id is not null) is not true or ((case when child.kind = 'reversal' then parent.to_account else parent.from_account end) is not distinct from (child.from_account))) is true, (case when child.kind = 'reversal' then parent.to_account else parent.from_account end)::text, (child.from_account)::text),
    ('to_account', ((parent.id is not null) is not true or ((case when child.kind = 'reversal' then parent.from_account else parent.to_account end) is not distinct from (child.to_account))) is true, (case when child.kind = 'reversal' then parent.from_account else parent.to_account end)::text, (child.to_account)::text),
    ('currency', ((parent.id is not null) is not true or ((parent.currency) is not distinct from (child.currency))) is true, (parent.currency)::text, (child.currency)::text),
    ('place in the journal', ((parent.id is not null) is not true or ((child.journal_number, child.journal_position) > (parent.journal_number, parent.journal_position))) is true, ('after its parent')::text, (child.journal_position)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((parent.id is not null) is true
  and ((parent.id is not null) is not true or (parent.status = 'completed'
      and case when child.kind = 'reversal' then parent.kind in ('transfer', 'capture') else parent.kind = 'hold' end)) is true
  and ((parent.id is not null) is not true or ((case when child.kind = 'reversal' then parent.to_account else parent.from_account end) is not distinct from (child.from_account))) is true
  and ((parent.id is not null) is not true or ((case when child.kind = 'reversal' then parent.from_account else parent.to_account end) is not distinct from (child.to_account))) is true
  and ((parent.id is not null) is not true or ((parent.currency) is not distinct from (child.currency))) is true
  and ((parent.id is not null) is not true or ((child.journal_number, child.journal_position) > (parent.journal_number, parent.journal_position))) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select child.ledger_id::bigint as ledger, child.from_account::text as account, child.currency::text as currency,
  child.id::text as transfer, child.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (
    select * from (select * from transfers where ledger_id = 1 and journal_number > 7) as children where status = 'completed' and parent_id is not null
  ) as child
  left join lateral (select * from (select * from transfers where ledger_id = 1) as parent where parent.ledger_id = child.ledger_id and parent.id = child.parent_id offset 0) as parent on true
cross join lateral (
  values ('parent', (parent.id is not null) is true, ('a settled transfer')::text, (child.parent_id)::text),
    ('kind and status of the parent', ((parent.id is not null) is not true or (parent.status = 'completed'
      and case when child.kind = 'reversal' then parent.kind in ('transfer', 'capture') else parent.kind = 'hold' end)) is true, ('a completed hold, or for a reversal a completed transfer or capture')::text, (parent.status || ' ' || parent.kind)::text),
    ('from_account', ((parent.id is not null) is not true or ((case when child.kind = 'reversal' then parent.to_account else parent.from_account end) is not distinct from (child.from_account))) is true, (case when child.kind = 'reversal' then parent.to_account else parent.from_account end)::text, (child.from_account)::text),
    ('to_account', ((parent.id is not null) is not true or ((case when child.kind = 'reversal' then parent.from_account else parent.to_account end) is not distinct from (child.to_account))) is true, (case when child.kind = 'reversal' then parent.from_account else parent.to_account end)::text, (child.to_account)::text),
    ('currency', ((parent.id is not null) is not true or ((parent.currency) is not distinct from (child.currency))) is true, (parent.currency)::text, (child.currency)::text),
    ('place in the journal', ((parent.id is not null) is not true or ((child.journal_number, child.journal_position) > (parent.journal_number, parent.journal_position))) is true, ('after its parent')::text, (child.journal_position)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((parent.id is not null) is true
  and ((parent.id is not null) is not true or (parent.status = 'completed'
      and case when child.kind = 'reversal' then parent.kind in ('transfer', 'capture') else parent.kind = 'hold' end)) is true
  and ((parent.id is not null) is not true or ((case when child.kind = 'reversal' then parent.to_account else parent.from_account end) is not distinct from (child.from_account))) is true
  and ((parent.id is not null) is not true or ((case when child.kind = 'reversal' then parent.from_account else parent.to_account end) is not distinct from (child.to_account))) is true
  and ((parent.id is not null) is not true or ((parent.currency) is not distinct from (child.currency))) is true
  and ((parent.id is not null) is not true or ((child.journal_number, child.journal_position) > (parent.journal_number, parent.journal_position))) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
