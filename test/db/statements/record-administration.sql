with act as (
      select sha256(convert_to(
        concat_ws(
          chr(31), $3::uuid, $4::text, coalesce($5::text, ''), $6::text, $7::text, (extract(epoch from statement_timestamp()) * 1000000)::bigint
        ) || chr(30),
        'UTF8'
      )) as digest
    ),
advanced as (
  update journal_head
  set number = number + 1,
    settled_at = coalesce(clock, greatest(statement_timestamp(), settled_at, closed_until)),
    previous_hash = hash,
    hash = chain_hash(
      hash, $2::text, number + 1, coalesce(clock, greatest(statement_timestamp(), settled_at, closed_until)), 0, 1, (select digest from act)
    )
  where ledger_id = $1::integer
  returning number, settled_at, previous_hash, hash
), journaled as (
  insert into journal (
    ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
  )
  select $1::integer, number, settled_at, 0, 0, 1, (select digest from act),
    previous_hash, hash
  from advanced
  returning number, settled_at
)
    insert into audit_log (ledger_id, at, journal_number, id, action, actor, subject, details)
    select $1::integer, statement_timestamp(), number, $3::uuid, $4::text, $5::text, $6::text, $7::text
    from journaled
