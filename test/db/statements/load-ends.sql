select hold.id, hold.state, ended.completed_at, ended.description
from unnest($2::uuid[]) as named (id)
cross join lateral (
  select id, state
  from holds
  where ledger_id = $1::integer and holds.id = named.id
  offset 0
) as hold
left join lateral (
  select completed_at, description
  from transfers
  where ledger_id = $1::integer and parent_id = hold.id and kind in ('capture', 'void') and status = 'completed'
  limit 1
) as ended on true
