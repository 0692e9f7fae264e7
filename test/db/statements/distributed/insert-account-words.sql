insert into account_words (ledger_id, account_number, word)
select journal_head.ledger_id, opened.*
from journal_head cross join unnest($2::text[], $3::text[]) as opened
where journal_head.ledger_id = $1::integer
