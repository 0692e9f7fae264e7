insert into pending_transfers (ledger_id, lease_id, created_at, amount, currency, id, from_account, to_account, kind, parent_id, group_id, group_position, atomic, final_capture, expires_in, if_from_entry_number, if_min_available_after, request_id, ordered_by, approved_by, rate, description, metadata)
select ledger_leases.ledger_id, ledger_leases.lease_id, $3::timestamptz, amount, currency, id, from_account, to_account, coalesce(kind, 'transfer'), parent_id, group_id, group_position, atomic, final_capture, expires_in, if_from_entry_number, if_min_available_after, request_id, ordered_by, approved_by, rate, description, metadata
from ledger_leases
cross join unnest($5::uuid[], $6::bigint[], $7::text[], $8::uuid[], $9::text[], $10::text[], $11::text[], $12::uuid[], $13::uuid[], $14::integer[], $15::boolean[], $16::boolean[], $17::integer[], $18::bigint[], $19::bigint[], $20::text[], $21::text[], $22::text[], $23::text[], $24::text[], $25::jsonb[])
  as sent (keyed_id, amount, currency, id, from_account, to_account, kind, parent_id, group_id, group_position, atomic, final_capture, expires_in, if_from_entry_number, if_min_available_after, request_id, ordered_by, approved_by, rate, description, metadata)
where ledger_leases.ledger_id = $1::integer and ledger_leases.lease_id = $2::uuid
  and (keyed_id is null or keyed_id = any($4::uuid[]))
