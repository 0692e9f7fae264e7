update ledger_leases
set accepted_count = accepted_count + $3::bigint
where ledger_id = $1::integer and lease_id = $2::uuid
