update accounts
   set name = $3::text, email = $4::text, phone = $5::text, date_of_birth = $6::date, overdraft_limit = $7::bigint, status = $8::text, metadata = $9::jsonb
   where ledger_id = $2::integer and account_number = $1::text and status <> 'closed'
   returning
account_number, currency, status, name, email, phone, date_of_birth, balance, held, overdraft_limit, entry_count,
metadata, created_at
