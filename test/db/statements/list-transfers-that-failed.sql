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
   from ((
  select 2 as section, null::bigint as entry_number,
id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, status, failure_code,
coalesce(request_id, group_id::text, id::text) as request_id, ordered_by, approved_by, rate, remote_account, description, metadata, created_at, completed_at,
journal_number, journal_position
  from transfers
  where true and status = 'failed' and ledger_id = $1::integer and (status = 'failed' or ((remote_account is not null and kind = 'hold' and status = 'completed') and exists (
    select
    from holds
    where holds.ledger_id = $1::integer and holds.id = transfers.id and holds.state = 'voided'
    -- By the key of each: the planner would rather read all holds of this state once.
    offset 0
  )))
  order by journal_number desc, journal_position desc limit $2::integer) union all (
  select 2 as section, null::bigint as entry_number,
id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, status, failure_code,
coalesce(request_id, group_id::text, id::text) as request_id, ordered_by, approved_by, rate, remote_account, description, metadata, created_at, completed_at,
journal_number, journal_position
  from transfers
  where true and (remote_account is not null and kind = 'hold' and status = 'completed') and id in (
    select holds.id
    from holds
    where holds.ledger_id = $1::integer and state = 'voided' and to_account like '@ledger:%'
  ) and ledger_id = $1::integer and (status = 'failed' or ((remote_account is not null and kind = 'hold' and status = 'completed') and exists (
    select
    from holds
    where holds.ledger_id = $1::integer and holds.id = transfers.id and holds.state = 'voided'
    -- By the key of each: the planner would rather read all holds of this state once.
    offset 0
  )))
  order by journal_number desc, journal_position desc limit $2::integer)) as listed
   order by section asc, case section when 1 then id end desc, journal_number desc, journal_position desc
   limit $2::integer
