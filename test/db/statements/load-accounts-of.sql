select
account_number, currency, status, name, email, phone, date_of_birth, balance, held, overdraft_limit, entry_count,
metadata, created_at
    from accounts
    where ledger_id = $1::integer and account_number = any($2::text[])
