select journal_number, account_number, currency, change_number
from account_changes
where ledger_id = $3::integer and journal_number > $1::bigint and journal_number <= $2::bigint
order by account_number, currency, change_number
