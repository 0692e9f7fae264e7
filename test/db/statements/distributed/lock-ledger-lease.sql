select coalesce(clock, now()) as created_at, (extract(epoch from coalesce(clock, now())) * 1000000)::bigint as created_at_micros
from ledger_leases
join journal_head on journal_head.ledger_id = ledger_leases.ledger_id
where ledger_leases.ledger_id = $1::integer and lease_id = $2::uuid and session = $3::integer and not closed
for no key update of ledger_leases
