select journal_number, to_char(month + interval '1 month', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as ends
from archived_months
where ledger_id = $1::integer
order by month desc
limit 1
