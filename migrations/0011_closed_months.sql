-- Closed months: the balances of a ledger at the end of a month that is over, so that a question about the past reads few
-- entries. docs/decisions/0058-closed-months.md has the reasons. `gopherpay close` writes these rows as the owner.

-- The months of a ledger, closed in turn, each with a hash that covers its sealed balances and the month before.
create table closed_months (
  closed_at timestamptz not null default now(),
  -- The last row of the journal that was settled before the end of the month; 0 if there was none.
  journal_number bigint not null,
  -- How many accounts have a sealed balance of this month.
  account_count bigint not null,
  ledger_id integer not null,
  month date not null,
  -- The hash of that row of the journal; 32 zero bytes if there was none.
  journal_hash bytea not null,
  -- SHA-256 over the sealed balances and the totals of the month.
  digest bytea not null,
  previous_hash bytea not null,
  hash bytea not null,
  constraint closed_months_pkey primary key (ledger_id, month),
  constraint closed_months_first_day check (extract(day from month) = 1),
  constraint closed_months_counts_positive check (journal_number >= 0 and account_count >= 0),
  constraint closed_months_hashes_sized check (
    octet_length(journal_hash) = 32 and octet_length(digest) = 32 and octet_length(previous_hash) = 32
    and octet_length(hash) = 32
  )
);

create index closed_months_journal on closed_months (ledger_id, journal_number);

-- The last entry of an account up to the end of a closed month, if it has entries in the month. A month without entries has
-- the balance of the month before.
create table sealed_balances (
  -- The end of the month in the journal, as in closed_months.
  journal_number bigint not null,
  entry_number bigint not null,
  balance bigint not null,
  ledger_id integer not null,
  account_number text collate "C" not null,
  currency text collate "C" not null,
  constraint sealed_balances_pkey primary key (ledger_id, account_number, currency, journal_number),
  constraint sealed_balances_entry_positive check (entry_number >= 1)
);

-- The trial balance at the end of a closed month.
create table sealed_totals (
  journal_number bigint not null,
  -- How many accounts have entries.
  account_count bigint not null,
  positive numeric(38) not null,
  negative numeric(38) not null,
  ledger_id integer not null,
  currency text collate "C" not null,
  constraint sealed_totals_pkey primary key (ledger_id, journal_number, currency),
  constraint sealed_totals_signed check (account_count > 0 and positive >= 0 and negative <= 0)
);

create trigger closed_months_append_only before update or delete on closed_months
for each row execute function refuse_change();
create trigger closed_months_not_truncated before truncate on closed_months
for each statement execute function refuse_change();
create trigger sealed_balances_append_only before update or delete on sealed_balances
for each row execute function refuse_change();
create trigger sealed_balances_not_truncated before truncate on sealed_balances
for each statement execute function refuse_change();
create trigger sealed_totals_append_only before update or delete on sealed_totals
for each row execute function refuse_change();
create trigger sealed_totals_not_truncated before truncate on sealed_totals
for each statement execute function refuse_change();

revoke update, delete, truncate on closed_months, sealed_balances, sealed_totals from current_user;

-- Tables that only grow are vacuumed each million rows, and what a vacuum sees is frozen at once, as it never changes. By
-- default a table of a billion rows is vacuumed after each 200 million, and old pages are read and written again later, all
-- at once, to keep transaction ids from wrapping around. docs/decisions/0059-append-only-tables.md has the numbers.
do $$
declare
  grown text;
begin
  foreach grown in array array[
    'transfers', 'entries', 'journal', 'account_changes', 'idempotency_keys', 'audit_log', 'sealed_balances'
  ] loop
    execute format(
      'alter table %I set (
        autovacuum_freeze_min_age = 0, toast.autovacuum_freeze_min_age = 0, autovacuum_vacuum_insert_scale_factor = 0,
        autovacuum_vacuum_insert_threshold = 1000000
      )',
      grown
    );
  end loop;
end;
$$;
