select (extract(epoch from coalesce(clock, greatest(clock_timestamp(), closed_until))) * 1000000)::bigint
from journal_head
where ledger_id = $1::integer
