select key, transfer_id, account_number, fingerprint, personal_fingerprint
from idempotency_keys
where ledger_id = $1::integer and key = any($2::text[])
