-- Webhooks: where a ledger's events are sent, how far each endpoint's line has come, and what was sent lately.
-- They are no part of the books: the journal has every event, and an endpoint only a cursor into it.

create table webhook_endpoints (
  created_at timestamptz not null default now(),
  disabled_at timestamptz,
  -- Until when the secret before the last rotation signs too.
  previous_until timestamptz,
  ledger_id integer not null,
  id uuid not null,
  -- Null: enabled. paused: by a caller; gone: the receiver answered 410; failing: it failed for days.
  disabled_reason text collate "C",
  url text not null,
  description text,
  -- What of the feed is sent; null: all.
  types text[],
  account text collate "C",
  kind text collate "C",
  -- As the receiver has it. It must sign, so it cannot be hashed; a role that only reads the books cannot read this table.
  secret text not null,
  previous_secret text,
  -- The keys of the request that created it, and of the one that rotated its secret last.
  idempotency_key text collate "C",
  rotation_key text collate "C",
  -- SHA-256 of the content of the request that created it, if it had a key.
  fingerprint bytea,
  constraint webhook_endpoints_pkey primary key (ledger_id, id),
  constraint webhook_endpoints_key_unique unique (ledger_id, idempotency_key),
  constraint webhook_endpoints_disabled_known check (disabled_reason in ('paused', 'gone', 'failing')),
  constraint webhook_endpoints_disabled_explained check ((disabled_reason is null) = (disabled_at is null)),
  constraint webhook_endpoints_previous_explained check ((previous_secret is null) = (previous_until is null)),
  constraint webhook_endpoints_key_explained check ((idempotency_key is null) = (fingerprint is null))
);

-- The line of each endpoint. One process at a time works on it, until its claim ends.
create table webhook_cursors (
  -- The last row of the journal that is done, and how many records of the next one are.
  journal_number bigint not null,
  -- The number of the last delivery.
  delivery_number bigint not null default 0,
  claimed_until timestamptz not null default '-infinity',
  -- Of the delivery that fails now, if one does.
  failing_since timestamptz,
  next_attempt_at timestamptz not null default '-infinity',
  position integer not null default 0,
  attempts integer not null default 0,
  ledger_id integer not null,
  endpoint_id uuid not null,
  claimed_by uuid,
  -- Whether a caller changed the endpoint since the line was claimed.
  changed boolean not null default false,
  constraint webhook_cursors_pkey primary key (ledger_id, endpoint_id),
  constraint webhook_cursors_counts_positive check (
    journal_number >= 0 and position >= 0 and attempts >= 0 and delivery_number >= 0
  )
)
-- Leaves room on the page for new versions of its rows.
with (fillfactor = 30);

-- The last deliveries of each endpoint. They name their event, and have nothing of its content.
create table webhook_deliveries (
  number bigint not null,
  journal_number bigint not null,
  created_at timestamptz not null,
  attempted_at timestamptz not null,
  position integer not null,
  attempts integer not null,
  ledger_id integer not null,
  -- The status of the last answer; null: there was none.
  status integer,
  endpoint_id uuid not null,
  delivered boolean not null,
  -- Whether a caller asked to have it sent again.
  requested boolean not null default false,
  event_id text collate "C" not null,
  type text collate "C" not null,
  -- Why the last attempt failed; null: it did not.
  error text collate "C",
  constraint webhook_deliveries_pkey primary key (ledger_id, endpoint_id, number)
);

create index webhook_deliveries_requested on webhook_deliveries (ledger_id, endpoint_id) where requested;
