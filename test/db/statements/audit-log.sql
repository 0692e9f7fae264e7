select id, at, action, actor, subject, address, count, journal_number, details
from audit_log
where ledger_id = $1::integer
  and ($2::uuid is null or id < $2::uuid)
  and ($3::boolean is null or (journal_number is null) = $3::boolean)
order by id desc
limit $4::integer
