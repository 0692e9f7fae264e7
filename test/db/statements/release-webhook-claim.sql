with released as (
  update webhook_cursors
  set claimed_by = null, claimed_until = now()
  where ledger_id = $1::integer and endpoint_id = $2::uuid and claimed_by = $3::uuid
  returning delivery_number
)
delete from webhook_deliveries
using released
where ledger_id = $1::integer and endpoint_id = $2::uuid and number <= released.delivery_number - $4::bigint
