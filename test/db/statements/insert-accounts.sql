insert into accounts (
  ledger_id, created_at, account_number, currency, personal_data, overdraft_limit, metadata, balance, held, entry_count
)
select $1::integer, timestamptz 'epoch' + $2::bigint / 1000000 * interval '1 second' + $2::bigint % 1000000 * interval '1 microsecond', opened.*
from unnest(
  $3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::jsonb[], $8::bigint[], $9::bigint[], $10::bigint[]
) as opened
