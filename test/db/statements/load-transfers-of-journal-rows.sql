select
id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, status, failure_code,
coalesce(request_id, group_id::text, id::text) as request_id, ordered_by, approved_by, rate, remote_account, description, metadata, created_at, completed_at,
journal_number, journal_position, from_entry_number, to_entry_number
    from transfers
    where ledger_id = $3::integer and journal_number > $1::bigint and journal_number <= $2::bigint
    order by journal_number, journal_position
