select ledger_id, ledgers.name as ledger, due.id, from_account, to_account, currency
from (
  (
    select ledger_id, holds.id, from_account, to_account, currency, expires_at
    from holds
    where expires_at <= now() and state = 'open' and holds.id <> all($2::uuid[]) and ledger_id <> all($3::integer[])
    and ledger_id || ' ' || from_account <> all($4::text[]) and ledger_id || ' ' || to_account <> all($4::text[])
      -- A sub-select, which the planner cannot turn into a join with all heads.
      and (select clock from journal_head where journal_head.ledger_id = holds.ledger_id) is null
    order by expires_at
    limit $1::integer
  )
  union all
  (
    select hold.*
    from journal_head
    cross join lateral (
      -- All open holds of the ledger are read: an index over ledger and expiry would cost every other ledger.
      select ledger_id, holds.id, from_account, to_account, currency, expires_at
      from holds
      where ledger_id = journal_head.ledger_id and expires_at <= journal_head.clock and state = 'open' and holds.id <> all($2::uuid[]) and ledger_id <> all($3::integer[])
    and ledger_id || ' ' || from_account <> all($4::text[]) and ledger_id || ' ' || to_account <> all($4::text[])
      offset 0
    ) as hold
    where clock is not null
    order by expires_at
    limit $1::integer
  )
) as due
join ledgers on ledgers.id = ledger_id
