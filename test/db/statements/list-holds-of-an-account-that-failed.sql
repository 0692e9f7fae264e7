select id, state, failure_code, from_account, to_account, currency, amount, captured, released, created_at, expires_at
from ((select id, 'failed', failure_code, from_account, to_account, currency, amount, 0, 0, created_at, null from transfers where ledger_id = $1::integer and id < $3::uuid and from_account = $4::text and from_entry_number is null
 and kind = 'hold' and status = 'failed' order by id desc limit $2::integer)) as listed (id, state, failure_code, from_account, to_account, currency, amount, captured, released, created_at, expires_at)
order by id desc limit $2::integer
