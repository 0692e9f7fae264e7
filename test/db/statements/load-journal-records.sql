with change as (
  select row_number() over (order by place, account_number, currency, change_number, id) as number, place, fields
  from (
    select 1 as place, account_number, currency, change_number, null::uuid as id, array[coalesce((account_number)::text, ''), coalesce((currency)::text, ''), coalesce((change_number)::text, ''), coalesce((encode(seal, 'hex'))::text, ''), coalesce((ordered_by)::text, ''), coalesce((approved_by)::text, '')] as fields
    from account_changes
    where ledger_id = $1::integer and journal_number = $2::bigint
    union all
    select 2, null, null, null, id, array[coalesce((id)::text, ''), coalesce((action)::text, ''), coalesce((actor)::text, ''), coalesce((subject)::text, ''), coalesce((details)::text, ''), coalesce((case when isfinite(at) then (extract(epoch from at) * 1000000)::bigint::text else at::text end)::text, '')]
    from audit_log
    where ledger_id = $1::integer and journal_number = $2::bigint
  ) as unnumbered
), counted as (
  select count(*) as changes
  from change
), record as (
  select number, case place when 1 then 'account_change' else 'administration' end as kind, fields
  from change
  where number > $3::bigint
  union all (
    select changes + journal_position, 'transfer',
      array[coalesce((id)::text, ''), coalesce((from_account)::text, ''), coalesce((to_account)::text, ''), coalesce((amount)::text, ''), coalesce((currency)::text, ''), coalesce((status)::text, ''), coalesce((failure_code)::text, ''), coalesce((request_id)::text, ''), coalesce((description)::text, ''), coalesce((metadata)::text, ''), coalesce((case when isfinite(created_at) then (extract(epoch from created_at) * 1000000)::bigint::text else created_at::text end)::text, ''), coalesce((from_entry_number)::text, ''), coalesce(((
  select balance
  from entries
  where entries.ledger_id = $1::integer and entries.account_number = transfers.from_account
    and entries.currency = transfers.currency and entries.entry_number = transfers.from_entry_number
))::text, ''), coalesce((to_entry_number)::text, ''), coalesce(((
  select balance
  from entries
  where entries.ledger_id = $1::integer and entries.account_number = transfers.to_account
    and entries.currency = transfers.currency and entries.entry_number = transfers.to_entry_number
))::text, ''), coalesce((kind)::text, ''), coalesce((parent_id)::text, ''), coalesce((group_id)::text, ''), coalesce((group_position)::text, ''), coalesce((atomic)::text, ''), coalesce((final_capture)::text, ''), coalesce((expires_in)::text, ''), coalesce((if_from_entry_number)::text, ''), coalesce((if_min_available_after)::text, ''), coalesce((ordered_by)::text, ''), coalesce((approved_by)::text, '')] || case when rate is null then '{}' else array[rate] end
       || case when remote_account is null then '{}' else array['remote:' || remote_account] end
    from transfers
    cross join counted
    where ledger_id = $1::integer and journal_number = $2::bigint and journal_position > $3::bigint - changes
    order by journal_position
    limit $4::integer
  )
  order by number
  limit $4::integer
)
select number, kind, fields
from (
  select number, kind, fields, sum(octet_length(array_to_string(fields, ''))) over (
    order by number rows between unbounded preceding and 2 preceding
  ) as bytes_before
  from record
) as measured
where bytes_before is null or bytes_before <= $5::bigint
order by number
