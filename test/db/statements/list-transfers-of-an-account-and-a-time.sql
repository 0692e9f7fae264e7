select
  case when $1::timestamptz is not null then
coalesce(
  (
    select number
    from journal
    where ledger_id = $3::integer and settled_at < $1::timestamptz
    order by settled_at desc, number desc
    limit 1
  ),
  0
) end as after_number,
  (
    select number
    from journal
    where ledger_id = $3::integer and settled_at >= $2::timestamptz + interval '10 seconds'
    order by settled_at, number
    limit 1
  ) as before_number;

select last_before.entry_number as after_entry, last_within.entry_number + 1 as before_entry
from accounts
cross join
lateral (
  with recursive sealed as (
    select entry_number, balance
    from sealed_balances
    where sealed_balances.ledger_id = $5::integer
      and sealed_balances.account_number = accounts.account_number
      and sealed_balances.currency = accounts.currency
      and sealed_balances.journal_number <= $3::bigint
    order by sealed_balances.journal_number desc
    limit 1
  ), search (low, high) as (
    -- Everything up to low is at or before the point, everything from high on is after it.
    select coalesce((select entry_number from sealed), 0),
      case when false then coalesce((select entry_number from sealed), 0) + 1
        else coalesce((
          select entry_number
    from sealed_balances
    where sealed_balances.ledger_id = $5::integer
      and sealed_balances.account_number = accounts.account_number
      and sealed_balances.currency = accounts.currency
      and sealed_balances.journal_number > $3::bigint
    order by sealed_balances.journal_number asc
    limit 1
        ), accounts.entry_count) + 1
      end
    union all
    select
      case when probe.journal_number <= $3::bigint then (low + high) / 2 else low end,
      case when probe.journal_number <= $3::bigint then high else (low + high) / 2 end
    from search
    cross join lateral (
      select journal_number
      from entries
      where entries.ledger_id = $5::integer
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
        where entries.ledger_id = $5::integer
          and entries.account_number = accounts.account_number
          and entries.currency = accounts.currency
          and entries.entry_number = low
      )
    end as balance
  from search
  where high - low = 1
) as last_before
cross join
lateral (
  with recursive sealed as (
    select entry_number, balance
    from sealed_balances
    where sealed_balances.ledger_id = $5::integer
      and sealed_balances.account_number = accounts.account_number
      and sealed_balances.currency = accounts.currency
      and sealed_balances.journal_number <= ($4::bigint - 1)
    order by sealed_balances.journal_number desc
    limit 1
  ), search (low, high) as (
    -- Everything up to low is at or before the point, everything from high on is after it.
    select coalesce((select entry_number from sealed), 0),
      case when false then coalesce((select entry_number from sealed), 0) + 1
        else coalesce((
          select entry_number
    from sealed_balances
    where sealed_balances.ledger_id = $5::integer
      and sealed_balances.account_number = accounts.account_number
      and sealed_balances.currency = accounts.currency
      and sealed_balances.journal_number > ($4::bigint - 1)
    order by sealed_balances.journal_number asc
    limit 1
        ), accounts.entry_count) + 1
      end
    union all
    select
      case when probe.journal_number <= ($4::bigint - 1) then (low + high) / 2 else low end,
      case when probe.journal_number <= ($4::bigint - 1) then high else (low + high) / 2 end
    from search
    cross join lateral (
      select journal_number
      from entries
      where entries.ledger_id = $5::integer
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
        where entries.ledger_id = $5::integer
          and entries.account_number = accounts.account_number
          and entries.currency = accounts.currency
          and entries.entry_number = low
      )
    end as balance
  from search
  where high - low = 1
) as last_within
where ledger_id = $5::integer and account_number = $1::text and currency = coalesce($2::text, currency)
limit 1;

select *, (select number from (
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
) as head) as head
   from ((select 1 as section, null::bigint as entry_number,
id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, 'pending' as status, null::text as failure_code,
coalesce(request_id, group_id::text, id::text) as request_id, ordered_by, approved_by, rate, remote_account, description, metadata, created_at, null::timestamptz as completed_at,
null::bigint as journal_number, null::integer as journal_position from pending_transfers where ledger_id = $1::integer and created_at >= $3::timestamptz and created_at < $4::timestamptz and (from_account = $5::text or to_account = $5::text) order by id desc limit $2::integer) union all (
  select 2 as section, entry_number,
id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, status, failure_code,
coalesce(request_id, group_id::text, id::text) as request_id, ordered_by, approved_by, rate, remote_account, description, metadata, created_at, completed_at,
journal_number, journal_position
  from (
    select entry_number, transfer_id
    from entries
    where ledger_id = $1::integer
      and account_number = $10::text
      and currency = coalesce($11::text, (
        select currency from accounts where ledger_id = $1::integer and account_number = $10::text limit 1
      ))
      and entry_number > $12::bigint and entry_number < $13::bigint
  ) as own
  join transfers on transfers.ledger_id = $1::integer and transfers.id = own.transfer_id
  where case when completed_at - created_at not between interval '0' and interval '10 seconds' then false else true end and journal_number > $8::bigint and journal_number < $9::bigint and ledger_id = $1::integer and created_at >= $6::timestamptz and created_at < $7::timestamptz
  order by entry_number desc limit $2::integer) union all (
  select 2 as section, null::bigint as entry_number,
id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, status, failure_code,
coalesce(request_id, group_id::text, id::text) as request_id, ordered_by, approved_by, rate, remote_account, description, metadata, created_at, completed_at,
journal_number, journal_position
  from transfers
  where from_entry_number is null and from_account = $10::text and case when completed_at - created_at not between interval '0' and interval '10 seconds' then false else true end and journal_number > $8::bigint and journal_number < $9::bigint and ledger_id = $1::integer and created_at >= $6::timestamptz and created_at < $7::timestamptz
  order by journal_number desc, journal_position desc limit $2::integer) union all (
  select 2 as section, null::bigint as entry_number,
id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, status, failure_code,
coalesce(request_id, group_id::text, id::text) as request_id, ordered_by, approved_by, rate, remote_account, description, metadata, created_at, completed_at,
journal_number, journal_position
  from transfers
  where from_entry_number is null and to_account = $10::text and case when completed_at - created_at not between interval '0' and interval '10 seconds' then false else true end and journal_number > $8::bigint and journal_number < $9::bigint and ledger_id = $1::integer and created_at >= $6::timestamptz and created_at < $7::timestamptz
  order by journal_number desc, journal_position desc limit $2::integer) union all (
  select 2 as section, null::bigint as entry_number,
id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, status, failure_code,
coalesce(request_id, group_id::text, id::text) as request_id, ordered_by, approved_by, rate, remote_account, description, metadata, created_at, completed_at,
journal_number, journal_position
  from transfers
  where completed_at - created_at not between interval '0' and interval '10 seconds' and (from_account = $10::text or to_account = $10::text) and ledger_id = $1::integer and created_at >= $6::timestamptz and created_at < $7::timestamptz
  order by journal_number desc, journal_position desc limit $2::integer)) as listed
   order by section asc, case section when 1 then id end desc, journal_number desc, journal_position desc
   limit $2::integer
