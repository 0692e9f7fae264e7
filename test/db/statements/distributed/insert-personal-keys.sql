insert into personal_keys (ledger_id, account_number, currency, key)
select journal_head.ledger_id, opened.*
from journal_head cross join unnest($2::text[], $3::text[], $4::bytea[]) as opened
where journal_head.ledger_id = $1::integer
