update journal_head
set closed_until = greatest($3::timestamptz, greatest(settled_at, closed_until))
where ledger_id = $2::integer and greatest(settled_at, closed_until) <= $1::timestamptz
