-- Indexes of lists. Completed transfers, holds and captures have no further row in them, and settlement changes none of their
-- columns in accounts. docs/decisions/0037-lists.md has what they cost nevertheless.

-- An account's open holds in the order of their ids, as they are listed. Nothing looked for them by currency.
drop index holds_open;
create index holds_open on holds (ledger_id, from_account, id) where state = 'open';

-- Rare kinds only: holds and captures may be most of the transfers of a ledger, and would pay for it.
create index transfers_rare_kind on transfers (ledger_id, kind, journal_number, journal_position)
  where kind in ('void', 'expiry', 'reversal');
create index transfers_failure_code on transfers (ledger_id, failure_code, journal_number, journal_position)
  where failure_code is not null;

-- Nearly all accounts are open, so a list of those is filled from the primary key.
create index accounts_status on accounts (ledger_id, status, account_number, currency) where status <> 'open';
create index accounts_of_currency on accounts (ledger_id, currency, account_number);
