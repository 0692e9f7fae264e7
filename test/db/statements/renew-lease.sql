with held as materialized (
  select id
  from leases
  where id = $1::uuid and not closed
  for update
)
update leases
set session = session + 1
from held
where leases.id = held.id
returning leases.session
