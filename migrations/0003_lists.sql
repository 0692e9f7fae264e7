-- Indexes of lists. None of them has a row for a plain transfer that completed, and settlement changes none of their columns in
-- accounts: docs/decisions/0037-lists.md has what each costs.

-- Settlement never looks for holds by account: lists do, in the order of their ids, for each state.
drop index holds_open;
create index holds_account on holds (ledger_id, from_account, state, id);
create index holds_open on holds (ledger_id, id) where state = 'open';

-- Nearly all transfers are plain ones, so a list of those is filled from the journal's order.
create index transfers_kind on transfers (ledger_id, kind, journal_number, journal_position) where kind <> 'transfer';
create index transfers_failure_code on transfers (ledger_id, failure_code, journal_number, journal_position)
  where failure_code is not null;

-- Nearly all accounts are open, so a list of those is filled from the primary key.
create index accounts_status on accounts (ledger_id, status, account_number, currency) where status <> 'open';
create index accounts_of_currency on accounts (ledger_id, currency, account_number);
