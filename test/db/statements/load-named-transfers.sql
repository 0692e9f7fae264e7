select hold.ledger_id, source.name as ledger, target.id as target_id, target.name as target, hold.id,
  hold.from_account, transfers.remote_account, hold.amount, hold.currency,
  coalesce(request_id, group_id::text, transfers.id::text) as request_id, ordered_by,
  approved_by, description, metadata
from unnest($2::uuid[]) as named (id)
cross join lateral (
  -- By the key alone: the planner would read the whole outbox for each of them.
  select ledger_id, holds.id, from_account, to_account, amount, currency, state
  from holds
  where ledger_id = $1::integer and holds.id = named.id
  offset 0
) as hold
join transfers on transfers.ledger_id = $1::integer and transfers.id = hold.id
join ledgers as source on source.id = hold.ledger_id
join ledgers as target on target.name = substr(hold.to_account, 9)
where state = 'open'
