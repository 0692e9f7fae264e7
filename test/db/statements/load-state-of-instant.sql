select coalesce(clock, greatest(settled_at, closed_until)) > $1::timestamptz as closed,
  case
    when clock is null
      and coalesce(clock, greatest(settled_at, closed_until)) <= $1::timestamptz
      and $1::timestamptz < clock_timestamp()
      and coalesce(clock, greatest(settled_at, closed_until)) < clock_timestamp() - interval '100 milliseconds'
    then clock_timestamp()
  end as close_at,
  case when clock is null then extract(epoch from $1::timestamptz - clock_timestamp())::float8 end as seconds_left
from (
  select head.ledger_id, coalesce(last.number, 0) as number, coalesce(last.settled_at, head.opened_at) as settled_at,
    coalesce(last.hash, decode(repeat('00', 32), 'hex')) as hash, head.closed_until, head.clock
  from journal_head as head
  left join lateral (
    select number, settled_at, hash
    from journal
    where journal.ledger_id = $2::integer
    order by number desc
    limit 1
  ) as last on true
  where head.ledger_id = $2::integer
) as head
