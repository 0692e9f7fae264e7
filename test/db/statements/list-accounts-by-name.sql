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
       from (
         select distinct account_number as number
         from account_words
         where ledger_id = $2::integer and word >= $3::text and word < $4::text and account_number >= $5::text
         order by account_number asc
         offset 0
       ) as named cross join lateral (select * from accounts where ledger_id = $2::integer and account_number = named.number and (account_number, currency) > ($6::text, $7::text) and exists (
           select
           from account_words as other
           where other.ledger_id = $2::integer and other.account_number = accounts.account_number
             and other.word >= $8::text and other.word < $9::text
         ) and exists (
           select
           from account_words as other
           where other.ledger_id = $2::integer and other.account_number = accounts.account_number
             and other.word >= $10::text and other.word < $11::text
         ) offset 0) as accounts
       order by account_number asc, currency asc
       limit $1::integer
     ) as page
   ) as sized
   where place <= 2 or bytes - octet_length(metadata::text) <= 2097152
   order by account_number asc, currency asc
