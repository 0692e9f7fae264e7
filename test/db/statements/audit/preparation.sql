-- all ledgers
select relnamespace::regnamespace from pg_class where oid = to_regclass('journal_head');

select set_config(name, value, true) from unnest($1::text[], $2::text[]) as setting (name, value);

select to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

select max(journal_number) from archived_months as archived;

select id, name from ledgers  order by name, id;

select (select count(*) from ledgers as counted), (select count(*) from journal_head as counted), (select count(*) from accounts as counted), (select count(*) from account_changes as counted), (select count(*) from transfers as counted), (select count(*) from entries as counted), (select count(*) from holds as counted), (select count(*) from reversed_amounts as counted), (select count(*) from journal as counted), (select count(*) from (select * from audit_log as acts where journal_number is not null) as counted), (select count(*) from leases as counted), (select count(*) from ledger_leases as counted), (select count(*) from pending_transfers as counted), (select count(*) from idempotency_keys as counted);

-- one ledger, after a row of its journal
select relnamespace::regnamespace from pg_class where oid = to_regclass('journal_head');

select set_config(name, value, true) from unnest($1::text[], $2::text[]) as setting (name, value);

select to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

select max(journal_number) from (select * from archived_months where ledger_id = 1) as archived;

select id, name from ledgers where id = 1 order by name, id;

select (select count(*) from (select from ledgers where id = 1) as counted), (select count(*) from (select * from journal_head where ledger_id = 1) as counted), (select count(*) from (select * from accounts where ledger_id = 1) as counted), (select count(*) from (select * from account_changes where ledger_id = 1 and journal_number > 7) as counted), (select count(*) from (select * from transfers where ledger_id = 1 and journal_number > 7) as counted), (select count(*) from (select * from (
  select entries.*, entries.entry_number >= touched.first_number as audited
  from (
  select ledger_id, account_number, currency, min(entry_number) as first_number
  from (
  select ledger_id, from_account as account_number, currency, from_entry_number as entry_number
  from (select * from transfers where ledger_id = 1 and journal_number > 7) as transfers
  where from_entry_number is not null and currency is not null union all
  select ledger_id, to_account as account_number, currency, to_entry_number as entry_number
  from (select * from transfers where ledger_id = 1 and journal_number > 7) as transfers
  where to_entry_number is not null and currency is not null) as side
  group by ledger_id, account_number, currency
) as touched
  cross join lateral (
    select *
    from entries
    where entries.ledger_id = touched.ledger_id
      and entries.account_number = touched.account_number
      and entries.currency = touched.currency
      and entries.entry_number >= touched.first_number - 1
    -- Keeps the planner from making a join of this: look-ups by key are what makes a short scope fast.
    offset 0
  ) as entries
) as anchored where audited) as counted), (select count(*) from (
  select id from (select * from transfers where ledger_id = 1 and journal_number > 7) as made where kind = 'hold' and status = 'completed'
  union select parent_id from (select * from transfers where ledger_id = 1 and journal_number > 7) as parts where kind in ('capture', 'void', 'expiry')
  union select id from (select * from holds where ledger_id = 1) as opened where state = 'open'
) as counted), (select count(*) from (
  select distinct ledger_id, parent_id as transfer_id from (select * from transfers where ledger_id = 1 and journal_number > 7) as transfers where kind = 'reversal'
) as counted), (select count(*) from (select * from journal where ledger_id = 1 and number > 7) as counted), (select count(*) from (select * from (select * from audit_log where ledger_id = 1 and journal_number > 7) as acts where journal_number is not null) as counted), (select count(*) from (select where false) as counted), (select count(*) from (select * from ledger_leases where ledger_id = 1) as counted), (select count(*) from (select * from pending_transfers where ledger_id = 1) as counted), (select count(*) from (select where false) as counted)
