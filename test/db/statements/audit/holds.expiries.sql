-- all ledgers
select hold.ledger_id::bigint as ledger, hold.from_account::text as account, hold.currency::text as currency,
  hold.id::text as transfer, expiry.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (select * from holds as holds where expiry_id is not null or state = 'expired') as hold
  left join transfers as expiry on expiry.ledger_id = hold.ledger_id and expiry.id = hold.expiry_id
cross join lateral (
  values ('hold of the expiry it names', ((hold.id) is not distinct from (expiry.parent_id)) is true, (hold.id)::text, (expiry.parent_id)::text),
    ('kind and status of the expiry it names', (expiry.kind = 'expiry' and expiry.status = 'completed') is true, ('a completed expiry')::text, (coalesce(expiry.status || ' ' || expiry.kind, 'none'))::text),
    ('state of a hold that names an expiry', (hold.state = 'expired') is true, ('expired')::text, (hold.state)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((hold.id) is not distinct from (expiry.parent_id)) is true
  and (expiry.kind = 'expiry' and expiry.status = 'completed') is true
  and (hold.state = 'expired') is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select expiry.ledger_id::bigint as ledger, null::text as account, null::text as currency,
  expiry.id::text as transfer, expiry.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (
    select ledger_id, id, parent_id, status, journal_number from transfers as settled where kind = 'expiry'
    union all
    select ledger_id, id, parent_id, 'pending' as status, null::bigint as journal_number
      from pending_transfers as pending
      where kind = 'expiry'
  ) as expiry
  left join holds as hold on hold.ledger_id = expiry.ledger_id and hold.id = expiry.parent_id
cross join lateral (
  values ('hold of the expiry', (hold.id is not null) is true, ('a hold')::text, ('none')::text),
    ('expiry named by its hold', (expiry.status <> 'completed' or expiry.id = hold.expiry_id) is true, ('by the one that completed')::text, (coalesce(hold.expiry_id::text, 'none'))::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((hold.id is not null) is true
  and (expiry.status <> 'completed' or expiry.id = hold.expiry_id) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select ledger_id::bigint as ledger, null::text as account, null::text as currency,
  id::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (select ledger_id, id, count(*) as total from holds as holds group by ledger_id, id) as hold
cross join lateral (
  values ('holds with this id', ((1) is not distinct from (total)) is true, (1)::text, (total)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((1) is not distinct from (total)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select hold.ledger_id::bigint as ledger, hold.from_account::text as account, hold.currency::text as currency,
    hold.id::text as transfer, expiry.journal_number::bigint as journal, fact.what, fact.expected, fact.found
  from (select * from (select holds.* from (
  select id from (select * from transfers where ledger_id = 1 and journal_number > 7) as made where kind = 'hold' and status = 'completed'
  union select parent_id from (select * from transfers where ledger_id = 1 and journal_number > 7) as parts where kind in ('capture', 'void', 'expiry')
  union select id from (select * from holds where ledger_id = 1) as opened where state = 'open'
) as touched join (select * from holds where ledger_id = 1) as holds using (id)) as holds where expiry_id is not null or state = 'expired') as hold
    left join lateral (select * from (select * from transfers where ledger_id = 1) as expiry where expiry.ledger_id = hold.ledger_id and expiry.id = hold.expiry_id offset 0) as expiry on true
  cross join lateral (
    values ('hold of the expiry it names', ((hold.id) is not distinct from (expiry.parent_id)) is true, (hold.id)::text, (expiry.parent_id)::text),
      ('kind and status of the expiry it names', (expiry.kind = 'expiry' and expiry.status = 'completed') is true, ('a completed expiry')::text, (coalesce(expiry.status || ' ' || expiry.kind, 'none'))::text),
      ('state of a hold that names an expiry', (hold.state = 'expired') is true, ('expired')::text, (hold.state)::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where (((hold.id) is not distinct from (expiry.parent_id)) is true
    and (expiry.kind = 'expiry' and expiry.status = 'completed') is true
    and (hold.state = 'expired') is true) is not true
    and not fact.holds
     order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select expiry.ledger_id::bigint as ledger, null::text as account, null::text as currency,
  expiry.id::text as transfer, expiry.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (
    select ledger_id, id, parent_id, status, journal_number from (select * from transfers where ledger_id = 1 and journal_number > 7) as settled where kind = 'expiry'
    union all
    select ledger_id, id, parent_id, 'pending' as status, null::bigint as journal_number
      from (select * from pending_transfers where ledger_id = 1) as pending
      where kind = 'expiry'
  ) as expiry
  left join lateral (select * from (select * from holds where ledger_id = 1) as hold where hold.ledger_id = expiry.ledger_id and hold.id = expiry.parent_id offset 0) as hold on true
cross join lateral (
  values ('hold of the expiry', (hold.id is not null) is true, ('a hold')::text, ('none')::text),
    ('expiry named by its hold', (expiry.status <> 'completed' or expiry.id = hold.expiry_id) is true, ('by the one that completed')::text, (coalesce(hold.expiry_id::text, 'none'))::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((hold.id is not null) is true
  and (expiry.status <> 'completed' or expiry.id = hold.expiry_id) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select ledger_id::bigint as ledger, null::text as account, null::text as currency,
    id::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
  from (select ledger_id, id, count(*) as total from (select holds.* from (
  select id from (select * from transfers where ledger_id = 1 and journal_number > 7) as made where kind = 'hold' and status = 'completed'
  union select parent_id from (select * from transfers where ledger_id = 1 and journal_number > 7) as parts where kind in ('capture', 'void', 'expiry')
  union select id from (select * from holds where ledger_id = 1) as opened where state = 'open'
) as touched join (select * from holds where ledger_id = 1) as holds using (id)) as holds group by ledger_id, id) as hold
  cross join lateral (
    values ('holds with this id', ((1) is not distinct from (total)) is true, (1)::text, (total)::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where (((1) is not distinct from (total)) is true) is not true
    and not fact.holds
     order by ledger nulls first, journal nulls first, account, currency, transfer, what
