select coalesce(clock, greatest(settled_at, closed_until)) > $1::timestamptz as closed,
  case
    when clock is null
      and coalesce(clock, greatest(settled_at, closed_until)) <= $1::timestamptz
      and $1::timestamptz < clock_timestamp()
      and coalesce(clock, greatest(settled_at, closed_until)) < clock_timestamp() - interval '100 milliseconds'
    then clock_timestamp()
  end as close_at,
  case when clock is null then extract(epoch from $1::timestamptz - clock_timestamp())::float8 end as seconds_left
from journal_ends
where ledger_id = $2::integer
