update accounts
set personal_data = null
where ledger_id = $2::integer and account_number = $1::text and personal_data is not null;

delete from personal_keys where ledger_id = $2::integer and account_number = $1::text;

delete from account_words where ledger_id = $2::integer and account_number = $1::text
