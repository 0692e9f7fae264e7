with due as (
  select line.ledger_id, line.endpoint_id, ledgers.name as ledger, url, types, account, kind, secret,
    case when previous_until > now() then previous_secret end as previous_secret
  from webhook_cursors as line
  join webhook_endpoints as endpoint on endpoint.ledger_id = line.ledger_id and endpoint.id = line.endpoint_id
  join ledgers on ledgers.id = line.ledger_id
  where line.ledger_id = $3::integer and line.endpoint_id = $4::uuid and disabled_reason is null
    and claimed_until <= now()
  for update of line, endpoint skip locked
)
update webhook_cursors
set claimed_by = $1::uuid, claimed_until = now() + $2::integer * interval '1 millisecond', changed = false
from due
where webhook_cursors.ledger_id = $3::integer and webhook_cursors.endpoint_id = due.endpoint_id
returning due.*, journal_number, position, delivery_number, attempts, failing_since,
  case when failing_since is not null then next_attempt_at end as next_attempt_at
