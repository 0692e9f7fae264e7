insert into account_words (ledger_id, account_number, word)
select $1::integer, opened.*
from unnest($2::text[], $3::text[]) as opened
