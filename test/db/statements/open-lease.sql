with opened as (
  insert into leases (id)
  values ($1::uuid)
)
insert into heartbeats (lease_id)
values ($1::uuid)
