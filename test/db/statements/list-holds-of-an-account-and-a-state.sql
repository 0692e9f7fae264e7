select id, state, failure_code, from_account, to_account, currency, amount, captured, released, created_at, expires_at
from ((select id, state, null as failure_code, from_account, to_account, currency, amount, captured, released, created_at, expires_at from holds where ledger_id = $1::integer and from_account = $3::text and id < $4::uuid and state = 'voided' order by id desc limit $2::integer)) as listed (id, state, failure_code, from_account, to_account, currency, amount, captured, released, created_at, expires_at)
order by id desc limit $2::integer
