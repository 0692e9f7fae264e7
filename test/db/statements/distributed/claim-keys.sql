insert into idempotency_keys (ledger_id, transfer_id, account_number, key, fingerprint, personal_fingerprint)
select journal_head.ledger_id, claim.*
from journal_head cross join unnest($2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::bytea[])
  as claim (transfer_id, account_number, key, fingerprint, personal_fingerprint)
where journal_head.ledger_id = $1::integer
-- In order of the key, so that jobs and intakes with keys in common wait for each other instead of deadlocking.
order by key
