update accounts
set status = 'closed'
where ledger_id = $2::integer and account_number = $1::text
  and status <> 'closed' and balance = 0 and held = 0
