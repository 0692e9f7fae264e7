select number, settled_at, (extract(epoch from settled_at) * 1000000)::bigint as settled_micros
from journal_head
where ledger_id = $1::integer
