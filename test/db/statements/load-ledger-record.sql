select name, created_at, clock
from ledgers
left join journal_head on ledger_id = id
where name = $1::text
