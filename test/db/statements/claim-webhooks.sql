with due as (
  select line.ledger_id, line.endpoint_id, ledgers.name as ledger, url, types, account, kind, secret,
    case when previous_until > now() then previous_secret end as previous_secret
  from webhook_cursors as line
  join webhook_endpoints as endpoint on endpoint.ledger_id = line.ledger_id and endpoint.id = line.endpoint_id
  join ledgers on ledgers.id = line.ledger_id
  join journal_head on journal_head.ledger_id = line.ledger_id
  where disabled_reason is null and claimed_until <= now()
    and (
      (line.journal_number < journal_head.number and next_attempt_at <= $4::timestamptz)
      or exists (
        select
        from webhook_deliveries
        where requested and webhook_deliveries.ledger_id = line.ledger_id
          and webhook_deliveries.endpoint_id = line.endpoint_id
      )
    )
  order by claimed_until
  limit $3::integer
  -- A change that commits now is seen: only rows that are locked are read again.
  for update of line, endpoint skip locked
)
update webhook_cursors
set claimed_by = $1::uuid, claimed_until = now() + $2::integer * interval '1 millisecond', changed = false
from due
where webhook_cursors.ledger_id = due.ledger_id and webhook_cursors.endpoint_id = due.endpoint_id
returning due.*, journal_number, position, delivery_number, attempts, failing_since,
  case when failing_since is not null then next_attempt_at end as next_attempt_at
