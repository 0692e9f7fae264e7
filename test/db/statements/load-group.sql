select
id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, 'pending' as status, null::text as failure_code,
coalesce(request_id, group_id::text, id::text) as request_id, ordered_by, approved_by, rate, remote_account, description, metadata, created_at, null::timestamptz as completed_at,
null::bigint as journal_number, null::integer as journal_position
    from pending_transfers
    where ledger_id = $2::integer and group_id = $1::uuid
    union all
    select
id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, status, failure_code,
coalesce(request_id, group_id::text, id::text) as request_id, ordered_by, approved_by, rate, remote_account, description, metadata, created_at, completed_at,
journal_number, journal_position
    from transfers
    where ledger_id = $2::integer and group_id = $1::uuid
    order by group_position
