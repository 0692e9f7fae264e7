insert into webhook_deliveries (
  ledger_id, endpoint_id, number, journal_number, position, event_id, type, attempts, attempted_at, created_at,
  status, error, delivered
)
select ledger_id, endpoint_id, attempt.number, attempt.journal_number, attempt.position, attempt.event_id,
  attempt.type, 1, attempt.attempted_at, attempt.attempted_at, attempt.status, attempt.error, attempt.error is null
from (select ledger_id, endpoint_id from webhook_cursors where ledger_id = $1::integer and endpoint_id = $2::uuid and claimed_by = $3::uuid) as held
cross join unnest($4::bigint[], $5::bigint[], $6::integer[], $7::text[], $8::text[], $9::timestamptz[], $10::integer[], $11::text[])
  as attempt (number, journal_number, position, event_id, type, attempted_at, status, error)
on conflict (ledger_id, endpoint_id, number) do update
set attempts = case when webhook_deliveries.event_id = excluded.event_id then webhook_deliveries.attempts else 0 end + 1,
  event_id = excluded.event_id, type = excluded.type, journal_number = excluded.journal_number,
  position = excluded.position, attempted_at = excluded.attempted_at, status = excluded.status,
  error = excluded.error, delivered = excluded.delivered
