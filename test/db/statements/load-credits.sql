select credit.*
from unnest($2::uuid[]) as named (id)
cross join lateral (
  select id, kind, from_account, to_account, remote_account, amount, currency, failure_code
  from transfers
  where ledger_id = $1::integer and id = named.id
  offset 0
) as credit
