select from accounts where ledger_id = $2::integer and account_number = $1::text for update
