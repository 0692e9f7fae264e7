select id, amount, coalesce(
  (select reversed from reversed_amounts where ledger_id = $1::integer and transfer_id = original.id), 0
)
from unnest($2::uuid[]) as named (transfer_id)
cross join lateral (
  select id, amount
  from transfers
  where ledger_id = $1::integer and id = named.transfer_id
    and status = 'completed' and kind in ('transfer', 'capture')
  offset 0
) as original
