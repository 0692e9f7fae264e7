select ledger_id, ledgers.name as ledger, due.id, from_account, to_account, currency
from (
  (
    select ledger_id, holds.id, from_account, to_account, currency, expires_at
    from holds
    where expires_at <= now() and state = 'open' and holds.id <> all($2::uuid[]) and ledger_id <> all($3::integer[])
    and ledger_id || ' ' || from_account <> all($4::text[]) and ledger_id || ' ' || to_account <> all($4::text[])
      -- A hash of the ledgers with a test clock, made once: their holds may be due by the real clock for ever.
      and ledger_id not in (select journal_head.ledger_id from journal_head where clock is not null)
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
      -- In order of the index of open holds. By the index of expiries, each such ledger would read the holds of all.
      order by from_account, holds.id
      limit $1::integer
    ) as hold
    where clock is not null
    order by expires_at
    limit $1::integer
  )
) as due
join ledgers on ledgers.id = ledger_id
