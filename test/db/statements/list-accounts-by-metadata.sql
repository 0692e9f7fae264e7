select
account_number, currency, status, name, email, phone, date_of_birth, balance, held, overdraft_limit, entry_count,
metadata, created_at
   from (
     select
account_number, currency, status, name, email, phone, date_of_birth, balance, held, overdraft_limit, entry_count,
metadata, created_at, sum(octet_length(metadata::text)) over (order by account_number, currency) as bytes,
       row_number() over (order by account_number, currency) as place
     from (
       select
account_number, currency, status, name, email, phone, date_of_birth, balance, held, overdraft_limit, entry_count,
metadata, created_at
       from accounts
       where ledger_id = $4::integer and (account_number, currency) > ($1::text, $2::text)  and metadata <> '{}' and metadata @> $5::jsonb
       order by account_number, currency
       limit $3::integer
     ) as page
   ) as sized
   where place <= 2 or bytes - octet_length(metadata::text) <= 2097152
   order by account_number, currency
