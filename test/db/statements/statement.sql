with month as materialized (
  select begins, begins + interval '1 month' as ends
  from (select ($3::text || '-01T00:00:00Z')::timestamptz as begins) as first
), bounds as materialized (
  select begins, ends,
coalesce(
  (
    select number
    from journal
    where ledger_id = $4::integer and settled_at < begins
    order by settled_at desc, number desc
    limit 1
  ),
  0
) as opening,
coalesce(
  (
    select number
    from journal
    where ledger_id = $4::integer and settled_at < ends
    order by settled_at desc, number desc
    limit 1
  ),
  0
) as closing,
    (select coalesce(clock, greatest(settled_at, closed_until)) from (
  select head.ledger_id, coalesce(last.number, 0) as number, coalesce(last.settled_at, head.opened_at) as settled_at,
    coalesce(last.hash, decode(repeat('00', 32), 'hex')) as hash, head.closed_until, head.clock
  from journal_head as head
  left join lateral (
    select number, settled_at, hash
    from journal
    where journal.ledger_id = $4::integer
    order by number desc
    limit 1
  ) as last on true
  where head.ledger_id = $4::integer
) as head) >= ends as final
  from month
  where begins <= (select coalesce(clock, greatest(clock_timestamp(), settled_at, closed_until)) from (
  select head.ledger_id, coalesce(last.number, 0) as number, coalesce(last.settled_at, head.opened_at) as settled_at,
    coalesce(last.hash, decode(repeat('00', 32), 'hex')) as hash, head.closed_until, head.clock
  from journal_head as head
  left join lateral (
    select number, settled_at, hash
    from journal
    where journal.ledger_id = $4::integer
    order by number desc
    limit 1
  ) as last on true
  where head.ledger_id = $4::integer
) as head)
), month_end as materialized (
  select
bounds.opening = 0 or exists (
  select
  from closed_months
  where closed_months.ledger_id = $4::integer and closed_months.journal_number = bounds.opening
) as is_opening,
bounds.closing = 0 or exists (
  select
  from closed_months
  where closed_months.ledger_id = $4::integer and closed_months.journal_number = bounds.closing
) as is_closing
  from bounds
)
select accounts.account_number, accounts.currency, accounts.personal_data,
  (
  select key
  from personal_keys
  where personal_keys.ledger_id = $4::integer and personal_keys.account_number = accounts.account_number
    and personal_keys.currency = accounts.currency
) as key, bounds.begins, bounds.ends, bounds.final,
  opening.entry_number as opening_entry_number, opening.balance as opening_balance,
  closing.entry_number as closing_entry_number, closing.balance as closing_balance,
  totals.total_in, totals.total_out
from accounts
cross join bounds
cross join month_end
cross join
lateral (
  with recursive sealed as (
    select entry_number, balance
    from sealed_balances
    where sealed_balances.ledger_id = $4::integer
      and sealed_balances.account_number = accounts.account_number
      and sealed_balances.currency = accounts.currency
      and sealed_balances.journal_number <= bounds.opening
    order by sealed_balances.journal_number desc
    limit 1
  ), search (low, high) as (
    -- Everything up to low is at or before the point, everything from high on is after it.
    select coalesce((select entry_number from sealed), 0),
      case when month_end.is_opening then coalesce((select entry_number from sealed), 0) + 1
        else coalesce((
          select entry_number
    from sealed_balances
    where sealed_balances.ledger_id = $4::integer
      and sealed_balances.account_number = accounts.account_number
      and sealed_balances.currency = accounts.currency
      and sealed_balances.journal_number > bounds.opening
    order by sealed_balances.journal_number asc
    limit 1
        ), accounts.entry_count) + 1
      end
    union all
    select
      case when probe.journal_number <= bounds.opening then (low + high) / 2 else low end,
      case when probe.journal_number <= bounds.opening then high else (low + high) / 2 end
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
) as opening
cross join
lateral (
  with recursive sealed as (
    select entry_number, balance
    from sealed_balances
    where sealed_balances.ledger_id = $4::integer
      and sealed_balances.account_number = accounts.account_number
      and sealed_balances.currency = accounts.currency
      and sealed_balances.journal_number <= bounds.closing
    order by sealed_balances.journal_number desc
    limit 1
  ), search (low, high) as (
    -- Everything up to low is at or before the point, everything from high on is after it.
    select coalesce((select entry_number from sealed), 0),
      case when month_end.is_closing then coalesce((select entry_number from sealed), 0) + 1
        else coalesce((
          select entry_number
    from sealed_balances
    where sealed_balances.ledger_id = $4::integer
      and sealed_balances.account_number = accounts.account_number
      and sealed_balances.currency = accounts.currency
      and sealed_balances.journal_number > bounds.closing
    order by sealed_balances.journal_number asc
    limit 1
        ), accounts.entry_count) + 1
      end
    union all
    select
      case when probe.journal_number <= bounds.closing then (low + high) / 2 else low end,
      case when probe.journal_number <= bounds.closing then high else (low + high) / 2 end
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
) as closing
cross join lateral (
  select coalesce(sum(amount) filter (where amount > 0), 0)::text as total_in,
    coalesce(-sum(amount) filter (where amount < 0), 0)::text as total_out
  from entries
  where entries.ledger_id = $4::integer
    and entries.account_number = accounts.account_number
    and entries.currency = accounts.currency
    and entries.entry_number > opening.entry_number
    and entries.entry_number <= closing.entry_number
) as totals
where accounts.ledger_id = $4::integer and accounts.account_number = $1::text and accounts.currency = $2::text;

select entries.entry_number, journal.settled_at, entries.transfer_id, transfers.kind,
  case when entries.amount < 0 then transfers.to_account else transfers.from_account end as counterparty,
  transfers.description, entries.amount, entries.balance
from entries
join journal on journal.ledger_id = $5::integer and journal.number = entries.journal_number
join transfers on transfers.ledger_id = $5::integer and transfers.id = entries.transfer_id
where entries.ledger_id = $5::integer
  and entries.account_number = $1::text
  and entries.currency = $2::text
  and entries.entry_number > $3::bigint
  and entries.entry_number <= $4::bigint
order by entries.entry_number
limit 1000
