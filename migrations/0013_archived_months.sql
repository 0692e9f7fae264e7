-- Archived months: their entries are in files, and no longer here. The transfers stay, and imply them: their entry numbers are
-- the order in which the balances add up. docs/decisions/0060-archived-months.md has the reasons. `gopherpay archive` writes
-- these rows as the owner.

-- The closed months of a ledger, archived in turn from the first one.
create table archived_months (
  archived_at timestamptz not null default now(),
  -- The end of the month in the journal, as in closed_months.
  journal_number bigint not null,
  ledger_id integer not null,
  month date not null,
  -- The SHA-256 in the trailer of the archived books: of all their bytes in the form of a file.
  digest bytea not null,
  constraint archived_months_pkey primary key (ledger_id, month),
  constraint archived_months_first_day check (extract(day from month) = 1),
  constraint archived_months_number_positive check (journal_number >= 0),
  constraint archived_months_digest_sized check (octet_length(digest) = 32)
);

create trigger archived_months_append_only before update or delete on archived_months
for each row execute function refuse_change();
create trigger archived_months_not_truncated before truncate on archived_months
for each statement execute function refuse_change();
revoke update, delete, truncate on archived_months from current_user;

-- An entry may be deleted once its month is archived, by a role that has the right. None has it: `gopherpay archive` grants it to
-- the owner in the transactions that delete.
create function refuse_entry_change() returns trigger
language plpgsql
as $$
begin
  if tg_op = 'DELETE' and exists (
    select
    from archived_months
    where archived_months.ledger_id = old.ledger_id and archived_months.journal_number >= old.journal_number
  ) then
    return old;
  end if;
  raise exception 'table % is append-only: % is refused', tg_table_name, tg_op
    using errcode = 'restrict_violation';
end;
$$;
-- Where the table is distributed, the function runs on its nodes: for a deletion, which the service has no right to make. Other
-- servers take the name as that of a setting of some extension. Citus sends the whole text of a command to its nodes, so each
-- is executed alone.
set local citus.enable_unsafe_triggers = on;
do $$
begin
  execute 'drop trigger entries_append_only on entries';
  execute 'create trigger entries_append_only before update or delete on entries '
    'for each row execute function refuse_entry_change()';
end;
$$;
