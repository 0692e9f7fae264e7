select locked.*
-- The caller sorts the numbers, so that jobs with accounts in common wait for each other instead of deadlocking.
from unnest($2::text[]) as named (account_number)
cross join lateral (
  select account_number, currency, status, balance, held, overdraft_limit, entry_count
  from accounts
  -- In order of the primary key, so by currency for @external. A sort for each account would cost a third of the statement.
  where ledger_id = $1::integer and account_number = named.account_number
  for update
) as locked
