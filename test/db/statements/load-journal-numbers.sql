select ledger_id, number
from journal_head
where ledger_id = any($1::integer[])
