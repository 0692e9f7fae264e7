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
  -- receive_only: may not send. frozen: may neither send nor receive.
  constraint accounts_status_known check (status in ('open', 'receive_only', 'frozen', 'closed')),
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

create index accounts_metadata on accounts using gin (metadata jsonb_path_ops) where metadata <> '{}';

-- An intake is one process's way in, from its start (or its reconnection) on. While it lives it renews its heartbeat;
-- the orders of one that stopped are settled by whichever process sees it first.
create table intakes (
  id uuid not null,
  heartbeat_at timestamptz not null default clock_timestamp(),
  constraint intakes_pkey primary key (id)
);

-- What both tables of transfers say of an order:
--   kind          what it does: move money (transfer, capture, reversal), reserve it (hold), or release it (void, expiry)
--   parent_id     the hold that is captured, voided or expired; the transfer that is reversed
--   group_id      the request that ordered several at once; atomic: they settle all or none
--   final_capture a capture that releases what is left of its hold
--   expires_in    seconds from created_at until a hold expires
--   if_…          conditions: the source's entry number, and what it must have available afterwards
-- An amount of null means all that is left of the parent.

-- Accepted, not yet settled. Settling deletes the row here and inserts it into transfers, in one transaction.
create table pending_transfers (
  amount bigint,
  created_at timestamptz not null default now(),
  if_from_entry_number bigint,
  if_min_available_after bigint,
  expires_in integer,
  group_position integer,
  id uuid not null,
  intake_id uuid not null,
  parent_id uuid,
  group_id uuid,
  atomic boolean,
  final_capture boolean,
  kind text collate "C" not null default 'transfer',
  from_account text collate "C" not null,
  to_account text collate "C" not null,
  -- Null: whatever the accounts have.
  currency text collate "C",
  -- Null: the caller named none, and the transfer's own id served.
  request_id text collate "C",
  description text,
  metadata jsonb,
  constraint pending_transfers_pkey primary key (id),
  constraint pending_transfers_kind_known check (
    kind in ('transfer', 'hold', 'capture', 'void', 'expiry', 'reversal')
  ),
  constraint pending_transfers_amount_positive check (amount between 1 and 9007199254740991),
  constraint pending_transfers_amount_named check (amount is not null or parent_id is not null),
  constraint pending_transfers_parent_named check ((parent_id is null) = (kind in ('transfer', 'hold'))),
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

create index pending_transfers_group on pending_transfers (group_id, group_position) where group_id is not null;

-- Settled, for ever: a row is written once, with its final status. Wide columns first, so that nothing is padded.
create table transfers (
  -- Null only where a failed one named none.
  amount bigint,
  created_at timestamptz not null,
  completed_at timestamptz not null,
  journal_number bigint not null,
  from_entry_number bigint,
  to_entry_number bigint,
  if_from_entry_number bigint,
  if_min_available_after bigint,
  journal_position integer not null,
  expires_in integer,
  group_position integer,
  id uuid not null,
  parent_id uuid,
  group_id uuid,
  atomic boolean,
  final_capture boolean,
  kind text collate "C" not null,
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
  constraint transfers_kind_known check (kind in ('transfer', 'hold', 'capture', 'void', 'expiry', 'reversal')),
  constraint transfers_amount_positive check (amount between 1 and 9007199254740991),
  constraint transfers_parent_named check ((parent_id is null) = (kind in ('transfer', 'hold'))),
  constraint transfers_accounts_differ check (from_account <> to_account),
  constraint transfers_status_known check (status in ('completed', 'failed')),
  constraint transfers_status_explained check (
    case status
      when 'completed' then
        failure_code is null and currency is not null and amount is not null
        and (from_entry_number is not null) = (kind in ('transfer', 'capture', 'reversal'))
        and (to_entry_number is not null) = (kind in ('transfer', 'capture', 'reversal'))
      else failure_code is not null and from_entry_number is null and to_entry_number is null
    end
  )
);

-- Commit order: what lists, the proof and the feed follow.
create unique index transfers_journal on transfers (journal_number, journal_position);
-- What moved money is found through its entries; only the rest of an account's transfers needs indexes of its own: the
-- failed ones, and holds and their ends.
create index transfers_entryless_from on transfers (from_account, journal_number, journal_position)
  where from_entry_number is null;
create index transfers_entryless_to on transfers (to_account, journal_number, journal_position)
  where from_entry_number is null;
create index transfers_group on transfers (group_id, group_position) where group_id is not null;
create index transfers_parent on transfers (parent_id) where parent_id is not null;
create index transfers_metadata on transfers using gin (metadata jsonb_path_ops) where metadata is not null;
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

-- Money authorised and not yet moved. The hold's id is that of the transfer of kind hold that made it.
create table holds (
  amount bigint not null,
  captured bigint not null default 0,
  released bigint not null default 0,
  created_at timestamptz not null,
  expires_at timestamptz,
  id uuid not null,
  -- The order that ends the hold when its time has come; set by the first process that sees it due.
  expiry_id uuid,
  from_account text collate "C" not null,
  to_account text collate "C" not null,
  currency text collate "C" not null,
  state text collate "C" not null default 'open',
  constraint holds_pkey primary key (id),
  constraint holds_state_known check (state in ('open', 'captured', 'voided', 'expired')),
  constraint holds_amount_positive check (amount between 1 and 9007199254740991),
  constraint holds_parts_positive check (captured >= 0 and released >= 0),
  constraint holds_within_amount check (captured + released <= amount),
  constraint holds_state_explained check ((state = 'open') = (captured + released < amount))
)
with (fillfactor = 80);

create index holds_open on holds (from_account, currency) where state = 'open';
create index holds_due on holds (expires_at) where state = 'open' and expiry_id is null and expires_at is not null;

-- How much of a transfer was reversed. A row is made by the first reversal.
create table reversed_amounts (
  amount bigint not null,
  reversed bigint not null,
  transfer_id uuid not null,
  constraint reversed_amounts_pkey primary key (transfer_id),
  constraint reversed_amounts_within check (reversed between 1 and amount)
);

-- Every opening and every change of an account, as the hash of what the account then said of itself.
create table account_changes (
  change_number bigint not null,
  journal_number bigint not null,
  account_number text collate "C" not null,
  currency text collate "C" not null,
  seal bytea not null,
  constraint account_changes_pkey primary key (account_number, currency, change_number),
  constraint account_changes_number_positive check (change_number >= 1),
  constraint account_changes_seal_sized check (octet_length(seal) = 32)
);

-- The feed reads the journal with all that its rows cover.
create index account_changes_journal on account_changes (journal_number);

-- SHA-256 of what an account says of itself; its money is proven by its entries and holds. docs/ARCHITECTURE.md has the form.
create function account_seal(account accounts) returns bytea
language sql stable
as $$
  select sha256(convert_to(
    concat_ws(
      chr(31),
      account.account_number, account.currency, account.status, account.name, coalesce(account.email, ''),
      coalesce(account.phone, ''), coalesce(to_char(account.date_of_birth, 'YYYY-MM-DD'), ''),
      account.overdraft_limit, account.metadata::text, (extract(epoch from account.created_at) * 1000000)::bigint
    ),
    'UTF8'
  ))
$$;

-- One row per settled job or account change, numbered without gaps in commit order, each with the hash of the one before.
create table journal (
  number bigint not null,
  settled_at timestamptz not null,
  -- How many transfers the job had; 0: the row is of an account change.
  transfer_count integer not null,
  -- SHA-256 over the job's transfers as settled, or over the account change; docs/ARCHITECTURE.md has the form.
  digest bytea not null,
  previous_hash bytea not null,
  hash bytea not null,
  constraint journal_pkey primary key (number),
  constraint journal_number_positive check (number >= 1),
  constraint journal_transfer_count_positive check (transfer_count >= 0),
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
  -- The transfer's id, or the group's.
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
create trigger account_changes_append_only before update or delete or truncate on account_changes
for each statement execute function refuse_change();
create trigger journal_append_only before update or delete or truncate on journal
for each statement execute function refuse_change();
create trigger idempotency_keys_append_only before update or delete or truncate on idempotency_keys
for each statement execute function refuse_change();
