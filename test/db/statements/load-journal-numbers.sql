select ledger_id, number
from journal_ends
where ledger_id = any($1::integer[])
