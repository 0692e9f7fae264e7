insert into heartbeats (lease_id)
select id
from leases
where id = $1::uuid and not closed
on conflict (lease_id) do update set beat = heartbeats.beat + 1, written_at = clock_timestamp()
