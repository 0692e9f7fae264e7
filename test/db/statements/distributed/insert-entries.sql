insert into entries (
  ledger_id, entry_number, amount, balance, journal_number, transfer_id, account_number, currency
)
select journal_head.ledger_id, side.entry_number, side.amount, side.balance, journal_head.number, ended.id,
  side.account_number, ended.currency
from journal_head
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
where journal_head.ledger_id = $1::integer and from_entry_number is not null
