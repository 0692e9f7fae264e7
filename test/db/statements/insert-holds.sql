insert into holds (ledger_id, amount, created_at, expires_at, id, from_account, to_account, currency)
select $1::integer, amount, created_at, created_at + expires_in * interval '1 second', id, from_account, to_account,
  currency
from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::integer[], $8::bigint[])
  as made (id, from_account, to_account, currency, amount, expires_in, created_at_micros)
cross join lateral (
  select timestamptz 'epoch' + created_at_micros / 1000000 * interval '1 second' + created_at_micros % 1000000 * interval '1 microsecond' as created_at
) as time
