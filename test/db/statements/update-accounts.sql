update accounts
set balance = moved.balance, held = moved.held, entry_count = moved.entry_count
from (
  select $1::integer as ledger_id, sent.*
  from unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
    as sent (account_number, currency, balance, held, entry_count)
  offset 0
) as moved
where accounts.ledger_id = moved.ledger_id
  and accounts.account_number = moved.account_number and accounts.currency = moved.currency
