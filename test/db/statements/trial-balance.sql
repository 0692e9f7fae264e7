with point as materialized (
  select (select number from journal_ends where ledger_id = $1::integer) as journal_number
), totals as (
  select accounts.currency, count(*) as account_count,
    coalesce(sum(last.balance) filter (where last.balance > 0), 0)::text as positive,
    coalesce(sum(last.balance) filter (where last.balance < 0), 0)::text as negative
  from accounts
  cross join point
  cross join lateral (select accounts.entry_count as entry_number, accounts.balance) as last
  where accounts.ledger_id = $1::integer and last.entry_number > 0
  group by accounts.currency
)
select point.journal_number, journal.settled_at, totals.currency, totals.account_count, totals.positive, totals.negative
from point
left join journal on journal.ledger_id = $1::integer and journal.number = point.journal_number
left join totals on true
order by totals.currency
