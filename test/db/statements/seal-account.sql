with sealed as (
      select account_number, currency, account_seal(accounts) as seal,
        1 + (
          select coalesce(max(change_number), 0)
          from account_changes
          where ledger_id = $3::integer and account_number = $1::text and currency = $2::text
        ) as change_number
      from accounts
      where ledger_id = $3::integer and account_number = $1::text and currency = $2::text
    ), change as (
      select sealed.*,
        sha256(convert_to(
          concat_ws(
            chr(31), account_number, currency, change_number, encode(seal, 'hex'), coalesce($5::text, ''),
            coalesce($6::text, '')
          ) || chr(30),
          'UTF8'
        )) as digest
      from sealed
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
    where journal.ledger_id = $3::integer
    order by number desc
    limit 1
  ) as last on true
  where head.ledger_id = $3::integer
) as head
), journaled as (
  insert into journal (
    ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
  )
  select $3::integer, number, settled_at, 0, 0, 1, (select digest from change), previous_hash,
    chain_hash(previous_hash, $4::text, number, settled_at, 0, 1, (select digest from change))
  from next
  returning number, settled_at
)
    insert into account_changes (
      ledger_id, change_number, journal_number, account_number, currency, seal, ordered_by, approved_by
    )
    select $3::integer, change.change_number, journaled.number, change.account_number, change.currency, change.seal,
      $5::text, $6::text
    from change
    cross join journaled
