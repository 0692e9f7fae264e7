-- The ledger: accounts, the orders accepted but not yet settled, what was settled and how, and the proof of it.
-- Text that is a key has collate "C": it is compared byte by byte, which is faster and the same on every machine.
-- There are no foreign keys on purpose: each is a trigger per row on the hot path. `gopherpay audit` proves what they would.

create table accounts (
  balance bigint not null default 0,
  held bigint not null default 0,
  overdraft_limit bigint not null default 0,
  -- How many entries the account has; the next one gets entry_count + 1.
  entry_count bigint not null default 0,
  created_at timestamptz not null default now(),
  account_number text collate "C" not null,
  currency text collate "C" not null,
  status text collate "C" not null default 'open',
  name text not null,
  email text,
  phone text,
  date_of_birth date,
  metadata jsonb not null default '{}',
  constraint accounts_pkey primary key (account_number, currency),
  constraint accounts_number_form check (account_number = '@external' or account_number ~ '^[A-Za-z0-9._-]{1,34}$'),
  constraint accounts_currency_form check (currency ~ '^[A-Z]{3}$'),
  constraint accounts_status_known check (status in ('open', 'closed')),
  constraint accounts_balance_exact check (balance between -9007199254740991 and 9007199254740991),
  constraint accounts_held_exact check (held between 0 and 9007199254740991),
  constraint accounts_overdraft_limit_exact check (overdraft_limit between 0 and 9007199254740991),
  constraint accounts_entry_count_positive check (entry_count >= 0),
  constraint accounts_no_overdraft check (account_number = '@external' or balance - held + overdraft_limit >= 0),
  constraint accounts_closed_is_empty check (status <> 'closed' or (balance = 0 and held = 0))
)
-- Room on each page for the next version of its rows, so that settling touches no index (a HOT update).
with (fillfactor = 70);

-- Every account but @external has one currency, so its number alone names it.
create unique index accounts_one_currency on accounts (account_number) where account_number <> '@external';

-- An intake is one process's way in, from its start (or its reconnection) on. While it lives it renews its heartbeat;
-- the orders of one that stopped are settled by whichever process sees it first.
create table intakes (
  id uuid not null,
  heartbeat_at timestamptz not null default clock_timestamp(),
  constraint intakes_pkey primary key (id)
);

-- Accepted, not yet settled. Settling deletes the row here and inserts it into transfers, in one transaction.
create table pending_transfers (
  amount bigint not null,
  created_at timestamptz not null default now(),
  id uuid not null,
  intake_id uuid not null,
  from_account text collate "C" not null,
  to_account text collate "C" not null,
  -- Null: whatever the accounts have.
  currency text collate "C",
  -- Null: the caller named none, and the transfer's own id served.
  request_id text collate "C",
  description text,
  metadata jsonb,
  constraint pending_transfers_pkey primary key (id),
  constraint pending_transfers_amount_positive check (amount between 1 and 9007199254740991),
  constraint pending_transfers_accounts_differ check (from_account <> to_account)
)
-- A queue: rows live for milliseconds, so vacuum must come early and often.
with (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 10000,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0,
  autovacuum_analyze_threshold = 1000000
);

-- Settled, for ever: a row is written once, with its final status. Wide columns first, so that nothing is padded.
create table transfers (
  amount bigint not null,
  created_at timestamptz not null,
  completed_at timestamptz not null,
  journal_number bigint not null,
  from_entry_number bigint,
  to_entry_number bigint,
  journal_position integer not null,
  id uuid not null,
  from_account text collate "C" not null,
  to_account text collate "C" not null,
  -- Null only where a failed transfer named no currency and no account from which to take it.
  currency text collate "C",
  status text collate "C" not null,
  failure_code text collate "C",
  request_id text collate "C",
  description text,
  metadata jsonb,
  -- The last line of defence for "nothing happens twice": no job can settle an id that is here.
  constraint transfers_pkey primary key (id),
  constraint transfers_amount_positive check (amount between 1 and 9007199254740991),
  constraint transfers_accounts_differ check (from_account <> to_account),
  constraint transfers_status_known check (status in ('completed', 'failed')),
  constraint transfers_status_explained check (
    case status
      when 'completed' then
        failure_code is null and currency is not null and from_entry_number is not null and to_entry_number is not null
      else failure_code is not null and from_entry_number is null and to_entry_number is null
    end
  )
);

-- Commit order: what lists, the journal's proof and the feed follow.
create unique index transfers_journal on transfers (journal_number, journal_position);
-- An account's completed transfers are found through its entries; only the failed ones need indexes of their own.
create index transfers_failed_from on transfers (from_account, journal_number, journal_position) where status = 'failed';
create index transfers_failed_to on transfers (to_account, journal_number, journal_position) where status = 'failed';
create index transfers_request on transfers (request_id) where request_id is not null;

create table entries (
  entry_number bigint not null,
  amount bigint not null,
  -- The account's balance after this entry.
  balance bigint not null,
  journal_number bigint not null,
  transfer_id uuid not null,
  account_number text collate "C" not null,
  currency text collate "C" not null,
  constraint entries_pkey primary key (account_number, currency, entry_number),
  constraint entries_number_positive check (entry_number >= 1),
  constraint entries_amount_not_zero check (amount <> 0),
  constraint entries_balance_exact check (balance between -9007199254740991 and 9007199254740991)
);

-- One row per settled job, numbered without gaps in commit order, each with the hash of the one before it.
create table journal (
  number bigint not null,
  settled_at timestamptz not null,
  transfer_count integer not null,
  -- SHA-256 over the job's transfers as settled; docs/ARCHITECTURE.md has the form.
  digest bytea not null,
  previous_hash bytea not null,
  hash bytea not null,
  constraint journal_pkey primary key (number),
  constraint journal_number_positive check (number >= 1),
  constraint journal_transfer_count_positive check (transfer_count >= 1),
  constraint journal_hashes_sized check (
    octet_length(digest) = 32 and octet_length(previous_hash) = 32 and octet_length(hash) = 32
  )
);

create index journal_settled_at on journal (settled_at);

-- The end of the journal. Updating its one row is what puts the commits of all threads and processes into one order.
create table journal_head (
  number bigint not null,
  settled_at timestamptz not null,
  hash bytea not null,
  only_row boolean not null default true,
  constraint journal_head_pkey primary key (only_row),
  constraint journal_head_only_row check (only_row)
)
with (fillfactor = 10);

insert into journal_head (number, settled_at, hash) values (0, clock_timestamp(), decode(repeat('00', 32), 'hex'));

-- One key names one transfer, for ever.
create table idempotency_keys (
  created_at timestamptz not null default now(),
  transfer_id uuid not null,
  key text collate "C" not null,
  -- SHA-256 of the request the key came with: the same key with another request is refused.
  fingerprint bytea not null,
  constraint idempotency_keys_pkey primary key (key),
  constraint idempotency_keys_fingerprint_sized check (octet_length(fingerprint) = 32)
);

-- Final is final. These triggers fire on what the service never does, so the hot path does not pay for them.
create function refuse_change() returns trigger
language plpgsql
as $$
begin
  raise exception 'table % is append-only: % is refused', tg_table_name, tg_op
    using errcode = 'restrict_violation';
end;
$$;

create trigger transfers_append_only before update or delete or truncate on transfers
for each statement execute function refuse_change();
create trigger entries_append_only before update or delete or truncate on entries
for each statement execute function refuse_change();
create trigger journal_append_only before update or delete or truncate on journal
for each statement execute function refuse_change();
create trigger idempotency_keys_append_only before update or delete or truncate on idempotency_keys
for each statement execute function refuse_change();
