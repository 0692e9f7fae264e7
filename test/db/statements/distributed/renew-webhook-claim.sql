with held as (
  select endpoint_id
  from webhook_cursors
  where ledger_id = $3::integer and endpoint_id = $4::uuid and claimed_by = $1::uuid
  for update skip locked
), renewed as (
  update webhook_cursors
  set claimed_until = now() + $2::integer * interval '1 millisecond'
  from held
  where webhook_cursors.ledger_id = $3::integer and webhook_cursors.endpoint_id = held.endpoint_id
  returning webhook_cursors.endpoint_id, changed
)
select line.claimed_by = $1::uuid as held, renewed.changed
from webhook_cursors as line
left join renewed on renewed.endpoint_id = line.endpoint_id
where line.ledger_id = $3::integer and line.endpoint_id = $4::uuid
