-- all ledgers
with changed as (
    select ledger_id, journal_number, count(*) as total,
      string_agg(
        coalesce((account_number)::text, '') || chr(31) || coalesce((currency)::text, '') || chr(31) || coalesce((change_number)::text, '') || chr(31) || coalesce((encode(seal, 'hex'))::text, '') || chr(30), ''
        order by account_number, currency, change_number
      ) as records
    from account_changes as account_changes
    group by ledger_id, journal_number
  ), covered as (
    select ledger_id, journal_number, count(*) as total, bool_and(journal_position is not distinct from place) as in_order,
      sha256(convert_to(
        coalesce(max(changes), '') || string_agg(record, '' order by journal_position), 'UTF8'
      )) as digest
    from (
      select t.ledger_id, t.journal_number, t.journal_position, changed.records as changes,
        row_number() over (partition by t.ledger_id, t.journal_number order by t.journal_position) as place,
        coalesce((t.id)::text, '') || chr(31) || coalesce((t.from_account)::text, '') || chr(31) || coalesce((t.to_account)::text, '') || chr(31) || coalesce((t.amount)::text, '') || chr(31) || coalesce((t.currency)::text, '') || chr(31) || coalesce((t.status)::text, '') || chr(31) || coalesce((t.failure_code)::text, '') || chr(31) || coalesce((t.request_id)::text, '') || chr(31) || coalesce((t.description)::text, '') || chr(31) || coalesce((t.metadata)::text, '') || chr(31) || coalesce((case
  when isfinite(t.created_at) then (extract(epoch from t.created_at) * 1000000)::bigint::text
  else t.created_at::text
end)::text, '') || chr(31) || coalesce((t.from_entry_number)::text, '') || chr(31) || coalesce((f.balance)::text, '') || chr(31) || coalesce((t.to_entry_number)::text, '') || chr(31) || coalesce((g.balance)::text, '') || chr(31) || coalesce((t.kind)::text, '') || chr(31) || coalesce((t.parent_id)::text, '') || chr(31) || coalesce((t.group_id)::text, '') || chr(31) || coalesce((t.group_position)::text, '') || chr(31) || coalesce((t.atomic)::text, '') || chr(31) || coalesce((t.final_capture)::text, '') || chr(31) || coalesce((t.expires_in)::text, '') || chr(31) || coalesce((t.if_from_entry_number)::text, '') || chr(31) || coalesce((t.if_min_available_after)::text, '') || chr(30) as record
      from transfers as t
      left join entries as f on f.ledger_id = t.ledger_id and f.account_number = t.from_account and f.currency = t.currency
      and f.entry_number = t.from_entry_number
      left join entries as g on g.ledger_id = t.ledger_id and g.account_number = t.to_account and g.currency = t.currency
      and g.entry_number = t.to_entry_number
      -- Only the first transfer carries the text of the changes through the sort.
      left join changed
        on changed.ledger_id = t.ledger_id and changed.journal_number = t.journal_number and t.journal_position = 1
    ) as records
    group by ledger_id, journal_number
  )
  select journal.ledger_id, journal.number, case
  when isfinite(journal.settled_at) then (extract(epoch from journal.settled_at) * 1000000)::bigint::text
  else journal.settled_at::text
end, journal.transfer_count,
    journal.change_count, encode(journal.digest, 'hex'), encode(journal.previous_hash, 'hex'),
    encode(journal.hash, 'hex'), coalesce(covered.total, 0), coalesce(changed.total, 0),
    coalesce(covered.in_order, true),
    encode(coalesce(covered.digest, sha256(convert_to(changed.records, 'UTF8'))), 'hex')
  from journal as journal
  left join covered on covered.ledger_id = journal.ledger_id and covered.journal_number = journal.number
  left join changed on changed.ledger_id = journal.ledger_id and changed.journal_number = journal.number
  order by journal.ledger_id, journal.number;

-- one ledger, after a row of its journal
select
number, case
  when isfinite(settled_at) then (extract(epoch from settled_at) * 1000000)::bigint::text
  else settled_at::text
end as settled_at, encode(hash, 'hex') as hash, encode(previous_hash, 'hex') as previous_hash from (select * from journal where ledger_id = 1) as journal where number = 7;

with changed as (
    select ledger_id, journal_number, count(*) as total,
      string_agg(
        coalesce((account_number)::text, '') || chr(31) || coalesce((currency)::text, '') || chr(31) || coalesce((change_number)::text, '') || chr(31) || coalesce((encode(seal, 'hex'))::text, '') || chr(30), ''
        order by account_number, currency, change_number
      ) as records
    from (select * from account_changes where ledger_id = 1 and journal_number > 7) as account_changes
    group by ledger_id, journal_number
  ), covered as (
    select ledger_id, journal_number, count(*) as total, bool_and(journal_position is not distinct from place) as in_order,
      sha256(convert_to(
        coalesce(max(changes), '') || string_agg(record, '' order by journal_position), 'UTF8'
      )) as digest
    from (
      select t.ledger_id, t.journal_number, t.journal_position, changed.records as changes,
        row_number() over (partition by t.ledger_id, t.journal_number order by t.journal_position) as place,
        coalesce((t.id)::text, '') || chr(31) || coalesce((t.from_account)::text, '') || chr(31) || coalesce((t.to_account)::text, '') || chr(31) || coalesce((t.amount)::text, '') || chr(31) || coalesce((t.currency)::text, '') || chr(31) || coalesce((t.status)::text, '') || chr(31) || coalesce((t.failure_code)::text, '') || chr(31) || coalesce((t.request_id)::text, '') || chr(31) || coalesce((t.description)::text, '') || chr(31) || coalesce((t.metadata)::text, '') || chr(31) || coalesce((case
  when isfinite(t.created_at) then (extract(epoch from t.created_at) * 1000000)::bigint::text
  else t.created_at::text
end)::text, '') || chr(31) || coalesce((t.from_entry_number)::text, '') || chr(31) || coalesce((f.balance)::text, '') || chr(31) || coalesce((t.to_entry_number)::text, '') || chr(31) || coalesce((g.balance)::text, '') || chr(31) || coalesce((t.kind)::text, '') || chr(31) || coalesce((t.parent_id)::text, '') || chr(31) || coalesce((t.group_id)::text, '') || chr(31) || coalesce((t.group_position)::text, '') || chr(31) || coalesce((t.atomic)::text, '') || chr(31) || coalesce((t.final_capture)::text, '') || chr(31) || coalesce((t.expires_in)::text, '') || chr(31) || coalesce((t.if_from_entry_number)::text, '') || chr(31) || coalesce((t.if_min_available_after)::text, '') || chr(30) as record
      from (select * from transfers where ledger_id = 1 and journal_number > 7) as t
      left join lateral (select * from (select * from entries where ledger_id = 1) as f where f.ledger_id = t.ledger_id and f.account_number = t.from_account and f.currency = t.currency
      and f.entry_number = t.from_entry_number offset 0) as f on true
      left join lateral (select * from (select * from entries where ledger_id = 1) as g where g.ledger_id = t.ledger_id and g.account_number = t.to_account and g.currency = t.currency
      and g.entry_number = t.to_entry_number offset 0) as g on true
      -- Only the first transfer carries the text of the changes through the sort.
      left join changed
        on changed.ledger_id = t.ledger_id and changed.journal_number = t.journal_number and t.journal_position = 1
    ) as records
    group by ledger_id, journal_number
  )
  select journal.ledger_id, journal.number, case
  when isfinite(journal.settled_at) then (extract(epoch from journal.settled_at) * 1000000)::bigint::text
  else journal.settled_at::text
end, journal.transfer_count,
    journal.change_count, encode(journal.digest, 'hex'), encode(journal.previous_hash, 'hex'),
    encode(journal.hash, 'hex'), coalesce(covered.total, 0), coalesce(changed.total, 0),
    coalesce(covered.in_order, true),
    encode(coalesce(covered.digest, sha256(convert_to(changed.records, 'UTF8'))), 'hex')
  from (select * from journal where ledger_id = 1 and number > 7) as journal
  left join covered on covered.ledger_id = journal.ledger_id and covered.journal_number = journal.number
  left join changed on changed.ledger_id = journal.ledger_id and changed.journal_number = journal.number
  order by journal.ledger_id, journal.number
