insert into transfers (
  ledger_id, amount, currency, status, failure_code, from_entry_number, to_entry_number, created_at, completed_at,
  journal_number, journal_position, id, from_account, to_account, kind, parent_id, group_id, group_position, atomic, final_capture, expires_in, if_from_entry_number, if_min_available_after, request_id, ordered_by, approved_by, rate, remote_account, description, metadata
)
select
  head.ledger_id, amount, currency, case when failure_code is null then 'completed' else 'failed' end,
  failure_code, from_entry_number, to_entry_number,
  timestamptz 'epoch' + coalesce(stored_at_micros, $2::bigint) / 1000000 * interval '1 second' + coalesce(stored_at_micros, $2::bigint) % 1000000 * interval '1 microsecond', head.settled_at,
  head.number, position, id, from_account, to_account, coalesce(kind, 'transfer'), parent_id, group_id, group_position, atomic, final_capture, expires_in, if_from_entry_number, if_min_available_after, request_id, ordered_by, approved_by, rate, remote_account, description, metadata
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
cross join unnest(
  $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::uuid[], $10::text[], $11::text[], $12::text[], $13::uuid[], $14::uuid[], $15::integer[], $16::boolean[], $17::boolean[], $18::integer[], $19::bigint[], $20::bigint[], $21::text[], $22::text[], $23::text[], $24::text[], $25::text[], $26::text[], $27::jsonb[]
) with ordinality as ended (
  amount, currency, failure_code, from_entry_number, to_entry_number, stored_at_micros, id, from_account, to_account, kind, parent_id, group_id, group_position, atomic, final_capture, expires_in, if_from_entry_number, if_min_available_after, request_id, ordered_by, approved_by, rate, remote_account, description, metadata, position
)
