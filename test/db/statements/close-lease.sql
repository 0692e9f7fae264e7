with closed as (
  update leases
  set closed = true
  where id = $1::uuid
)
delete from heartbeats
where lease_id = $1::uuid
