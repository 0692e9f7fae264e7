select id, state, null as failure_code, from_account, to_account, currency, amount, captured, released, created_at, expires_at
from holds
where ledger_id = $2::integer and id = $1::uuid
union all
select id, 'pending', null, from_account, to_account, currency, amount, 0, 0, created_at, null
from pending_transfers
where ledger_id = $2::integer and id = $1::uuid and kind = 'hold'
union all
select id, 'failed', failure_code, from_account, to_account, currency, amount, 0, 0, created_at, null
from transfers
where ledger_id = $2::integer and id = $1::uuid and kind = 'hold' and status = 'failed'
