insert into idempotency_keys (ledger_id, key, fingerprint, clock)
values ($1::integer, $2::text, $3::bytea, $4::timestamptz)
on conflict (ledger_id, key) do nothing;

select clock, clock > $2::timestamptz as is_later, clock = $2::timestamptz as is_reached
from journal_head
where ledger_id = $1::integer
for no key update;

update journal_head set clock = $2::timestamptz where ledger_id = $1::integer
