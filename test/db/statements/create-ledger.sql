select pg_advisory_xact_lock($1::integer, hashtext($2::text));

select pg_advisory_xact_lock($1::bigint);

select id, name, created_at, clock, idempotency_key,
  name = $1::text and clock_start is not distinct from case when $3::boolean then coalesce($4::timestamptz, created_at) end as is_same
from ledgers
join journal_head on ledger_id = id
where name = $1::text or idempotency_key = $2::text;

select max(id) + $1::integer as id from ledgers;

select pg_try_advisory_xact_lock($1::integer, $2::integer) as is_mine;

select from ledgers where id = $1::integer;

select case when $1::boolean then coalesce($2::timestamptz, now()) end as clock;

insert into ledgers (id, name, idempotency_key, clock_start)
values ($1::integer, $2::text, $3::text, $4::timestamptz)
returning id, name, created_at, clock_start as clock;

insert into journal_head (ledger_id, opened_at, clock)
values ($1::integer, coalesce($2::timestamptz, clock_timestamp()), $2::timestamptz)
