update holds
set captured = changed.captured, released = changed.released, state = changed.state, expiry_id = changed.expiry_id
from unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::uuid[])
  as changed (id, captured, released, state, expiry_id)
where holds.ledger_id = $1::integer and holds.id = changed.id
