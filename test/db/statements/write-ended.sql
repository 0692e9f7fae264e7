with
next as materialized (
  select number + 1 as number, hash as previous_hash, coalesce(clock, greatest(timestamptz 'epoch' + $3::bigint / 1000000 * interval '1 second' + $3::bigint % 1000000 * interval '1 microsecond', settled_at, closed_until)) as settled_at
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
  select $1::integer, number, settled_at, $4::integer, $7::integer, $5::integer, $6::bytea, previous_hash,
    chain_hash(previous_hash, $2::text, number, settled_at, $4::integer, $5::integer, $6::bytea)
  from next
  returning number, settled_at
), ended as materialized (
  select *
  from unnest(
    $8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
    $16::uuid[], $17::text[], $18::text[], $19::text[], $20::uuid[], $21::uuid[], $22::integer[], $23::boolean[], $24::boolean[], $25::integer[], $26::bigint[], $27::bigint[], $28::text[], $29::text[], $30::text[], $31::text[], $32::text[], $33::text[], $34::jsonb[]
  ) with ordinality as ended (
    amount, currency, failure_code, from_entry_number, from_balance, to_entry_number, to_balance, stored_at_micros,
    id, from_account, to_account, kind, parent_id, group_id, group_position, atomic, final_capture, expires_in, if_from_entry_number, if_min_available_after, request_id, ordered_by, approved_by, rate, remote_account, description, metadata, position
  )
), inserted as (
  insert into transfers (
    ledger_id, amount, currency, status, failure_code, from_entry_number, to_entry_number, created_at, completed_at,
    journal_number, journal_position, id, from_account, to_account, kind, parent_id, group_id, group_position, atomic, final_capture, expires_in, if_from_entry_number, if_min_available_after, request_id, ordered_by, approved_by, rate, remote_account, description, metadata
  )
  select
    $1::integer, amount, currency, case when failure_code is null then 'completed' else 'failed' end, failure_code,
    from_entry_number, to_entry_number,
    timestamptz 'epoch' + coalesce(stored_at_micros, $3::bigint) / 1000000 * interval '1 second' + coalesce(stored_at_micros, $3::bigint) % 1000000 * interval '1 microsecond',
    (select settled_at from journaled), (select number from journaled), position, id, from_account, to_account, coalesce(kind, 'transfer'), parent_id, group_id, group_position, atomic, final_capture, expires_in, if_from_entry_number, if_min_available_after, request_id, ordered_by, approved_by, rate, remote_account, description, metadata
  from ended
), entered as (
  insert into entries (
    ledger_id, entry_number, amount, balance, journal_number, transfer_id, account_number, currency
  )
  select $1::integer, side.entry_number, side.amount, side.balance, (select number from journaled), ended.id,
    side.account_number, ended.currency
  from ended
  cross join lateral (
    values
      (from_entry_number, -ended.amount, from_balance, from_account),
      (to_entry_number, ended.amount, to_balance, to_account)
  ) as side (entry_number, amount, balance, account_number)
  where from_entry_number is not null
)
select number, settled_at, (extract(epoch from settled_at) * 1000000)::bigint as settled_micros
from journaled
