insert into reversed_amounts (ledger_id, transfer_id, amount, reversed)
select $1::integer, transfer_id, amount, reversed
from unnest($2::uuid[], $3::bigint[], $4::bigint[]) as changed (transfer_id, amount, reversed)
on conflict (ledger_id, transfer_id) do update set reversed = excluded.reversed
