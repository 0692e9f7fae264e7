select id, state, failure_code, from_account, to_account, currency, amount, captured, released, created_at, expires_at
   from ((select id, state, null as failure_code, from_account, to_account, currency, amount, captured, released, created_at, expires_at from holds where ledger_id = $1::integer and id < $3::uuid and state in ('voided') and id in (
  select id from transfers
  where ledger_id = $1::integer and id < $3::uuid and from_account = $4::text and from_entry_number is null and kind = 'hold' and status = 'completed'
) order by id desc limit $2::integer)) as listed (id, state, failure_code, from_account, to_account, currency, amount, captured, released, created_at, expires_at)
   order by id desc limit $2::integer
