update accounts
set balance = moved.balance, held = moved.held, entry_count = moved.entry_count
from unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
  as moved (account_number, currency, balance, held, entry_count)
where accounts.ledger_id = $1::integer
  and accounts.account_number = moved.account_number and accounts.currency = moved.currency
