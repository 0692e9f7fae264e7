update journal_head
set closed_until = greatest($3::timestamptz, coalesce(clock, greatest(settled_at, closed_until)))
where ledger_id = $2::integer and coalesce(clock, greatest(settled_at, closed_until)) <= $1::timestamptz
