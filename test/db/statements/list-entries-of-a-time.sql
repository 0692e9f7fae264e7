select entry_number, transfer_id, amount, balance, journal_number, settled_at
   from entries
   join journal on journal.ledger_id = $4::integer and journal.number = entries.journal_number
   where entries.ledger_id = $4::integer and account_number = $1::text and currency = $2::text
     and entry_number > (
  select last.entry_number
  from accounts
  cross join
lateral (
  with recursive search (low, high) as (
    -- Everything up to low is at or before the point, everything from high on is after it.
    select 0::bigint, accounts.entry_count + 1
    union all
    select
      case when probe.journal_number <=
coalesce(
  (
    select number
    from journal
    where ledger_id = $4::integer and settled_at < $5::timestamptz
    order by settled_at desc, number desc
    limit 1
  ),
  0
) then (low + high) / 2 else low end,
      case when probe.journal_number <=
coalesce(
  (
    select number
    from journal
    where ledger_id = $4::integer and settled_at < $5::timestamptz
    order by settled_at desc, number desc
    limit 1
  ),
  0
) then high else (low + high) / 2 end
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
)
     and entry_number <= (
  select last.entry_number
  from accounts
  cross join
lateral (
  with recursive search (low, high) as (
    -- Everything up to low is at or before the point, everything from high on is after it.
    select 0::bigint, accounts.entry_count + 1
    union all
    select
      case when probe.journal_number <=
coalesce(
  (
    select number
    from journal
    where ledger_id = $4::integer and settled_at < $6::timestamptz
    order by settled_at desc, number desc
    limit 1
  ),
  0
) then (low + high) / 2 else low end,
      case when probe.journal_number <=
coalesce(
  (
    select number
    from journal
    where ledger_id = $4::integer and settled_at < $6::timestamptz
    order by settled_at desc, number desc
    limit 1
  ),
  0
) then high else (low + high) / 2 end
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
)
   order by entry_number desc
   limit $3::integer
