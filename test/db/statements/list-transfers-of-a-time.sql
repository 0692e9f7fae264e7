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
null::bigint as journal_number, null::integer as journal_position from pending_transfers where ledger_id = $1::integer and created_at >= $3::timestamptz and created_at < $4::timestamptz order by id desc limit $2::integer) union all (
  select 2 as section, null::bigint as entry_number,
id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, status, failure_code,
coalesce(request_id, group_id::text, id::text) as request_id, ordered_by, approved_by, rate, remote_account, description, metadata, created_at, completed_at,
journal_number, journal_position
  from transfers
  where case when completed_at - created_at not between interval '0' and interval '10 seconds' then false else true end and journal_number > $7::bigint and journal_number < $8::bigint and ledger_id = $1::integer and created_at >= $5::timestamptz and created_at < $6::timestamptz
  order by journal_number desc, journal_position desc limit $2::integer) union all (
  select 2 as section, null::bigint as entry_number,
id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, status, failure_code,
coalesce(request_id, group_id::text, id::text) as request_id, ordered_by, approved_by, rate, remote_account, description, metadata, created_at, completed_at,
journal_number, journal_position
  from transfers
  where completed_at - created_at not between interval '0' and interval '10 seconds' and ledger_id = $1::integer and created_at >= $5::timestamptz and created_at < $6::timestamptz
  order by journal_number desc, journal_position desc limit $2::integer)) as listed
   order by section asc, case section when 1 then id end desc, journal_number desc, journal_position desc
   limit $2::integer
