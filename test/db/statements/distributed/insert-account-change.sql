insert into account_changes (
  ledger_id, change_number, journal_number, account_number, currency, seal, ordered_by, approved_by
)
select ledger_id, $4::bigint, number, $2::text, $3::text, $5::bytea, $6::text, $7::text
from (
  select head.ledger_id, coalesce(last.number, 0) as number, coalesce(last.settled_at, head.opened_at) as settled_at,
    coalesce(last.hash, decode(repeat('00', 32), 'hex')) as hash, head.closed_until, head.clock
  from journal_head as head
  left join lateral (
    select number, settled_at, hash
    from journal
    where journal.ledger_id = $1::integer
    order by number desc
    limit 1
  ) as last on true
  where head.ledger_id = $1::integer
) as head
