-- all ledgers
select coalesce(record.ledger_id, reversals.ledger_id)::bigint as ledger, original.to_account::text as account, original.currency::text as currency,
  transfer_id::text as transfer, original.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (
      select ledger_id, transfer_id, amount, reversed, true as known
      from reversed_amounts as reversed_amounts
    ) as record
    full join (
select ledger_id, parent_id as transfer_id, sum(amount) as total
from transfers as transfers
where status = 'completed' and kind = 'reversal' group by ledger_id, parent_id) as reversals using (ledger_id, transfer_id) left join transfers as original on original.ledger_id = coalesce(record.ledger_id, reversals.ledger_id) and original.id = transfer_id
cross join lateral (
  values ('record of what was reversed', (record.known) is true, ('one')::text, ('none')::text),
    ('reversed, by completed reversals', ((record.known) is not true or ((reversals.total) is not distinct from (record.reversed))) is true, (reversals.total)::text, (record.reversed)::text),
    ('amount of the original', ((record.known) is not true or ((original.amount) is not distinct from (record.amount))) is true, (original.amount)::text, (record.amount)::text),
    ('reversed', ((record.known) is not true or (record.reversed between 1 and record.amount)) is true, ('from 1 to the amount')::text, (record.reversed)::text),
    ('kind and status of the original', ((record.known) is not true or (original.status = 'completed' and original.kind in ('transfer', 'capture'))) is true, ('a completed transfer or capture')::text, (original.status || ' ' || original.kind)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((record.known) is true
  and ((record.known) is not true or ((reversals.total) is not distinct from (record.reversed))) is true
  and ((record.known) is not true or ((original.amount) is not distinct from (record.amount))) is true
  and ((record.known) is not true or (record.reversed between 1 and record.amount)) is true
  and ((record.known) is not true or (original.status = 'completed' and original.kind in ('transfer', 'capture'))) is true) is not true
  and not fact.holds
  and (record.known or reversals.total is not null) order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select ledger_id::bigint as ledger, null::text as account, null::text as currency,
  transfer_id::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
  select ledger_id, transfer_id, count(*) as total
  from reversed_amounts as reversed_amounts
  group by ledger_id, transfer_id
) as records
cross join lateral (
  values ('records of what was reversed', ((1) is not distinct from (total)) is true, (1)::text, (total)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((1) is not distinct from (total)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select touched.ledger_id::bigint as ledger, original.to_account::text as account, original.currency::text as currency,
    touched.transfer_id::text as transfer, original.journal_number::bigint as journal, fact.what, fact.expected, fact.found
  from (
  select distinct ledger_id, parent_id as transfer_id from (select * from transfers where ledger_id = 1 and journal_number > 7) as transfers where kind = 'reversal'
) as touched
      left join lateral (
        select amount, reversed, true as known
        from reversed_amounts
        where reversed_amounts.ledger_id = touched.ledger_id
          and reversed_amounts.transfer_id = touched.transfer_id
        offset 0
      ) as record on true
      left join lateral (
  select ledger_id, parent_id as transfer_id, sum(amount) as total
  from (select * from transfers where ledger_id = 1) as transfers
  where status = 'completed' and kind = 'reversal' and parent_id = touched.transfer_id group by ledger_id, parent_id
      ) as reversals on true left join lateral (select * from (select * from transfers where ledger_id = 1) as original where original.ledger_id = touched.ledger_id and original.id = touched.transfer_id offset 0) as original on true
  cross join lateral (
    values ('record of what was reversed', (record.known) is true, ('one')::text, ('none')::text),
      ('reversed, by completed reversals', ((record.known) is not true or ((reversals.total) is not distinct from (record.reversed))) is true, (reversals.total)::text, (record.reversed)::text),
      ('amount of the original', ((record.known) is not true or ((original.amount) is not distinct from (record.amount))) is true, (original.amount)::text, (record.amount)::text),
      ('reversed', ((record.known) is not true or (record.reversed between 1 and record.amount)) is true, ('from 1 to the amount')::text, (record.reversed)::text),
      ('kind and status of the original', ((record.known) is not true or (original.status = 'completed' and original.kind in ('transfer', 'capture'))) is true, ('a completed transfer or capture')::text, (original.status || ' ' || original.kind)::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where ((record.known) is true
    and ((record.known) is not true or ((reversals.total) is not distinct from (record.reversed))) is true
    and ((record.known) is not true or ((original.amount) is not distinct from (record.amount))) is true
    and ((record.known) is not true or (record.reversed between 1 and record.amount)) is true
    and ((record.known) is not true or (original.status = 'completed' and original.kind in ('transfer', 'capture'))) is true) is not true
    and not fact.holds
    and (record.known or reversals.total is not null) order by ledger nulls first, journal nulls first, account, currency, transfer, what
