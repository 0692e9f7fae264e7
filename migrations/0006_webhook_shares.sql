-- Webhooks: indexes of the lines that have something to send, and the idempotency keys of requests about webhooks.

-- As the endpoint is, so that the indexes below do without the lines of disabled endpoints.
alter table webhook_cursors add column disabled boolean not null default false;

update webhook_cursors
set disabled = true
from webhook_endpoints
where webhook_endpoints.ledger_id = webhook_cursors.ledger_id and webhook_endpoints.id = webhook_cursors.endpoint_id
  and disabled_reason is not null;

-- Lines that are due once their ledger's journal is longer.
create index webhook_cursors_working on webhook_cursors (ledger_id, journal_number)
  where not disabled and failing_since is null;
-- Lines that are due at an instant.
create index webhook_cursors_failing on webhook_cursors (next_attempt_at)
  where not disabled and failing_since is not null;
