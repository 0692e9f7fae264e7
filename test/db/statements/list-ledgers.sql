select name, created_at, clock
from ledgers
left join journal_head on ledger_id = id
where $1::text is null or name > $1::text
order by name asc
limit $2::integer
