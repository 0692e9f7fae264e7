insert into account_changes (ledger_id, change_number, journal_number, account_number, currency, seal)
select $1::integer, 1, head.number, account_number, currency, seal
from journal_head as head
cross join unnest($2::text[], $3::text[], $4::bytea[]) as opened (account_number, currency, seal)
where head.ledger_id = $1::integer
