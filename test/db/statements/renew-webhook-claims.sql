with held as (
  select line.ledger_id, line.endpoint_id
  from unnest($3::integer[], $4::uuid[]) as claimed (ledger_id, endpoint_id)
  join webhook_cursors as line on line.ledger_id = claimed.ledger_id and line.endpoint_id = claimed.endpoint_id
  where claimed_by = $1::uuid
  for update of line skip locked
), renewed as (
  update webhook_cursors
  set claimed_until = now() + $2::integer * interval '1 millisecond'
  from held
  where webhook_cursors.ledger_id = held.ledger_id and webhook_cursors.endpoint_id = held.endpoint_id
  returning webhook_cursors.ledger_id, webhook_cursors.endpoint_id, changed
)
select line.claimed_by = $1::uuid as held, renewed.changed
from unnest($3::integer[], $4::uuid[]) with ordinality as claimed (ledger_id, endpoint_id, place)
left join webhook_cursors as line on line.ledger_id = claimed.ledger_id and line.endpoint_id = claimed.endpoint_id
left join renewed on renewed.ledger_id = claimed.ledger_id and renewed.endpoint_id = claimed.endpoint_id
order by place
