select
from journal_head
where ledger_id = $1::integer
for no key update
