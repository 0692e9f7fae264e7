update accounts
set personal_data = $3::bytea, overdraft_limit = $4::bigint, status = $5::text, metadata = $6::jsonb
where ledger_id = $2::integer and account_number = $1::text
returning account_number, currency, status, balance, held, overdraft_limit, entry_count, metadata, created_at
