select credit.*
from unnest($2::uuid[]) as named (id)
cross join lateral (
  select id, from_account, failure_code
  from transfers
  where ledger_id = $1::integer and id = named.id
  offset 0
) as credit
