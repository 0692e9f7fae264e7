delete from account_words where ledger_id = $2::integer and account_number = $1::text;

insert into account_words (ledger_id, account_number, word)
select ledger_id, $1::text, word
from journal_head
cross join unnest($3::text[]) as word
where ledger_id = $2::integer;

update accounts
set personal_data = $3::bytea, overdraft_limit = $4::bigint, status = $5::text, metadata = $6::jsonb
where ledger_id = $2::integer and account_number = $1::text
returning account_number, currency, status, balance, held, overdraft_limit, entry_count, metadata, created_at
