select entry_number, transfer_id, amount, balance, journal_number, settled_at
from entries
join journal on journal.ledger_id = $4::integer and journal.number = entries.journal_number
where entries.ledger_id = $4::integer and account_number = $1::text and currency = $2::text
order by entry_number desc
limit $3::integer
