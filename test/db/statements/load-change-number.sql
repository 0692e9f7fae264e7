select coalesce(max(change_number), 0) as number
from account_changes
where ledger_id = $2::integer and account_number = $1::text
