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
    (select coalesce(clock, greatest(settled_at, closed_until)) from journal_ends where ledger_id = $4::integer) >= ends as final
  from month
  where begins <= (select coalesce(clock, greatest(clock_timestamp(), settled_at, closed_until)) from journal_ends where ledger_id = $4::integer)
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
cross join
lateral (
  with recursive search (low, high) as (
    -- Everything up to low is at or before the point, everything from high on is after it.
    select 0::bigint, accounts.entry_count + 1
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
  select coalesce(entries.entry_number, 0) as entry_number, coalesce(entries.balance, 0) as balance
  from search
  left join entries
    on entries.ledger_id = $4::integer
    and entries.account_number = accounts.account_number
    and entries.currency = accounts.currency
    and entries.entry_number = low
  where high - low = 1
) as opening
cross join
lateral (
  with recursive search (low, high) as (
    -- Everything up to low is at or before the point, everything from high on is after it.
    select 0::bigint, accounts.entry_count + 1
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
  select coalesce(entries.entry_number, 0) as entry_number, coalesce(entries.balance, 0) as balance
  from search
  left join entries
    on entries.ledger_id = $4::integer
    and entries.account_number = accounts.account_number
    and entries.currency = accounts.currency
    and entries.entry_number = low
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
