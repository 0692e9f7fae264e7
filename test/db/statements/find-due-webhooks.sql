with due as (
  select line.ledger_id, endpoint_id, claimed_until
  from journal_ends as head
  cross join lateral (
    select ledger_id, endpoint_id, claimed_until
    from webhook_cursors
    where webhook_cursors.ledger_id = head.ledger_id and journal_number < head.number
      and not disabled and failing_since is null and claimed_until <= now()
    order by claimed_until
    limit $1::integer
  ) as line
  union
  select ledger_id, endpoint_id, claimed_until
  from webhook_cursors
  where next_attempt_at <= $2::timestamptz and not disabled and failing_since is not null
    and claimed_until <= now()
  union
  select line.ledger_id, line.endpoint_id, claimed_until
  from (select distinct ledger_id, endpoint_id from webhook_deliveries where requested) as requested
  cross join lateral (
    select ledger_id, endpoint_id, claimed_until
    from webhook_cursors
    where webhook_cursors.ledger_id = requested.ledger_id
      and webhook_cursors.endpoint_id = requested.endpoint_id and not disabled and claimed_until <= now()
    limit 1
  ) as line
)
select ledger_id, endpoint_id
from (
  select ledger_id, endpoint_id, claimed_until,
    row_number() over (partition by ledger_id order by claimed_until) as rank
  from due
) as ranked
order by rank, claimed_until
limit $1::integer
