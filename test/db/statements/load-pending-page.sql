select id, atomic_group_id
from (
  select id, atomic_group_id, sum(bytes) over (order by id) as bytes_so_far, row_number() over (order by id) as position
  from (
    select pending_transfers.id, case when atomic then group_id end as atomic_group_id, (
  200 + coalesce(octet_length(pending_transfers.description), 0)
  + coalesce(octet_length(pending_transfers.metadata::text), 0)
) as bytes
    from pending_transfers
    where lease_id = $1::uuid and id > $5::uuid and id <= $6::uuid and pending_transfers.ledger_id <> all($4::integer[])
    order by pending_transfers.id
    limit $2::integer
  ) as oldest
) as counted
where position = 1 or bytes_so_far <= $3::bigint
order by id;

select
ledger_id, ledgers.name as ledger, pending_transfers.id, kind, from_account, to_account, amount, currency, parent_id, group_id,
group_position, atomic, final_capture, expires_in, if_from_entry_number, if_min_available_after, request_id, ordered_by, approved_by, rate,
remote_account, description, metadata,
adoptions, lone_deaths, (extract(epoch from pending_transfers.created_at) * 1000000)::bigint as stored_at_micros
   from pending_transfers
   join ledgers on ledgers.id = pending_transfers.ledger_id
   where pending_transfers.id = any($1::uuid[]) or (atomic and group_id = any($2::uuid[]))
