-- all ledgers
select ledger_id,
number, case
  when isfinite(settled_at) then (extract(epoch from settled_at) * 1000000)::bigint::text
  else settled_at::text
end as settled_at, encode(hash, 'hex') as hash, encode(previous_hash, 'hex') as previous_hash from journal_head as journal_head order by ledger_id, number;

-- one ledger, after a row of its journal
select ledger_id,
number, case
  when isfinite(settled_at) then (extract(epoch from settled_at) * 1000000)::bigint::text
  else settled_at::text
end as settled_at, encode(hash, 'hex') as hash, encode(previous_hash, 'hex') as previous_hash from (select * from journal_head where ledger_id = 1) as journal_head order by ledger_id, number
