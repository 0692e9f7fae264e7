insert into account_changes (
  ledger_id, change_number, journal_number, account_number, currency, seal, ordered_by, approved_by
)
select ledger_id, $4::bigint, number, $2::text, $3::text, $5::bytea, $6::text, $7::text
from journal_head
where ledger_id = $1::integer
