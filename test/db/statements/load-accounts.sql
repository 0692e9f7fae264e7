select account_number, currency, status, balance, held, overdraft_limit, entry_count, metadata, created_at
from accounts
where ledger_id = $2::integer and account_number = $1::text
order by currency
