insert into reversed_amounts (ledger_id, transfer_id, amount, reversed)
select journal_head.ledger_id, transfer_id, amount, reversed
from journal_head cross join unnest($2::uuid[], $3::bigint[], $4::bigint[]) as changed (transfer_id, amount, reversed)
where journal_head.ledger_id = $1::integer
on conflict (ledger_id, transfer_id) do update set reversed = excluded.reversed
