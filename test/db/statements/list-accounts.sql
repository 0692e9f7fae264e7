select account_number, currency, status, balance, held, overdraft_limit, entry_count, metadata, created_at, personal_data, (
  select key
  from personal_keys
  where personal_keys.ledger_id = $2::integer and personal_keys.account_number = sized.account_number
    and personal_keys.currency = sized.currency
) as key
   from (
     select account_number, currency, status, balance, held, overdraft_limit, entry_count, metadata, created_at, personal_data,
       sum(octet_length(metadata::text)) over (order by account_number asc, currency asc) as bytes,
       row_number() over (order by account_number asc, currency asc) as place
     from (
       select account_number, currency, status, balance, held, overdraft_limit, entry_count, metadata, created_at, personal_data
       from accounts where ledger_id = $2::integer and (account_number, currency) > ($3::text, $4::text)
       order by account_number asc, currency asc
       limit $1::integer
     ) as page
   ) as sized
   where place <= 2 or bytes - octet_length(metadata::text) <= 2097152
   order by account_number asc, currency asc
