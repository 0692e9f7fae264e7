select
from holds
where ledger_id = $1::integer and state = 'open'
  and expires_at <= (select clock from journal_head where journal_head.ledger_id = $1::integer)
-- In order of the index of open holds, so that the planner does not look for one among all holds.
order by from_account
limit 1
