insert into approvals (ledger_id, id, kind, requested_by, idempotency_key, fingerprint, request, expires_at)
values (
  $1::integer, $2::uuid, $3::text, $4::text, $5::text, $6::bytea, $7::jsonb, now() + $8::integer * interval '1 second'
)
on conflict (ledger_id, idempotency_key) do nothing;

select
id, kind, case when state = 'pending' and expires_at <= now() then 'expired' else state end as state, requested_by,
decided_by, idempotency_key, fingerprint, request, created_at, expires_at, decided_at from approvals where ledger_id = $1::integer and idempotency_key = $2::text;

select
id, kind, case when state = 'pending' and expires_at <= now() then 'expired' else state end as state, requested_by,
decided_by, idempotency_key, fingerprint, request, created_at, expires_at, decided_at from approvals where ledger_id = $1::integer and id = $2::uuid;

select *
   from (
     select
id, kind, case when state = 'pending' and expires_at <= now() then 'expired' else state end as state, requested_by,
decided_by, idempotency_key, fingerprint, request, created_at, expires_at, decided_at
     from approvals
     where ledger_id = $1::integer and ($2::uuid is null or id < $2::uuid)
   ) as approvals
   where $3::text is null or state = $3::text
   order by id desc
   limit $4::integer;

update approvals
set state = $3::text, decided_by = $4::text, decided_at = now()
where ledger_id = $1::integer and id = $2::uuid and state = 'pending' and expires_at > now()
