insert into ledger_leases (ledger_id, lease_id, session)
values ($1::integer, $2::uuid, $3::integer)
on conflict (lease_id, ledger_id) do update set session = greatest(ledger_leases.session, excluded.session)
