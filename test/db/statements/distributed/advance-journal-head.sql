update journal_head
set number = number + 1,
  settled_at = coalesce(clock, greatest($3::timestamptz, settled_at, closed_until)),
  previous_hash = hash,
  hash = chain_hash(
    hash, $2::text, number + 1, coalesce(clock, greatest($3::timestamptz, settled_at, closed_until)), $4::integer, $5::integer, $6::bytea
  )
where ledger_id = $1::integer
