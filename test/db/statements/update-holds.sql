update holds
set captured = changed.captured, released = changed.released, state = changed.state, expiry_id = changed.expiry_id
from (
  select $1::integer as ledger_id, sent.*
  from unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::uuid[])
    as sent (id, captured, released, state, expiry_id)
  offset 0
) as changed
where holds.ledger_id = changed.ledger_id and holds.id = changed.id
