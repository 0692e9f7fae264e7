select number, settled_at, encode(hash, 'hex') as hash, encode(previous_hash, 'hex') as previous_hash,
  encode(digest, 'hex') as digest, transfer_count, change_count
from (
  select number, settled_at, hash, previous_hash, digest, transfer_count, change_count,
    sum(transfer_count + change_count) over (order by number) as records_so_far,
    row_number() over (order by number) as position
  from (
    select number, settled_at, hash, previous_hash, digest, transfer_count, change_count
    from journal
    where ledger_id = $4::integer and number > $1::bigint
    order by number
    limit $2::integer
  ) as following
) as counted
where position = 1 or records_so_far <= $3::integer
order by number
