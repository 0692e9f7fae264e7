insert into idempotency_keys (ledger_id, created_at, transfer_id, key, fingerprint)
select ledger_leases.ledger_id, $3::timestamptz, sent.id, sent.key, sent.fingerprint
from ledger_leases
cross join unnest($4::uuid[], $5::text[], $6::bytea[]) as sent (id, key, fingerprint)
where ledger_leases.ledger_id = $1::integer and ledger_leases.lease_id = $2::uuid
-- In order of the key, so that two processes with keys in common wait for each other instead of deadlocking.
order by sent.key
on conflict (ledger_id, key) do nothing
returning transfer_id
