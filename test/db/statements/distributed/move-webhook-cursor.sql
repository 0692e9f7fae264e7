update webhook_cursors
set journal_number = $4::bigint, position = $5::integer, delivery_number = $6::bigint,
  attempts = case when changed and $8::timestamptz is not null then attempts else $7::integer end,
  failing_since = case when changed and $8::timestamptz is not null then failing_since else $8::timestamptz end,
  next_attempt_at = case
    when changed and $8::timestamptz is not null then next_attempt_at
    else coalesce($9::timestamptz, '-infinity')
  end
where ledger_id = $1::integer and endpoint_id = $2::uuid and claimed_by = $3::uuid
