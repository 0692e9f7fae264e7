insert into entries (
  ledger_id, entry_number, amount, balance, journal_number, transfer_id, account_number, currency
)
select head.ledger_id, side.entry_number, side.amount, side.balance, head.number, ended.id,
  side.account_number, ended.currency
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
cross join unnest(
  $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[]
) as ended (
  id, from_account, to_account, currency, amount, from_entry_number, from_balance, to_entry_number, to_balance
)
cross join lateral (
  values
    (from_entry_number, -ended.amount, from_balance, from_account),
    (to_entry_number, ended.amount, to_balance, to_account)
) as side (entry_number, amount, balance, account_number)
where from_entry_number is not null
