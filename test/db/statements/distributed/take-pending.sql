delete from pending_transfers
where ledger_id = $1::integer and id = any($2::uuid[])
