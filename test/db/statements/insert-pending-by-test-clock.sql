with time as materialized (
  select clock as created_at
  from journal_head
  where ledger_id = $1::integer
), lease as materialized (
  select lease_id
  from ledger_leases
  where ledger_id = $1::integer and lease_id = $2::uuid and session = $3::integer and not closed
  for no key update
), keyed as (
  insert into idempotency_keys (ledger_id, transfer_id, key, fingerprint)
  select $1::integer, sent.id, sent.key, sent.fingerprint
  from unnest($4::uuid[], $5::text[], $6::bytea[]) as sent (id, key, fingerprint)
  cross join lease
  -- In order of the key, so that two processes with keys in common wait for each other instead of deadlocking.
  order by sent.key
  on conflict (ledger_id, key) do nothing
  returning transfer_id
), inserted as (
  insert into pending_transfers (ledger_id, lease_id, created_at, amount, currency, id, from_account, to_account, kind, parent_id, group_id, group_position, atomic, final_capture, expires_in, if_from_entry_number, if_min_available_after, request_id, ordered_by, approved_by, rate, remote_account, description, metadata)
  select $1::integer, lease_id, created_at, amount, currency, id, from_account, to_account, coalesce(kind, 'transfer'), parent_id, group_id, group_position, atomic, final_capture, expires_in, if_from_entry_number, if_min_available_after, request_id, ordered_by, approved_by, rate, remote_account, description, metadata
  from unnest($7::uuid[], $8::bigint[], $9::text[], $10::uuid[], $11::text[], $12::text[], $13::text[], $14::uuid[], $15::uuid[], $16::integer[], $17::boolean[], $18::boolean[], $19::integer[], $20::bigint[], $21::bigint[], $22::text[], $23::text[], $24::text[], $25::text[], $26::text[], $27::text[], $28::jsonb[])
    as sent (keyed_id, amount, currency, id, from_account, to_account, kind, parent_id, group_id, group_position, atomic, final_capture, expires_in, if_from_entry_number, if_min_available_after, request_id, ordered_by, approved_by, rate, remote_account, description, metadata)
  cross join lease
  cross join time
  where keyed_id is null or keyed_id in (select transfer_id from keyed)
  returning id
), counted as (
  update ledger_leases
  set accepted_count = accepted_count + (select count(*) from inserted)
  from lease
  where ledger_leases.ledger_id = $1::integer and ledger_leases.lease_id = lease.lease_id
)
select exists (select from lease) as lease_held, (select created_at from time) as created_at, (extract(epoch from (select created_at from time)) * 1000000)::bigint as created_at_micros
