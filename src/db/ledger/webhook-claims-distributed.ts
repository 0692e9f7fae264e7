// The claims of webhooks' lines on Citus, one line at a time: rows are locked on one node only.

// The same as `claim webhooks`, for one line.
export const CLAIM_ONE = `
  with due as (
    select line.ledger_id, line.endpoint_id, ledgers.name as ledger, url, types, account, kind, secret,
      case when previous_until > now() then previous_secret end as previous_secret
    from webhook_cursors as line
    join webhook_endpoints as endpoint on endpoint.ledger_id = line.ledger_id and endpoint.id = line.endpoint_id
    join ledgers on ledgers.id = line.ledger_id
    where line.ledger_id = $3::integer and line.endpoint_id = $4::uuid and disabled_reason is null
      and claimed_until <= now()
    for update of line, endpoint skip locked
  )
  update webhook_cursors
  set claimed_by = $1::uuid, claimed_until = now() + $2::integer * interval '1 millisecond', changed = false
  from due
  where webhook_cursors.ledger_id = $3::integer and webhook_cursors.endpoint_id = due.endpoint_id
  returning due.*, journal_number, position, delivery_number, attempts, failing_since,
    case when failing_since is not null then next_attempt_at end as next_attempt_at`;

// The same as `renew webhook claims`, for one line; no row if the line is gone.
export const RENEW_ONE = `
  with held as (
    select endpoint_id
    from webhook_cursors
    where ledger_id = $3::integer and endpoint_id = $4::uuid and claimed_by = $1::uuid
    for update skip locked
  ), renewed as (
    update webhook_cursors
    set claimed_until = now() + $2::integer * interval '1 millisecond'
    from held
    where webhook_cursors.ledger_id = $3::integer and webhook_cursors.endpoint_id = held.endpoint_id
    returning webhook_cursors.endpoint_id, changed
  )
  select line.claimed_by = $1::uuid as held, renewed.changed
  from webhook_cursors as line
  left join renewed on renewed.endpoint_id = line.endpoint_id
  where line.ledger_id = $3::integer and line.endpoint_id = $4::uuid`;
