insert into personal_keys (ledger_id, account_number, currency, key)
select $1::integer, opened.*
from unnest($2::text[], $3::text[], $4::bytea[]) as opened
