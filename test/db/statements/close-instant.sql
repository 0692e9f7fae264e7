update journal_head
set closed_until = $3::timestamptz
where ledger_id = $2::integer and closed_until <= $1::timestamptz
