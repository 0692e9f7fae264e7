update webhook_cursors
set claimed_until = now() + $4::integer * interval '1 millisecond'
where ledger_id = $1::integer and endpoint_id = $2::uuid and claimed_by = $3::uuid
returning changed
