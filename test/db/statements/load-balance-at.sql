with instant as materialized (
  select
coalesce(
  (
    select number
    from journal
    where ledger_id = $4::integer and settled_at <= $3::timestamptz
    order by settled_at desc, number desc
    limit 1
  ),
  0
) as journal_number
)
select last.balance, last.entry_number
from accounts
cross join instant
cross join
lateral (
  with recursive search (low, high) as (
    -- Everything up to low is at or before the point, everything from high on is after it.
    select 0::bigint, accounts.entry_count + 1
    union all
    select
      case when probe.journal_number <= instant.journal_number then (low + high) / 2 else low end,
      case when probe.journal_number <= instant.journal_number then high else (low + high) / 2 end
    from search
    cross join lateral (
      select journal_number
      from entries
      where entries.ledger_id = $4::integer
        and entries.account_number = accounts.account_number
        and entries.currency = accounts.currency
        and entries.entry_number = (low + high) / 2
    ) as probe
    where high - low > 1
  )
  select coalesce(entries.entry_number, 0) as entry_number, coalesce(entries.balance, 0) as balance
  from search
  left join entries
    on entries.ledger_id = $4::integer
    and entries.account_number = accounts.account_number
    and entries.currency = accounts.currency
    and entries.entry_number = low
  where high - low = 1
) as last
where ledger_id = $4::integer and account_number = $1::text and currency = $2::text
