with held as (
update webhook_cursors
set journal_number = $4::bigint, position = $5::integer, delivery_number = $6::bigint,
  attempts = case when changed and $8::timestamptz is not null then attempts else $7::integer end,
  failing_since = case when changed and $8::timestamptz is not null then failing_since else $8::timestamptz end,
  next_attempt_at = case
    when changed and $8::timestamptz is not null then next_attempt_at
    else coalesce($9::timestamptz, '-infinity')
  end
where ledger_id = $1::integer and endpoint_id = $2::uuid and claimed_by = $3::uuid
returning ledger_id, endpoint_id
), written as (
insert into webhook_deliveries (
  ledger_id, endpoint_id, number, journal_number, position, event_id, type, attempts, attempted_at, created_at,
  status, error, delivered
)
select ledger_id, endpoint_id, attempt.number, attempt.journal_number, attempt.position, attempt.event_id,
  attempt.type, 1, attempt.attempted_at, attempt.attempted_at, attempt.status, attempt.error, attempt.error is null
from (select ledger_id, endpoint_id from held) as held
cross join unnest($10::bigint[], $11::bigint[], $12::integer[], $13::text[], $14::text[], $15::timestamptz[], $16::integer[], $17::text[])
  as attempt (number, journal_number, position, event_id, type, attempted_at, status, error)
on conflict (ledger_id, endpoint_id, number) do update
set attempts = case when webhook_deliveries.event_id = excluded.event_id then webhook_deliveries.attempts else 0 end + 1,
  event_id = excluded.event_id, type = excluded.type, journal_number = excluded.journal_number,
  position = excluded.position, attempted_at = excluded.attempted_at, status = excluded.status,
  error = excluded.error, delivered = excluded.delivered
)
select exists (select from held) as held
