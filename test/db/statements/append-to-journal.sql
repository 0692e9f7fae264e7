with
next as materialized (
  select number + 1 as number, hash as previous_hash, coalesce(clock, greatest(timestamptz 'epoch' + $3::bigint / 1000000 * interval '1 second' + $3::bigint % 1000000 * interval '1 microsecond', settled_at, closed_until)) as settled_at
  from (
  select head.ledger_id, coalesce(last.number, 0) as number, coalesce(last.settled_at, head.opened_at) as settled_at,
    coalesce(last.hash, decode(repeat('00', 32), 'hex')) as hash, head.closed_until, head.clock
  from journal_head as head
  left join lateral (
    select number, settled_at, hash
    from journal
    where journal.ledger_id = $1::integer
    order by number desc
    limit 1
  ) as last on true
  where head.ledger_id = $1::integer
) as head
), journaled as (
  insert into journal (
    ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
  )
  select $1::integer, number, settled_at, 0, 0, $4::integer, $5::bytea, previous_hash,
    chain_hash(previous_hash, $2::text, number, settled_at, 0, $4::integer, $5::bytea)
  from next
  returning number, settled_at
)
select number, settled_at, (extract(epoch from settled_at) * 1000000)::bigint as settled_micros
from journaled
