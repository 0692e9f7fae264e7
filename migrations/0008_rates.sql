-- Rates: the two transfers of a conversion between currencies keep its rate. They are members of one atomic group.

-- `EUR/USD 1.0825`: what one euro costs in dollars. Null: no conversion. It comes last in both tables, so that no other column
-- of a row moves, and costs a row without it nothing.
alter table pending_transfers
  add column rate text collate "C",
  add constraint pending_transfers_rate_form check (rate is null or (atomic and rate ~ '^[A-Z]{3}/[A-Z]{3} \d{1,9}(\.\d{1,12})?$'));

alter table transfers
  add column rate text collate "C",
  add constraint transfers_rate_form check (rate is null or (atomic and rate ~ '^[A-Z]{3}/[A-Z]{3} \d{1,9}(\.\d{1,12})?$'));
