select held.*
from unnest($2::text[]) as named (key)
cross join lateral (
  select key, transfer_id, account_number
  from idempotency_keys
  where ledger_id = $1::integer and key = named.key
  offset 0
) as held
