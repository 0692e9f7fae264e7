select pg_advisory_xact_lock($1::integer, $2::integer);

insert into webhook_endpoints (ledger_id, id, url, description, types, account, kind, secret)
select ledger_id, $2::uuid, $3::text, $4::text, $5::text[], $6::text, $7::text, $8::text
from journal_head
where ledger_id = $1::integer
  and (select count(*) from webhook_endpoints where ledger_id = $1::integer) < $9::integer;

select number from (
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
) as head;

insert into webhook_cursors (ledger_id, endpoint_id, journal_number)
values ($1::integer, $2::uuid, $3::bigint);

insert into webhook_keys (ledger_id, endpoint_id, secret_number, key, fingerprint)
values ($1::integer, $2::uuid, $3::integer, $4::text, $5::bytea);

select endpoint_id, fingerprint, secret
from webhook_keys
left join webhook_endpoints
  on webhook_endpoints.ledger_id = webhook_keys.ledger_id and webhook_endpoints.id = endpoint_id
    and webhook_endpoints.secret_number = webhook_keys.secret_number
where webhook_keys.ledger_id = $1::integer and key = $2::text;

select id, url, description, types, account, kind, disabled_reason, disabled_at,
  case when previous_until > now() then previous_until end as previous_until, created_at, journal_number,
  failing_since, case when failing_since is not null then next_attempt_at end as next_attempt_at
from webhook_endpoints
join webhook_cursors
  on webhook_cursors.ledger_id = webhook_endpoints.ledger_id and webhook_cursors.endpoint_id = webhook_endpoints.id where webhook_endpoints.ledger_id = $1::integer and webhook_endpoints.id = $2::uuid;

update webhook_deliveries
set requested = true
where ledger_id = $1::integer and endpoint_id = $2::uuid and number = $3::bigint;

select number, journal_number, position
from webhook_deliveries
where ledger_id = $1::integer and endpoint_id = $2::uuid and requested
order by number
limit $3::integer;

update webhook_deliveries
set requested = false, attempts = attempts + 1, attempted_at = $4::timestamptz, status = $5::integer,
  error = $6::text, delivered = delivered or $6::text is null
where ledger_id = $1::integer and endpoint_id = $2::uuid and number = $3::bigint;

select id, url, description, types, account, kind, disabled_reason, disabled_at,
  case when previous_until > now() then previous_until end as previous_until, created_at, journal_number,
  failing_since, case when failing_since is not null then next_attempt_at end as next_attempt_at
from webhook_endpoints
join webhook_cursors
  on webhook_cursors.ledger_id = webhook_endpoints.ledger_id and webhook_cursors.endpoint_id = webhook_endpoints.id
   where webhook_endpoints.ledger_id = $1::integer and ($2::uuid is null or webhook_endpoints.id < $2::uuid)
   order by webhook_endpoints.id desc
   limit $3::integer;

select number, event_id, type, journal_number, delivered, requested, attempts, attempted_at, status, error, created_at
from webhook_deliveries
where ledger_id = $1::integer and endpoint_id = $2::uuid and ($3::bigint is null or number < $3::bigint)
order by number desc
limit $4::integer;

select id, url, description, types, account, kind, disabled_reason, disabled_at,
  case when previous_until > now() then previous_until end as previous_until, created_at, journal_number,
  failing_since, case when failing_since is not null then next_attempt_at end as next_attempt_at
from webhook_endpoints
join webhook_cursors
  on webhook_cursors.ledger_id = webhook_endpoints.ledger_id and webhook_cursors.endpoint_id = webhook_endpoints.id
   where webhook_endpoints.ledger_id = $1::integer and ($2::uuid is null or webhook_endpoints.id > $2::uuid)
   order by webhook_endpoints.id asc
   limit $3::integer;

select number, event_id, type, journal_number, delivered, requested, attempts, attempted_at, status, error, created_at
from webhook_deliveries
where ledger_id = $1::integer and endpoint_id = $2::uuid and ($3::bigint is null or number > $3::bigint)
order by number asc
limit $4::integer;

select number, event_id, type, journal_number, delivered, requested, attempts, attempted_at, status, error, created_at
from webhook_deliveries
where ledger_id = $1::integer and endpoint_id = $2::uuid and number = $3::bigint;

with endpoint as (
  update webhook_endpoints
  set disabled_reason = $3::text, disabled_at = now()
  where ledger_id = $1::integer and id = $2::uuid and disabled_reason is null and url = $4::text
  returning id
)
update webhook_cursors
set disabled = true
from endpoint
where webhook_cursors.ledger_id = $1::integer and webhook_cursors.endpoint_id = endpoint.id;

update webhook_endpoints
set previous_secret = secret, previous_until = now() + $4::integer * interval '1 second', secret = $3::text,
  secret_number = secret_number + 1
where ledger_id = $1::integer and id = $2::uuid
returning secret_number;

update webhook_cursors
set changed = true, disabled = not coalesce($4::boolean, not disabled), attempts = case when $3::boolean then 0 else attempts end,
  failing_since = case when $3::boolean then null else failing_since end,
  next_attempt_at = case when $3::boolean then '-infinity' else next_attempt_at end
where ledger_id = $1::integer and endpoint_id = $2::uuid;

select now();

update webhook_endpoints
set url = coalesce($3::text, url),
  description = case when $4::boolean then $5::text else description end,
  types = case when $6::boolean then $7::text[] else types end,
  account = case when $8::boolean then $9::text else account end,
  kind = case when $10::boolean then $11::text else kind end,
  disabled_reason = case when $12::boolean then null when not $12::boolean then coalesce(disabled_reason, 'paused') else disabled_reason end,
  disabled_at = case when $12::boolean then null when not $12::boolean then coalesce(disabled_at, $13::timestamptz) else disabled_at end
where ledger_id = $1::integer and id = $2::uuid;

delete from webhook_endpoints where ledger_id = $1::integer and id = $2::uuid;

delete from webhook_cursors where ledger_id = $1::integer and endpoint_id = $2::uuid;

delete from webhook_deliveries where ledger_id = $1::integer and endpoint_id = $2::uuid
