select (count(*) filter (where disabled_reason is null))::integer as enabled,
  (count(*) filter (where disabled_reason is not null))::integer as disabled,
  greatest(coalesce(max(extract(epoch from now() - next.settled_at)) filter (where clock is null), 0), 0)::float8
    as lag_seconds
from webhook_endpoints
join webhook_cursors
  on webhook_cursors.ledger_id = webhook_endpoints.ledger_id and webhook_cursors.endpoint_id = webhook_endpoints.id
join journal_head on journal_head.ledger_id = webhook_endpoints.ledger_id
left join journal as next
  on next.ledger_id = webhook_endpoints.ledger_id and next.number = webhook_cursors.journal_number + 1
    and disabled_reason is null
