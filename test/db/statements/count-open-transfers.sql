select count(*) as open,
  -- A test clock says nothing about how long a transfer has been open.
  greatest(0, extract(epoch from clock_timestamp() - min(created_at) filter (where not is_test)))::float8 as oldest
from (
  select created_at, clock is not null as is_test
  from holds
  left join journal_head on journal_head.ledger_id = holds.ledger_id
  where state = 'open' and to_account like '@ledger:%'
  order by created_at
  limit $1::integer
) as counted
