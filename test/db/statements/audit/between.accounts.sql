-- all ledgers
select account.ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
    select * from accounts as accounts where account_number like '@%' and account_number <> '@external'
  ) as account
  left join ledgers as other on account_number like '@ledger:%' and other.name = substr(account_number, 9)
cross join lateral (
  values ('number', (account_number like '@ledger:%') is true, ('that of another ledger')::text, (account_number)::text),
    ('other ledger', (other.id <> account.ledger_id) is true, ('another ledger that is there')::text, (coalesce(other.name, 'none'))::text),
    ('status, held amount and overdraft limit', (status = 'open' and held = 0 and overdraft_limit = 0) is true, ('open, 0 and 0')::text, (status || ', ' || held || ' and ' || overdraft_limit)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((account_number like '@ledger:%') is true
  and (other.id <> account.ledger_id) is true
  and (status = 'open' and held = 0 and overdraft_limit = 0) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select account.ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
    select * from (select * from accounts where ledger_id = 1) as accounts where account_number like '@%' and account_number <> '@external'
  ) as account
  left join ledgers as other on account_number like '@ledger:%' and other.name = substr(account_number, 9)
cross join lateral (
  values ('number', (account_number like '@ledger:%') is true, ('that of another ledger')::text, (account_number)::text),
    ('other ledger', (other.id is distinct from account.ledger_id) is true, ('another ledger')::text, (coalesce(other.name, 'none'))::text),
    ('status, held amount and overdraft limit', (status = 'open' and held = 0 and overdraft_limit = 0) is true, ('open, 0 and 0')::text, (status || ', ' || held || ' and ' || overdraft_limit)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((account_number like '@ledger:%') is true
  and (other.id is distinct from account.ledger_id) is true
  and (status = 'open' and held = 0 and overdraft_limit = 0) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
