update ledger_leases
set session = $2::integer
where lease_id = $1::uuid and session < $2::integer
