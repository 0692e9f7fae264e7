with due as (
  select line.ledger_id, line.endpoint_id, ledgers.name as ledger, url, types, account, kind, secret,
    case when previous_until > now() then previous_secret end as previous_secret
  from unnest($3::integer[], $4::uuid[]) as found (ledger_id, endpoint_id)
  join webhook_cursors as line on line.ledger_id = found.ledger_id and line.endpoint_id = found.endpoint_id
  join webhook_endpoints as endpoint on endpoint.ledger_id = line.ledger_id and endpoint.id = line.endpoint_id
  join ledgers on ledgers.id = line.ledger_id
  where disabled_reason is null and claimed_until <= now()
  -- A change that commits now is seen: only rows that are locked are read again.
  for update of line, endpoint skip locked
)
update webhook_cursors
set claimed_by = $1::uuid, claimed_until = now() + $2::integer * interval '1 millisecond', changed = false
from due
where webhook_cursors.ledger_id = due.ledger_id and webhook_cursors.endpoint_id = due.endpoint_id
returning due.*, journal_number, position, delivery_number, attempts, failing_since,
  case when failing_since is not null then next_attempt_at end as next_attempt_at
