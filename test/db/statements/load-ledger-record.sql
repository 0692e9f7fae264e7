select name, created_at, clock
from ledgers
join journal_head on ledger_id = id
where name = $1::text
