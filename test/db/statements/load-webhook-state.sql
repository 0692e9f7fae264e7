select endpoints.*, lag.seconds as lag_seconds
from (
  select (count(*) filter (where disabled_reason is null))::integer as enabled,
    (count(*) filter (where disabled_reason = 'paused'))::integer as paused,
    (count(*) filter (where disabled_reason = 'gone'))::integer as gone,
    (count(*) filter (where disabled_reason = 'failing'))::integer as failing
  from webhook_endpoints
) as endpoints
cross join (
  select greatest(coalesce(max(extract(epoch from now() - (
    select settled_at
    from journal
    where journal.ledger_id = line.ledger_id and journal.number = line.journal_number + 1
  ))), 0), 0)::float8 as seconds
  from (
    select journal_head.ledger_id, oldest.journal_number
    from journal_head
    cross join lateral (
      select min(journal_number) as journal_number
      from webhook_cursors
      where webhook_cursors.ledger_id = journal_head.ledger_id and not disabled and failing_since is null
    ) as oldest
    where oldest.journal_number < journal_head.number and journal_head.clock is null
    union all
    select journal_head.ledger_id, journal_number
    from webhook_cursors
    join journal_head on journal_head.ledger_id = webhook_cursors.ledger_id
    where not disabled and failing_since is not null and journal_head.clock is null
  ) as line
) as lag
