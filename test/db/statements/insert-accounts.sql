insert into accounts (
  ledger_id, created_at, account_number, currency, name, email, phone, date_of_birth, overdraft_limit, metadata, balance,
  held, entry_count
)
select $1::integer, timestamptz 'epoch' + $2::bigint * interval '1 microsecond', opened.*
from unnest(
  $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::date[], $9::bigint[], $10::jsonb[], $11::bigint[],
  $12::bigint[], $13::bigint[]
) as opened
