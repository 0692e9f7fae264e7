select id, state, failure_code, from_account, to_account, currency, amount, captured, released, created_at, expires_at
from ((select id, state, null as failure_code, from_account, to_account, currency, amount, captured, released, created_at, expires_at from holds where ledger_id = $1::integer and id < $3::uuid and from_account = $4::text and state = 'open' order by id desc limit $2::integer)) as listed (id, state, failure_code, from_account, to_account, currency, amount, captured, released, created_at, expires_at)
order by id desc limit $2::integer
