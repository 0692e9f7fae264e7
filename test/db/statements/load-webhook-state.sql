select endpoints.*, lag.ledgers, lag.seconds as lags
from (
  select (count(*) filter (where disabled_reason is null))::integer as enabled,
    (count(*) filter (where disabled_reason = 'paused'))::integer as paused,
    (count(*) filter (where disabled_reason = 'gone'))::integer as gone,
    (count(*) filter (where disabled_reason = 'failing'))::integer as failing
  from webhook_endpoints
) as endpoints
cross join (
  select coalesce(array_agg(ledgers.name order by seconds desc), '{}') as ledgers,
    coalesce(array_agg(seconds order by seconds desc), '{}') as seconds
  from (
    select ledger_id, greatest(max(extract(epoch from now() - (
      select settled_at
      from journal
      where journal.ledger_id = line.ledger_id and journal.number = line.journal_number + 1
    ))), 0)::float8 as seconds
    from (
      select head.ledger_id, oldest.journal_number
      from journal_ends as head
      cross join lateral (
        select min(journal_number) as journal_number
        from webhook_cursors
        where webhook_cursors.ledger_id = head.ledger_id and not disabled and failing_since is null
      ) as oldest
      where oldest.journal_number < head.number and head.clock is null
      union all
      select head.ledger_id, journal_number
      from webhook_cursors
      join journal_ends as head on head.ledger_id = webhook_cursors.ledger_id
      where not disabled and failing_since is not null and head.clock is null
    ) as line
    group by ledger_id
    order by seconds desc
    limit $1::integer
  ) as worst
  join ledgers on ledgers.id = worst.ledger_id
) as lag
