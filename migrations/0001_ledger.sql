-- Ledgers: their accounts, their pending and settled transfers, and the journal that proves them.
-- The ledger leads every key: a job touches the rows of one ledger only, so ledgers can live on different machines.
-- Text that is a key has collate "C": it is compared byte by byte, which is faster and the same on every machine.
-- There are deliberately no foreign keys: each is a trigger per row on the hot path. `gopherpay audit` checks the references.

-- Domains check the form of account numbers and currencies when a value is cast to them. Table constraints would check every
-- new version of a row: these two regular expressions were a twelfth of the server's cost of settlement. A bound in the expression,
-- such as {1,34}, makes it seven times as slow (3.4 µs instead of 0.5): the automaton gets a state for each count.
create domain account_number as text collate "C"
  constraint accounts_number_form check (
    value = '@external' or (octet_length(value) <= 34 and value ~ '^[A-Za-z0-9._-]+$')
  );
create domain currency_code as text collate "C"
  constraint accounts_currency_form check (value ~ '^[A-Z]{3}$');

-- One set of books: its accounts, its @external, its journal, its idempotency keys, its feed.
create table ledgers (
  id integer not null,
  created_at timestamptz not null default now(),
  name text collate "C" not null,
  -- The key of the request that created it. Such a request contains only the name.
  idempotency_key text collate "C",
  -- Above this amount, in minor units, funding and overdraft limits need the approval of a second key. Null: none does.
  approval_above bigint,
  constraint ledgers_pkey primary key (id),
  constraint ledgers_name_unique unique (name),
  constraint ledgers_idempotency_key_unique unique (idempotency_key),
  constraint ledgers_id_positive check (id >= 1),
  constraint ledgers_approval_above_positive check (approval_above >= 0),
  constraint ledgers_name_form check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$')
);

insert into ledgers (id, name) values (1, 'main');

create table accounts (
  balance bigint not null default 0,
  held bigint not null default 0,
  overdraft_limit bigint not null default 0,
  -- The number of entries; the next one gets entry_count + 1.
  entry_count bigint not null default 0,
  created_at timestamptz not null default now(),
  ledger_id integer not null,
  account_number account_number not null,
  currency currency_code not null,
  status text collate "C" not null default 'open',
  -- Name, email, phone and date of birth, encrypted with the account's own key. Null: erased, or @external, which has none.
  personal_data bytea,
  metadata jsonb not null default '{}',
  constraint accounts_pkey primary key (ledger_id, account_number, currency),
  -- receive_only: may not send. frozen: may neither send nor receive.
  constraint accounts_status_known check (status in ('open', 'receive_only', 'frozen', 'closed')),
  constraint accounts_balance_exact check (balance between -9007199254740991 and 9007199254740991),
  constraint accounts_held_exact check (held between 0 and 9007199254740991),
  constraint accounts_overdraft_limit_exact check (overdraft_limit between 0 and 9007199254740991),
  constraint accounts_entry_count_positive check (entry_count >= 0),
  constraint accounts_no_overdraft check (account_number = '@external' or balance - held + overdraft_limit >= 0),
  constraint accounts_closed_is_empty check (status <> 'closed' or (balance = 0 and held = 0))
)
-- Leaves room on each page for the next version of its rows, so that settlement updates no index (a HOT update).
with (fillfactor = 70);

-- Every account but @external has one currency, so its number alone names it.
create unique index accounts_one_currency on accounts (ledger_id, account_number) where account_number <> '@external';

create index accounts_metadata on accounts using gin (metadata jsonb_path_ops) where metadata <> '{}';

-- The key of each account's personal data. To erase the data is to delete this row: what was made with the key is then noise,
-- in every old version, seal and fingerprint. docs/decisions/0034-personal-data.md says what else an operator does.
create table personal_keys (
  ledger_id integer not null,
  account_number text collate "C" not null,
  currency text collate "C" not null,
  key bytea not null,
  constraint personal_keys_pkey primary key (ledger_id, account_number, currency),
  constraint personal_keys_key_sized check (octet_length(key) = 32)
)
-- The table changes only when accounts are opened and erased. The first deleted row makes vacuum run.
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0, autovacuum_vacuum_cost_delay = 0);

-- Statistics are samples of the values: a deleted key must not live on in them.
alter table personal_keys alter column key set statistics 0;
alter table accounts alter column personal_data set statistics 0;

-- A lease is one process's claim on the transfers that it accepted.
create table leases (
  -- How many transfers were ever stored under the lease; since 0012 they are counted in ledger_leases, for each ledger. The sum
  -- over all of both equals the rows of pending_transfers plus the sum of intake_count in the journal. The loss of an accepted
  -- transfer breaks this equation. Hence no lease is ever deleted.
  accepted_count bigint not null default 0,
  -- The holder increases it after a lost answer. A statement of an earlier session then stores nothing, however late it arrives.
  session integer not null default 1,
  -- True once the holder stopped, or another process took over its transfers. Then it accepts no more.
  closed boolean not null default false,
  id uuid not null,
  constraint leases_pkey primary key (id),
  constraint leases_accepted_count_positive check (accepted_count >= 0),
  constraint leases_session_positive check (session >= 1)
)
-- Leaves room on the page for new versions of its rows.
with (fillfactor = 30);

-- The heartbeat of each open lease, in a table of its own so that it never waits for a transaction that locks the lease.
-- Other processes watch `beat` change, on monotonic clocks of their own: the database's clock may go back.
create table heartbeats (
  beat bigint not null default 1,
  written_at timestamptz not null default clock_timestamp(),
  lease_id uuid not null,
  constraint heartbeats_pkey primary key (lease_id)
)
with (fillfactor = 30);

-- The columns that both tables of transfers have:
--   kind          its effect: move money (transfer, capture, reversal), reserve it (hold), or release it (void, expiry)
--   parent_id     the hold that is captured, voided or expired; the transfer that is reversed
--   group_id      the request that named several at once; atomic: they settle all or none
--   final_capture a capture that releases the remaining amount of its hold
--   expires_in    seconds from created_at until a hold expires
--   if_…          conditions: the source's entry number, and its least available amount afterwards
-- A null amount means the remaining amount of the parent.

-- The intake log: transfers that were accepted before they were settled. Settling deletes the row here and inserts it into transfers,
-- in one transaction. A transfer whose caller waits is settled without ever being here.
create table pending_transfers (
  amount bigint,
  created_at timestamptz not null default now(),
  if_from_entry_number bigint,
  if_min_available_after bigint,
  expires_in integer,
  group_position integer,
  ledger_id integer not null,
  id uuid not null,
  lease_id uuid not null,
  parent_id uuid,
  group_id uuid,
  -- How many processes died while they held the transfer. After each death it is settled in a smaller job, so that a transfer
  -- that kills processes is found.
  adoptions smallint not null default 0,
  -- How many of them died while they tried the transfer alone in a job. Only this number causes it to be failed.
  lone_deaths smallint not null default 0,
  -- Whether the holder of the lease is trying it alone in a job now.
  on_trial boolean not null default false,
  atomic boolean,
  final_capture boolean,
  kind text collate "C" not null default 'transfer',
  from_account text collate "C" not null,
  to_account text collate "C" not null,
  -- Null: the currency of the accounts.
  currency text collate "C",
  -- Null: the caller sent none, and the id of the group, or else of the transfer, is used.
  request_id text collate "C",
  -- The ids of the keys that ordered and approved it; null: the service had no keys, or ordered it itself.
  ordered_by text collate "C",
  approved_by text collate "C",
  description text,
  metadata jsonb,
  -- The id leads, unlike elsewhere: PostgreSQL 15 and 16 may drop a condition `id = any(…)` on a later column of an index.
  -- They would then read the whole queue with its dead rows.
  constraint pending_transfers_pkey primary key (id, ledger_id),
  constraint pending_transfers_kind_known check (
    kind in ('transfer', 'hold', 'capture', 'void', 'expiry', 'reversal')
  ),
  constraint pending_transfers_amount_positive check (amount between 1 and 9007199254740991),
  constraint pending_transfers_amount_named check (amount is not null or parent_id is not null),
  constraint pending_transfers_parent_named check ((parent_id is null) = (kind in ('transfer', 'hold'))),
  constraint pending_transfers_accounts_differ check (from_account <> to_account)
)
-- A queue: rows live for milliseconds, so vacuum must run early and often.
with (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 10000,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0,
  autovacuum_analyze_threshold = 1000000
);

-- Settled permanently: a row is written once, with its final status. Wide columns come first, to avoid padding.
create table transfers (
  -- Null only if a failed transfer named none.
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
  ledger_id integer not null,
  id uuid not null,
  parent_id uuid,
  group_id uuid,
  atomic boolean,
  final_capture boolean,
  kind text collate "C" not null,
  from_account text collate "C" not null,
  to_account text collate "C" not null,
  -- Null only if a failed transfer named no currency and no account that determines it.
  currency text collate "C",
  status text collate "C" not null,
  failure_code text collate "C",
  request_id text collate "C",
  -- The ids of the keys that ordered and approved it; null: the service had no keys, or ordered it itself.
  ordered_by text collate "C",
  approved_by text collate "C",
  description text,
  metadata jsonb,
  -- The last line of defense against settling twice: no job can settle an id that is in this table.
  constraint transfers_pkey primary key (ledger_id, id),
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

-- Commit order, for lists, the audit and the feed.
create unique index transfers_journal on transfers (ledger_id, journal_number, journal_position);
-- Transfers that moved money are found through their entries. Only an account's other transfers need indexes of their own:
-- failed ones, and holds and their ends.
create index transfers_entryless_from on transfers (ledger_id, from_account, journal_number, journal_position)
  where from_entry_number is null;
create index transfers_entryless_to on transfers (ledger_id, to_account, journal_number, journal_position)
  where from_entry_number is null;
create index transfers_group on transfers (ledger_id, group_id, group_position) where group_id is not null;
create index transfers_parent on transfers (ledger_id, parent_id) where parent_id is not null;
create index transfers_metadata on transfers using gin (metadata jsonb_path_ops) where metadata is not null;
create index transfers_request on transfers (ledger_id, request_id) where request_id is not null;

-- Failed transfers are few, and callers poll for them: without an index, a page of them reads the whole history. Only a failed
-- transfer pays for it.
create index transfers_failed on transfers (ledger_id, journal_number, journal_position) where status = 'failed';

-- A list by time of acceptance follows the journal, which is in order of settlement. A transfer is accepted at most ten seconds
-- before it is settled, so a window of acceptance is a range of the journal. This index has the exceptions: transfers that
-- waited longer, during an outage, and transfers accepted before the clock of the database went back.
create index transfers_untimely on transfers (ledger_id, journal_number, journal_position)
  where completed_at - created_at not between interval '0' and interval '10 seconds';

create table entries (
  entry_number bigint not null,
  amount bigint not null,
  -- The account's balance after this entry.
  balance bigint not null,
  journal_number bigint not null,
  ledger_id integer not null,
  transfer_id uuid not null,
  account_number text collate "C" not null,
  currency text collate "C" not null,
  constraint entries_pkey primary key (ledger_id, account_number, currency, entry_number),
  constraint entries_number_positive check (entry_number >= 1),
  constraint entries_amount_not_zero check (amount <> 0),
  constraint entries_balance_exact check (balance between -9007199254740991 and 9007199254740991)
);

-- Money that is authorized and not yet moved. The hold's id is that of the transfer of kind hold that made it.
create table holds (
  amount bigint not null,
  captured bigint not null default 0,
  released bigint not null default 0,
  created_at timestamptz not null,
  expires_at timestamptz,
  ledger_id integer not null,
  id uuid not null,
  -- The transfer that ended an expired hold.
  expiry_id uuid,
  from_account text collate "C" not null,
  to_account text collate "C" not null,
  currency text collate "C" not null,
  state text collate "C" not null default 'open',
  constraint holds_pkey primary key (ledger_id, id),
  constraint holds_state_known check (state in ('open', 'captured', 'voided', 'expired')),
  constraint holds_amount_positive check (amount between 1 and 9007199254740991),
  constraint holds_parts_positive check (captured >= 0 and released >= 0),
  constraint holds_within_amount check (captured + released <= amount),
  constraint holds_state_explained check ((state = 'open') = (captured + released < amount))
)
with (fillfactor = 80);

create index holds_open on holds (ledger_id, from_account, currency) where state = 'open';
create index holds_due on holds (expires_at) where state = 'open' and expires_at is not null;

-- How much of a transfer was reversed. The first reversal creates the row.
create table reversed_amounts (
  amount bigint not null,
  reversed bigint not null,
  ledger_id integer not null,
  transfer_id uuid not null,
  constraint reversed_amounts_pkey primary key (ledger_id, transfer_id),
  constraint reversed_amounts_within check (reversed between 1 and amount)
);

-- Every opening and every change of an account, with a hash of the account's fields at that time.
create table account_changes (
  change_number bigint not null,
  journal_number bigint not null,
  ledger_id integer not null,
  account_number text collate "C" not null,
  currency text collate "C" not null,
  -- As in transfers.
  ordered_by text collate "C",
  approved_by text collate "C",
  seal bytea not null,
  constraint account_changes_pkey primary key (ledger_id, account_number, currency, change_number),
  constraint account_changes_number_positive check (change_number >= 1),
  constraint account_changes_seal_sized check (octet_length(seal) = 32)
);

-- The feed reads the journal with the account changes that its rows cover.
create index account_changes_journal on account_changes (ledger_id, journal_number);

-- SHA-256 of an account's fields except its money, which its entries and holds prove. docs/decisions/0013-journal.md has the form.
-- Personal data is covered as it is encrypted, so that it cannot be guessed from the seal.
create function account_seal(account accounts) returns bytea
language sql stable
as $$
  select sha256(convert_to(
    concat_ws(
      chr(31),
      account.account_number, account.currency, account.status, coalesce(encode(account.personal_data, 'hex'), ''),
      account.overdraft_limit, account.metadata::text, (extract(epoch from account.created_at) * 1000000)::bigint
    ),
    'UTF8'
  ))
$$;

-- The hash of a row of the journal; docs/decisions/0013-journal.md has the form. It is immutable, because a distributed
-- engine requires that of functions in an update. Everything in it is immutable too: otherwise the planner could not put its body
-- into a statement, and each job would parse and plan it, a tenth of the server's time for a job of one transfer. The name of a
-- ledger has no character that the cast to bytea changes.
create function chain_hash(
  previous_hash bytea, ledger text, number bigint, settled_at timestamptz, transfer_count integer, change_count integer, digest bytea
) returns bytea
language sql immutable
as $$
  select sha256(
    previous_hash
    || cast(
      ledger || '|' || number::text || '|'
      || (extract(epoch from settled_at at time zone 'UTC') * 1000000)::bigint::text || '|'
      || transfer_count::text || '|' || change_count::text
      as bytea
    )
    || digest
  )
$$;

-- One row per settled job or account change, numbered without gaps in commit order, each with the hash of the previous one.
create table journal (
  number bigint not null,
  settled_at timestamptz not null,
  ledger_id integer not null,
  transfer_count integer not null,
  -- How many of the transfers came from pending_transfers.
  intake_count integer not null,
  -- How many openings and changes of accounts it covers.
  change_count integer not null,
  -- SHA-256 over the account changes and then the transfers as settled; docs/decisions/0013-journal.md has the form.
  digest bytea not null,
  previous_hash bytea not null,
  hash bytea not null,
  constraint journal_pkey primary key (ledger_id, number),
  constraint journal_number_positive check (number >= 1),
  constraint journal_counts_positive check (transfer_count >= 0 and intake_count >= 0 and change_count >= 0),
  constraint journal_counts_consistent check (intake_count <= transfer_count and transfer_count + change_count > 0),
  constraint journal_hashes_sized check (
    octet_length(digest) = 32 and octet_length(previous_hash) = 32 and octet_length(hash) = 32
  )
);

create index journal_settled_at on journal (ledger_id, settled_at);

-- The end of each ledger's journal. Updating its row serializes the commits of all threads and processes.
create table journal_head (
  number bigint not null default 0,
  settled_at timestamptz not null default clock_timestamp(),
  -- An answer about a past instant is final once no later row of the journal can be settled at or before that instant. Every
  -- later row is settled at or after this instant, whatever the clock says.
  closed_until timestamptz not null default '-infinity',
  ledger_id integer not null,
  previous_hash bytea not null default decode(repeat('00', 32), 'hex'),
  hash bytea not null default decode(repeat('00', 32), 'hex'),
  constraint journal_head_pkey primary key (ledger_id)
)
-- Leaves room on the page for new versions of the rows.
with (fillfactor = 10);

insert into journal_head (ledger_id) values (1);

-- One key names one request of a ledger permanently: a transfer, a group, an opened account, or an account with its opening transfer.
create table idempotency_keys (
  created_at timestamptz not null default now(),
  ledger_id integer not null,
  -- The id of the transfer, or of the group.
  transfer_id uuid,
  key text collate "C" not null,
  account_number text collate "C",
  -- SHA-256 of the key's request, except its personal data: the same key with another request is refused.
  fingerprint bytea not null,
  -- HMAC-SHA-256 of the personal data of a request that opens accounts, with the keys of these accounts.
  personal_fingerprint bytea,
  constraint idempotency_keys_pkey primary key (ledger_id, key),
  constraint idempotency_keys_names_something check (num_nonnulls(transfer_id, account_number) > 0),
  constraint idempotency_keys_fingerprint_sized check (octet_length(fingerprint) = 32),
  constraint idempotency_keys_personal_fingerprint_sized check (octet_length(personal_fingerprint) = 32)
);

-- Final rows never change. The service never performs the operations that fire these triggers, so they cost the hot path
-- nothing.
create function refuse_change() returns trigger
language plpgsql
as $$
begin
  raise exception 'table % is append-only: % is refused', tg_table_name, tg_op
    using errcode = 'restrict_violation';
end;
$$;

-- Row triggers, because a distributed engine fires no others on its shards.
create trigger transfers_append_only before update or delete on transfers
for each row execute function refuse_change();
create trigger transfers_not_truncated before truncate on transfers
for each statement execute function refuse_change();
create trigger entries_append_only before update or delete on entries
for each row execute function refuse_change();
create trigger entries_not_truncated before truncate on entries
for each statement execute function refuse_change();
create trigger account_changes_append_only before update or delete on account_changes
for each row execute function refuse_change();
create trigger account_changes_not_truncated before truncate on account_changes
for each statement execute function refuse_change();
create trigger journal_append_only before update or delete on journal
for each row execute function refuse_change();
create trigger journal_not_truncated before truncate on journal
for each statement execute function refuse_change();
create trigger idempotency_keys_append_only before update or delete on idempotency_keys
for each row execute function refuse_change();
create trigger idempotency_keys_not_truncated before truncate on idempotency_keys
for each statement execute function refuse_change();

-- The service's role has no right to change them either, unless it is a superuser or grants itself the right again.
revoke update, delete, truncate on transfers, entries, account_changes, journal, idempotency_keys from current_user;
