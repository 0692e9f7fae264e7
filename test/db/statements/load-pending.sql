select stored.id
from unnest($2::uuid[]) as named (id)
cross join lateral (
  select id
  from pending_transfers
  where ledger_id = $1::integer and id = named.id
  offset 0
) as stored
