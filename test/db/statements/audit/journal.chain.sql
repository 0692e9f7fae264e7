-- all ledgers
with records as (
    -- The changes of a row come before its transfers, which count from 1.
    select ledger_id, journal_number, 0 as journal_position, count(*) as changes,
      string_agg(record, '' order by place, account_number, currency, change_number, id) as record
    from (
      select ledger_id, journal_number, 1 as place, account_number, currency, change_number, null::uuid as id,
        concat_ws(chr(31), coalesce((account_number)::text, ''), coalesce((currency)::text, ''), coalesce((change_number)::text, ''), coalesce((encode(seal, 'hex'))::text, ''), coalesce((ordered_by)::text, ''), coalesce((approved_by)::text, '')) || chr(30) as record
      from account_changes as account_changes
      union all
      select ledger_id, journal_number, 2, null, null, null, id, concat_ws(chr(31), coalesce((id)::text, ''), coalesce((action)::text, ''), coalesce((actor)::text, ''), coalesce((subject)::text, ''), coalesce((details)::text, ''), coalesce((case
  when isfinite(at) then (extract(epoch from at) * 1000000)::bigint::text
  else at::text
end)::text, '')) || chr(30)
      from (select * from audit_log as acts where journal_number is not null) as audit_log
    ) as change
    group by ledger_id, journal_number
    union all
    select t.ledger_id, t.journal_number, t.journal_position, null, concat_ws(chr(31), coalesce((t.id)::text, ''), coalesce((t.from_account)::text, ''), coalesce((t.to_account)::text, ''), coalesce((t.amount)::text, ''), coalesce((t.currency)::text, ''), coalesce((t.status)::text, ''), coalesce((t.failure_code)::text, ''), coalesce((t.request_id)::text, ''), coalesce((t.description)::text, ''), coalesce((t.metadata)::text, ''), coalesce((case
  when isfinite(t.created_at) then (extract(epoch from t.created_at) * 1000000)::bigint::text
  else t.created_at::text
end)::text, ''), coalesce((t.from_entry_number)::text, ''), coalesce((f.balance)::text, ''), coalesce((t.to_entry_number)::text, ''), coalesce((g.balance)::text, ''), coalesce((t.kind)::text, ''), coalesce((t.parent_id)::text, ''), coalesce((t.group_id)::text, ''), coalesce((t.group_position)::text, ''), coalesce((t.atomic)::text, ''), coalesce((t.final_capture)::text, ''), coalesce((t.expires_in)::text, ''), coalesce((t.if_from_entry_number)::text, ''), coalesce((t.if_min_available_after)::text, ''), coalesce((t.ordered_by)::text, ''), coalesce((t.approved_by)::text, ''), t.rate, 'remote:' || t.remote_account) || chr(30)
    from transfers as t
    left join entries as f on f.ledger_id = t.ledger_id and f.account_number = t.from_account and f.currency = t.currency
      and f.entry_number = t.from_entry_number
    left join entries as g on g.ledger_id = t.ledger_id and g.account_number = t.to_account and g.currency = t.currency
      and g.entry_number = t.to_entry_number
  ), covered as (
    select ledger_id, journal_number, count(*) - count(changes) as transfers, coalesce(max(changes), 0) as changes,
      bool_and(changes is not null or journal_position is not distinct from next_position) as in_order,
      sha256(convert_to(string_agg(record, '' order by journal_position), 'UTF8')) as digest
    from (
      select *, coalesce(lag(journal_position) over run, 0) + 1::bigint as next_position
      from records
      window run as (partition by ledger_id, journal_number order by journal_position)
    ) as records
    group by ledger_id, journal_number
  )
  select journal.ledger_id, journal.number, case
  when isfinite(journal.settled_at) then (extract(epoch from journal.settled_at) * 1000000)::bigint::text
  else journal.settled_at::text
end, journal.transfer_count,
    journal.change_count, encode(journal.digest, 'hex'), encode(journal.previous_hash, 'hex'),
    encode(journal.hash, 'hex'), coalesce(covered.transfers, 0), coalesce(covered.changes, 0),
    coalesce(covered.in_order, true), encode(covered.digest, 'hex')
  from journal as journal
  left join covered on covered.ledger_id = journal.ledger_id and covered.journal_number = journal.number
  order by journal.ledger_id, journal.number;

-- one ledger, after a row of its journal
select
number, case
  when isfinite(settled_at) then (extract(epoch from settled_at) * 1000000)::bigint::text
  else settled_at::text
end as settled_at, encode(hash, 'hex') as hash, encode(previous_hash, 'hex') as previous_hash from (select * from journal where ledger_id = 1) as journal where number = 7;

with records as (
    -- The changes of a row come before its transfers, which count from 1.
    select ledger_id, journal_number, 0 as journal_position, count(*) as changes,
      string_agg(record, '' order by place, account_number, currency, change_number, id) as record
    from (
      select ledger_id, journal_number, 1 as place, account_number, currency, change_number, null::uuid as id,
        concat_ws(chr(31), coalesce((account_number)::text, ''), coalesce((currency)::text, ''), coalesce((change_number)::text, ''), coalesce((encode(seal, 'hex'))::text, ''), coalesce((ordered_by)::text, ''), coalesce((approved_by)::text, '')) || chr(30) as record
      from (select * from account_changes where ledger_id = 1 and journal_number > 7) as account_changes
      union all
      select ledger_id, journal_number, 2, null, null, null, id, concat_ws(chr(31), coalesce((id)::text, ''), coalesce((action)::text, ''), coalesce((actor)::text, ''), coalesce((subject)::text, ''), coalesce((details)::text, ''), coalesce((case
  when isfinite(at) then (extract(epoch from at) * 1000000)::bigint::text
  else at::text
end)::text, '')) || chr(30)
      from (select * from (select * from audit_log where ledger_id = 1 and journal_number > 7) as acts where journal_number is not null) as audit_log
    ) as change
    group by ledger_id, journal_number
    union all
    select t.ledger_id, t.journal_number, t.journal_position, null, concat_ws(chr(31), coalesce((t.id)::text, ''), coalesce((t.from_account)::text, ''), coalesce((t.to_account)::text, ''), coalesce((t.amount)::text, ''), coalesce((t.currency)::text, ''), coalesce((t.status)::text, ''), coalesce((t.failure_code)::text, ''), coalesce((t.request_id)::text, ''), coalesce((t.description)::text, ''), coalesce((t.metadata)::text, ''), coalesce((case
  when isfinite(t.created_at) then (extract(epoch from t.created_at) * 1000000)::bigint::text
  else t.created_at::text
end)::text, ''), coalesce((t.from_entry_number)::text, ''), coalesce((f.balance)::text, ''), coalesce((t.to_entry_number)::text, ''), coalesce((g.balance)::text, ''), coalesce((t.kind)::text, ''), coalesce((t.parent_id)::text, ''), coalesce((t.group_id)::text, ''), coalesce((t.group_position)::text, ''), coalesce((t.atomic)::text, ''), coalesce((t.final_capture)::text, ''), coalesce((t.expires_in)::text, ''), coalesce((t.if_from_entry_number)::text, ''), coalesce((t.if_min_available_after)::text, ''), coalesce((t.ordered_by)::text, ''), coalesce((t.approved_by)::text, ''), t.rate, 'remote:' || t.remote_account) || chr(30)
    from (select * from transfers where ledger_id = 1 and journal_number > 7) as t
    left join lateral (select * from (select * from entries where ledger_id = 1) as f where f.ledger_id = t.ledger_id and f.account_number = t.from_account and f.currency = t.currency
      and f.entry_number = t.from_entry_number offset 0) as f on true
    left join lateral (select * from (select * from entries where ledger_id = 1) as g where g.ledger_id = t.ledger_id and g.account_number = t.to_account and g.currency = t.currency
      and g.entry_number = t.to_entry_number offset 0) as g on true
  ), covered as (
    select ledger_id, journal_number, count(*) - count(changes) as transfers, coalesce(max(changes), 0) as changes,
      bool_and(changes is not null or journal_position is not distinct from next_position) as in_order,
      sha256(convert_to(string_agg(record, '' order by journal_position), 'UTF8')) as digest
    from (
      select *, coalesce(lag(journal_position) over run, 0) + 1::bigint as next_position
      from records
      window run as (partition by ledger_id, journal_number order by journal_position)
    ) as records
    group by ledger_id, journal_number
  )
  select journal.ledger_id, journal.number, case
  when isfinite(journal.settled_at) then (extract(epoch from journal.settled_at) * 1000000)::bigint::text
  else journal.settled_at::text
end, journal.transfer_count,
    journal.change_count, encode(journal.digest, 'hex'), encode(journal.previous_hash, 'hex'),
    encode(journal.hash, 'hex'), coalesce(covered.transfers, 0), coalesce(covered.changes, 0),
    coalesce(covered.in_order, true), encode(covered.digest, 'hex')
  from (select * from journal where ledger_id = 1 and number > 7) as journal
  left join covered on covered.ledger_id = journal.ledger_id and covered.journal_number = journal.number
  order by journal.ledger_id, journal.number
