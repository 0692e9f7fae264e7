select account_number
from accounts
where ledger_id = $1::integer and account_number = any($2::text[])
limit 1
