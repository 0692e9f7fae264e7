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

-- One key names one request about webhooks of a ledger, for ever: also after the endpoint was deleted, or its secret
-- rotated again.
create table webhook_keys (
  created_at timestamptz not null default now(),
  ledger_id integer not null,
  endpoint_id uuid not null,
  -- The secret that the request made, by its number; null: it made none.
  secret_number integer,
  key text collate "C" not null,
  -- SHA-256 of the content of the request: the same key with another request is refused.
  fingerprint bytea not null,
  constraint webhook_keys_pkey primary key (ledger_id, key)
);

-- The secrets of an endpoint are numbered, so that a repeated request never shows a secret that another one made.
alter table webhook_endpoints add column secret_number integer not null default 1;

update webhook_endpoints
set secret_number = 2
where previous_secret is not null;

insert into webhook_keys (created_at, ledger_id, endpoint_id, secret_number, key, fingerprint)
select created_at, ledger_id, id, 1, idempotency_key, fingerprint
from webhook_endpoints
where idempotency_key is not null;

alter table webhook_endpoints drop column idempotency_key, drop column rotation_key, drop column fingerprint;
