select pg_advisory_xact_lock($1::bigint);

select id, name, created_at, idempotency_key
from ledgers
where name = $1::text or idempotency_key = $2::text;

insert into ledgers (id, name, idempotency_key)
select last.id + 1, $1::text, $2::text
from (select max(id) as id from ledgers) as last
where last.id < $3::integer
returning id, name, created_at;

insert into journal_head (ledger_id) values ($1::integer)
