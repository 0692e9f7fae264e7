insert into journal (
  ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
)
select ledger_id, number, settled_at, $2::integer, $3::integer, $4::integer, $5::bytea, previous_hash, hash
from journal_head
where ledger_id = $1::integer
