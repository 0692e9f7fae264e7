insert into journal (
  ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
)
select ledger_id, number, settled_at, $4::integer, $5::integer, $6::integer, $7::bytea, previous_hash,
  chain_hash(previous_hash, $2::text, number, settled_at, $4::integer, $6::integer, $7::bytea)
from (
  select ledger_id, number + 1 as number, hash as previous_hash, coalesce(clock, greatest($3::timestamptz, settled_at, closed_until)) as settled_at
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
) as next
