select hold.ledger_id, source.name as ledger, target.id as target_id, target.name as target, hold.id,
  hold.from_account, transfers.remote_account, hold.amount, hold.currency,
  coalesce(request_id, group_id::text, transfers.id::text) as request_id, ordered_by,
  approved_by, description, metadata
from (
  select ledger_id, holds.id, from_account, to_account, amount, currency, created_at
  from holds
  where state = 'open' and to_account like '@ledger:%' and ledger_id || ' ' || holds.id <> all($2::text[]) and ledger_id <> all($3::integer[])
    and to_account <> all($4::text[]) and ledger_id || ' ' || to_account <> all($5::text[])
    -- Imported books may owe a ledger that is not here. Their holds must not fill the page.
    and exists (select from ledgers where name = substr(to_account, 9))
  order by created_at
  limit $1::integer
) as hold
join transfers on transfers.ledger_id = hold.ledger_id and transfers.id = hold.id
join ledgers as source on source.id = hold.ledger_id
join ledgers as target on target.name = substr(hold.to_account, 9)
order by hold.created_at
