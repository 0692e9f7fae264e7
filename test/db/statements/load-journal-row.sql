select number, settled_at, encode(hash, 'hex') as hash, encode(previous_hash, 'hex') as previous_hash,
encode(digest, 'hex') as digest, transfer_count, change_count from journal where ledger_id = $1::integer and number = $2::bigint
