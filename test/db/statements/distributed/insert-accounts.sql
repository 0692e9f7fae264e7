insert into accounts (
  ledger_id, created_at, account_number, currency, personal_data, overdraft_limit, metadata, balance, held, entry_count
)
select journal_head.ledger_id, timestamptz 'epoch' + $2::bigint / 1000000 * interval '1 second' + $2::bigint % 1000000 * interval '1 microsecond', opened.*
from journal_head cross join unnest(
  $3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::jsonb[], $8::bigint[], $9::bigint[], $10::bigint[]
) as opened
where journal_head.ledger_id = $1::integer
