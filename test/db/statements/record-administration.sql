with act as (
      select sha256(convert_to(
        concat_ws(
          chr(31), $3::uuid, $4::text, coalesce($5::text, ''), $6::text, $7::text, (extract(epoch from statement_timestamp()) * 1000000)::bigint
        ) || chr(30),
        'UTF8'
      )) as digest
    ),
next as materialized (
  select number + 1 as number, hash as previous_hash, coalesce(clock, greatest(statement_timestamp(), settled_at, closed_until)) as settled_at
  from (
  select head.ledger_id, coalesce(last.number, 0) as number, coalesce(last.settled_at, head.opened_at) as settled_at,
    coalesce(last.hash, decode(repeat('00', 32), 'hex')) as hash, head.closed_until, head.clock
  from journal_head as head
  left join lateral (
    select number, settled_at, hash
    from journal
    where journal.ledger_id = $1::integer
    order by number desc
    limit 1
  ) as last on true
  where head.ledger_id = $1::integer
) as head
), journaled as (
  insert into journal (
    ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
  )
  select $1::integer, number, settled_at, 0, 0, 1, (select digest from act), previous_hash,
    chain_hash(previous_hash, $2::text, number, settled_at, 0, 1, (select digest from act))
  from next
  returning number, settled_at
)
    insert into audit_log (ledger_id, at, journal_number, id, action, actor, subject, details)
    select $1::integer, statement_timestamp(), number, $3::uuid, $4::text, $5::text, $6::text, $7::text
    from journaled
