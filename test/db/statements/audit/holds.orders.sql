-- all ledgers
select coalesce(hold.ledger_id, made.ledger_id)::bigint as ledger, coalesce(hold.from_account, made.from_account)::text as account, coalesce(hold.currency, made.currency)::text as currency,
  coalesce(hold.id, made.key)::text as transfer, made.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (select *, true as known from holds as holds) as hold
  full join (
select ledger_id, id as key, max(amount) as amount, max(from_account) as from_account, max(to_account) as to_account,
  max(currency) as currency, max(created_at) as created_at, max(journal_number) as journal_number,
  max(created_at + expires_in * interval '1 second') as expires_at
from transfers as transfers
where kind = 'hold' and status = 'completed' group by ledger_id, key) as made
    on made.ledger_id = hold.ledger_id and made.key = hold.id
cross join lateral (
  values ('hold and the transfer that made it', (hold.known and made.key is not null) is true, ('both')::text, (case when hold.known then 'the hold alone' else 'the transfer alone' end)::text),
    ('amount', ((hold.known and made.key is not null) is not true or ((made.amount) is not distinct from (hold.amount))) is true, (made.amount)::text, (hold.amount)::text),
    ('from_account', ((hold.known and made.key is not null) is not true or ((made.from_account) is not distinct from (hold.from_account))) is true, (made.from_account)::text, (hold.from_account)::text),
    ('to_account', ((hold.known and made.key is not null) is not true or ((made.to_account) is not distinct from (hold.to_account))) is true, (made.to_account)::text, (hold.to_account)::text),
    ('currency', ((hold.known and made.key is not null) is not true or ((made.currency) is not distinct from (hold.currency))) is true, (made.currency)::text, (hold.currency)::text),
    ('created_at', ((hold.known and made.key is not null) is not true or ((made.created_at) is not distinct from (hold.created_at))) is true, (made.created_at)::text, (hold.created_at)::text),
    ('expires_at', ((hold.known and made.key is not null) is not true or ((made.expires_at) is not distinct from (hold.expires_at))) is true, (made.expires_at)::text, (hold.expires_at)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((hold.known and made.key is not null) is true
  and ((hold.known and made.key is not null) is not true or ((made.amount) is not distinct from (hold.amount))) is true
  and ((hold.known and made.key is not null) is not true or ((made.from_account) is not distinct from (hold.from_account))) is true
  and ((hold.known and made.key is not null) is not true or ((made.to_account) is not distinct from (hold.to_account))) is true
  and ((hold.known and made.key is not null) is not true or ((made.currency) is not distinct from (hold.currency))) is true
  and ((hold.known and made.key is not null) is not true or ((made.created_at) is not distinct from (hold.created_at))) is true
  and ((hold.known and made.key is not null) is not true or ((made.expires_at) is not distinct from (hold.expires_at))) is true) is not true
  and not fact.holds
  and (hold.known or made.key is not null) order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select coalesce(hold.ledger_id, made.ledger_id)::bigint as ledger, coalesce(hold.from_account, made.from_account)::text as account, coalesce(hold.currency, made.currency)::text as currency,
    coalesce(hold.id, made.key)::text as transfer, made.journal_number::bigint as journal, fact.what, fact.expected, fact.found
  from (
  select id from (select * from transfers where ledger_id = 1 and journal_number > 7) as made where kind = 'hold' and status = 'completed'
  union select parent_id from (select * from transfers where ledger_id = 1 and journal_number > 7) as parts where kind in ('capture', 'void', 'expiry')
  union select id from (select * from holds where ledger_id = 1) as opened where state = 'open'
) as touched
    left join lateral (select * from (select *, true as known from (select * from holds where ledger_id = 1) as holds) as hold where hold.id = touched.id offset 0) as hold on true
    left join lateral (
      select * from (
  select ledger_id, id as key, max(amount) as amount, max(from_account) as from_account, max(to_account) as to_account,
    max(currency) as currency, max(created_at) as created_at, max(journal_number) as journal_number,
    max(created_at + expires_in * interval '1 second') as expires_at
  from (select * from transfers where ledger_id = 1) as transfers
  where kind = 'hold' and status = 'completed' group by ledger_id, key) as made where made.key = touched.id offset 0
    ) as made on true
  cross join lateral (
    values ('hold and the transfer that made it', (hold.known and made.key is not null) is true, ('both')::text, (case when hold.known then 'the hold alone' else 'the transfer alone' end)::text),
      ('amount', ((hold.known and made.key is not null) is not true or ((made.amount) is not distinct from (hold.amount))) is true, (made.amount)::text, (hold.amount)::text),
      ('from_account', ((hold.known and made.key is not null) is not true or ((made.from_account) is not distinct from (hold.from_account))) is true, (made.from_account)::text, (hold.from_account)::text),
      ('to_account', ((hold.known and made.key is not null) is not true or ((made.to_account) is not distinct from (hold.to_account))) is true, (made.to_account)::text, (hold.to_account)::text),
      ('currency', ((hold.known and made.key is not null) is not true or ((made.currency) is not distinct from (hold.currency))) is true, (made.currency)::text, (hold.currency)::text),
      ('created_at', ((hold.known and made.key is not null) is not true or ((made.created_at) is not distinct from (hold.created_at))) is true, (made.created_at)::text, (hold.created_at)::text),
      ('expires_at', ((hold.known and made.key is not null) is not true or ((made.expires_at) is not distinct from (hold.expires_at))) is true, (made.expires_at)::text, (hold.expires_at)::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where ((hold.known and made.key is not null) is true
    and ((hold.known and made.key is not null) is not true or ((made.amount) is not distinct from (hold.amount))) is true
    and ((hold.known and made.key is not null) is not true or ((made.from_account) is not distinct from (hold.from_account))) is true
    and ((hold.known and made.key is not null) is not true or ((made.to_account) is not distinct from (hold.to_account))) is true
    and ((hold.known and made.key is not null) is not true or ((made.currency) is not distinct from (hold.currency))) is true
    and ((hold.known and made.key is not null) is not true or ((made.created_at) is not distinct from (hold.created_at))) is true
    and ((hold.known and made.key is not null) is not true or ((made.expires_at) is not distinct from (hold.expires_at))) is true) is not true
    and not fact.holds
    and (hold.known or made.key is not null) order by ledger nulls first, journal nulls first, account, currency, transfer, what
