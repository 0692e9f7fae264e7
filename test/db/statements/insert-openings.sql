insert into account_changes (
  ledger_id, change_number, journal_number, account_number, currency, seal, ordered_by, approved_by
)
select head.ledger_id, 1, head.number, account_number, currency, seal, ordered_by, approved_by
from journal_head as head
cross join unnest($2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[])
  as opened (account_number, currency, seal, ordered_by, approved_by)
where head.ledger_id = $1::integer
