insert into audit_log (ledger_id, at, journal_number, id, action, actor, subject, details)
select ledger_id, $2::timestamptz, number, $3::uuid, $4::text, $5::text, $6::text, $7::text
from journal_head
where ledger_id = $1::integer
