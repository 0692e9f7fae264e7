select ledger_id, ledgers.name as ledger, holds.id, from_account, to_account, currency
from holds
join ledgers on ledgers.id = ledger_id
where state = 'open' and expires_at <= now() and holds.id <> all($2::uuid[]) and ledger_id <> all($3::integer[])
  and ledger_id || ' ' || from_account <> all($4::text[]) and ledger_id || ' ' || to_account <> all($4::text[])
order by expires_at
limit $1::integer
