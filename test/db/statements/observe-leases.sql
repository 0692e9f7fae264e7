select held.lease_id as id, heartbeats.beat, coalesce(leases.closed, true) as ended,
  coalesce(heartbeats.written_at < clock_timestamp() - $2::integer * interval '1 millisecond', false) as late
from (
  select lease_id
  from heartbeats
  union
  select lease_id
  from pending_transfers
) as held
left join leases on leases.id = held.lease_id
left join heartbeats on heartbeats.lease_id = held.lease_id
where held.lease_id <> $1::uuid
