-- Who may use the service, and who did what: keys, approvals, and the log of administration and refusals.

-- Only the command line writes keys. A secret is never stored, only its SHA-256.
create table api_keys (
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  -- Until when the previous secret is valid, after a rotation.
  previous_until timestamptz,
  -- Bounds, in minor units: of one transfer, and of all transfers of a day (UTC). Null: none.
  amount_max bigint,
  daily_amount_max bigint,
  requests_per_second integer,
  -- Null: every ledger.
  ledger_id integer,
  id text collate "C" not null,
  name text not null,
  scopes text[] not null,
  account_prefix text collate "C",
  -- SHA-256 of the client certificate that may be used instead of the secret, in hexadecimal digits.
  client_certificate text collate "C",
  secret_digest bytea not null,
  previous_digest bytea,
  constraint api_keys_pkey primary key (id),
  constraint api_keys_id_form check (id ~ '^[a-z0-9]{12}$'),
  constraint api_keys_digests_sized check (octet_length(secret_digest) = 32 and octet_length(previous_digest) = 32),
  constraint api_keys_previous_explained check ((previous_digest is null) = (previous_until is null)),
  constraint api_keys_bounds_positive check (amount_max >= 1 and daily_amount_max >= 1 and requests_per_second >= 1)
);

-- A certificate is one key. That of a revoked key may be given to another.
create unique index api_keys_client_certificate on api_keys (client_certificate) where revoked_at is null;

-- One row. Every change of a key or of a ledger's rule of approval increases the version, so that processes notice it
-- by one cheap statement.
create table access_state (
  version bigint not null default 1,
  id boolean not null default true,
  constraint access_state_pkey primary key (id),
  constraint access_state_single check (id)
);

insert into access_state default values;

-- The amounts that a key with a daily bound has ordered.
create table key_usage (
  amount bigint not null,
  day date not null,
  key_id text collate "C" not null,
  constraint key_usage_pkey primary key (key_id, day),
  constraint key_usage_amount_positive check (amount >= 0)
);

-- Requests that wait for the approval of a second key.
create table approvals (
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  decided_at timestamptz,
  ledger_id integer not null,
  id uuid not null,
  -- transfers: to be settled. account: a change of an overdraft limit.
  kind text collate "C" not null,
  state text collate "C" not null default 'pending',
  requested_by text collate "C" not null,
  decided_by text collate "C",
  -- The key of the request, or one that was made for it: it is executed under this key, and so only once.
  idempotency_key text collate "C" not null,
  -- SHA-256 of the content of the request, if the caller chose the key.
  fingerprint bytea,
  request jsonb not null,
  constraint approvals_pkey primary key (ledger_id, id),
  constraint approvals_kind_known check (kind in ('transfers', 'account')),
  constraint approvals_state_known check (state in ('pending', 'approved', 'rejected')),
  constraint approvals_decided check ((state = 'pending') = (decided_by is null) and (decided_by is null) = (decided_at is null)),
  constraint approvals_by_another check (decided_by <> requested_by or state = 'rejected')
);

create unique index approvals_key on approvals (ledger_id, idempotency_key);
create index approvals_pending on approvals (ledger_id, id) where state = 'pending';

-- What was administered, and what was refused. Administration is covered by a row of the journal, like a change of an
-- account. Refusals are many, and are not: they must not lock the journal.
create table audit_log (
  at timestamptz not null default clock_timestamp(),
  -- Null: a refusal.
  journal_number bigint,
  -- How many equal refusals the row stands for.
  count integer not null default 1,
  ledger_id integer not null,
  id uuid not null,
  action text collate "C" not null,
  -- A key's id; the subject of a token; the operating system's user, for the command line. Null: unknown.
  actor text collate "C",
  -- The key or approval that was administered; the route that was refused.
  subject text collate "C",
  -- The network address of a refused caller.
  address text collate "C",
  details text,
  constraint audit_log_pkey primary key (ledger_id, id),
  constraint audit_log_count_positive check (count >= 1)
);

create index audit_log_journal on audit_log (ledger_id, journal_number) where journal_number is not null;

create trigger audit_log_append_only before update or delete on audit_log
for each row execute function refuse_change();
create trigger audit_log_not_truncated before truncate on audit_log
for each statement execute function refuse_change();

revoke update, delete, truncate on audit_log from current_user;
