with ending as materialized (
  select (select number from (
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
) as head) as journal_number
), point as materialized (
  select journal_number, false as is_sealed
  from ending
), totals as (
  -- The totals of a closed month; then no account is read.
  select currency, account_count, positive::text, negative::text
  from point
  join sealed_totals
    on sealed_totals.ledger_id = $1::integer and sealed_totals.journal_number = point.journal_number
  where point.is_sealed
  union all
  select accounts.currency, count(*) as account_count,
    coalesce(sum(last.balance) filter (where last.balance > 0), 0)::text as positive,
    coalesce(sum(last.balance) filter (where last.balance < 0), 0)::text as negative
  from accounts
  cross join point
  cross join lateral (select accounts.entry_count as entry_number, accounts.balance) as last
  where accounts.ledger_id = $1::integer and last.entry_number > 0 and not (select is_sealed from point)
  group by accounts.currency
)
select point.journal_number, journal.settled_at, totals.currency, totals.account_count, totals.positive, totals.negative
from point
left join journal on journal.ledger_id = $1::integer and journal.number = point.journal_number
left join totals on true
order by totals.currency
