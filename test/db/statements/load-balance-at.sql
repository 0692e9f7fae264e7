with point as materialized (
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
), instant as materialized (
  select journal_number,
point.journal_number = 0 or exists (
  select
  from closed_months
  where closed_months.ledger_id = $4::integer and closed_months.journal_number = point.journal_number
) as is_sealed
  from point
)
select last.balance, last.entry_number
from accounts
cross join instant
cross join
lateral (
  with recursive sealed as (
    select entry_number, balance
    from sealed_balances
    where sealed_balances.ledger_id = $4::integer
      and sealed_balances.account_number = accounts.account_number
      and sealed_balances.currency = accounts.currency
      and sealed_balances.journal_number <= instant.journal_number
    order by sealed_balances.journal_number desc
    limit 1
  ), search (low, high) as (
    -- Everything up to low is at or before the point, everything from high on is after it.
    select coalesce((select entry_number from sealed), 0),
      case when instant.is_sealed then coalesce((select entry_number from sealed), 0) + 1
        else coalesce((
          select entry_number
    from sealed_balances
    where sealed_balances.ledger_id = $4::integer
      and sealed_balances.account_number = accounts.account_number
      and sealed_balances.currency = accounts.currency
      and sealed_balances.journal_number > instant.journal_number
    order by sealed_balances.journal_number asc
    limit 1
        ), accounts.entry_count) + 1
      end
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
  select low as entry_number,
    case
      when low = 0 then 0
      when low = (select entry_number from sealed) then (select balance from sealed)
      else (
        select entries.balance
        from entries
        where entries.ledger_id = $4::integer
          and entries.account_number = accounts.account_number
          and entries.currency = accounts.currency
          and entries.entry_number = low
      )
    end as balance
  from search
  where high - low = 1
) as last
where ledger_id = $4::integer and account_number = $1::text and currency = $2::text
