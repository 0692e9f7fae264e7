insert into audit_log (ledger_id, id, action, count, actor, subject, address, details)
select ledger_id, id, 'refused', count, actor, subject, address, json_build_object('code', code)
from unnest($1::integer[], $2::uuid[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[])
  as refusal (ledger_id, id, count, actor, subject, address, code)
