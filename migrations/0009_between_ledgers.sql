-- Transfers between ledgers: a hold in one ledger, a credit in the other, then a capture or a void.
-- docs/decisions/0053-between-ledgers.md has the reasons.

-- In each ledger, the account @ledger:NAME stands for another ledger, one per currency, like @external.
alter domain account_number drop constraint accounts_number_form;
alter domain account_number add constraint accounts_number_form check (
  value = '@external' or (octet_length(value) <= 34 and value ~ '^[A-Za-z0-9._-]+$')
    or value ~ '^@ledger:[a-z0-9][a-z0-9_-]{0,62}$'
);

alter table accounts drop constraint accounts_no_overdraft;
alter table accounts add constraint accounts_no_overdraft check (
  account_number like '@%' or balance - held + overdraft_limit >= 0
);

drop index accounts_one_currency;
create unique index accounts_one_currency on accounts (ledger_id, account_number) where account_number not like '@%';

-- The account in the other ledger. It comes last in both tables, so that no other column of a row moves, and costs a row
-- without it nothing.
alter table pending_transfers
  add column remote_account text collate "C",
  add constraint pending_transfers_remote_form check (
    remote_account is null or (
      rate is null and remote_account ~ '^[A-Za-z0-9._-]{1,34}$' and case
        when kind = 'transfer' then from_account like '@ledger:%'
        when kind in ('hold', 'capture', 'void') then to_account like '@ledger:%'
        else false
      end
    )
  );

alter table transfers
  add column remote_account text collate "C",
  add constraint transfers_remote_form check (
    remote_account is null or (
      rate is null and remote_account ~ '^[A-Za-z0-9._-]{1,34}$' and case
        when kind = 'transfer' then from_account like '@ledger:%'
        when kind in ('hold', 'capture', 'void') then to_account like '@ledger:%'
        else false
      end
    )
  );

-- The outbox of the courier: it takes the oldest of all ledgers first.
create index holds_remote_open on holds (created_at) where state = 'open' and to_account like '@ledger:%';
-- Refused transfers between ledgers, for the lists of failed ones. Only a refused one pays for it.
create index holds_remote_voided on holds (ledger_id, id) where state = 'voided' and to_account like '@ledger:%';
