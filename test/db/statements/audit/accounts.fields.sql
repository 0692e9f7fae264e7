-- all ledgers
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from accounts as accounts
cross join lateral (
  values ('account_number', (account_number ~ '^([A-Za-z0-9._-]{1,34}|@external|@ledger:[a-z0-9][a-z0-9_-]{0,62})$') is true, ('an account number')::text, (account_number)::text),
    ('currency', (currency ~ '^[A-Z]{3}$') is true, ('three capital letters')::text, (currency)::text),
    ('status', (status in ('open', 'receive_only', 'frozen', 'closed')) is true, ('a status')::text, (status)::text),
    ('balance', (balance between -9007199254740991 and 9007199254740991) is true, ('-9007199254740991 to 9007199254740991')::text, (balance)::text),
    ('held', (held between 0 and 9007199254740991) is true, ('0 to 9007199254740991')::text, (held)::text),
    ('overdraft_limit', (overdraft_limit between 0 and 9007199254740991) is true, ('0 to 9007199254740991')::text, (overdraft_limit)::text),
    ('entry_count', (entry_count >= 0) is true, ('at least 0')::text, (entry_count)::text),
    ('balance and held of a closed account', (status <> 'closed' or (balance = 0 and held = 0)) is true, ('0 and 0')::text, (balance || ' and ' || held)::text),
    ('personal_data', (personal_data is null or (octet_length(personal_data) > 28 and account_number not like '@%')) is true, ('a nonce, a ciphertext and a tag; null if erased, and of the world outside')::text, (octet_length(personal_data) || ' bytes')::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((account_number ~ '^([A-Za-z0-9._-]{1,34}|@external|@ledger:[a-z0-9][a-z0-9_-]{0,62})$') is true
  and (currency ~ '^[A-Z]{3}$') is true
  and (status in ('open', 'receive_only', 'frozen', 'closed')) is true
  and (balance between -9007199254740991 and 9007199254740991) is true
  and (held between 0 and 9007199254740991) is true
  and (overdraft_limit between 0 and 9007199254740991) is true
  and (entry_count >= 0) is true
  and (status <> 'closed' or (balance = 0 and held = 0)) is true
  and (personal_data is null or (octet_length(personal_data) > 28 and account_number not like '@%')) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select ledger_id::bigint as ledger, account_number::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
    select ledger_id, account_number, count(*) as total
    from accounts as accounts
    -- The world outside has one account per currency; any other number names one account.
    group by ledger_id, account_number, case when account_number like '@%' then currency end
  ) as numbers
cross join lateral (
  values ('accounts of this number', ((1) is not distinct from (total)) is true, (1)::text, (total)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((1) is not distinct from (total)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (select * from accounts where ledger_id = 1) as accounts
cross join lateral (
  values ('account_number', (account_number ~ '^([A-Za-z0-9._-]{1,34}|@external|@ledger:[a-z0-9][a-z0-9_-]{0,62})$') is true, ('an account number')::text, (account_number)::text),
    ('currency', (currency ~ '^[A-Z]{3}$') is true, ('three capital letters')::text, (currency)::text),
    ('status', (status in ('open', 'receive_only', 'frozen', 'closed')) is true, ('a status')::text, (status)::text),
    ('balance', (balance between -9007199254740991 and 9007199254740991) is true, ('-9007199254740991 to 9007199254740991')::text, (balance)::text),
    ('held', (held between 0 and 9007199254740991) is true, ('0 to 9007199254740991')::text, (held)::text),
    ('overdraft_limit', (overdraft_limit between 0 and 9007199254740991) is true, ('0 to 9007199254740991')::text, (overdraft_limit)::text),
    ('entry_count', (entry_count >= 0) is true, ('at least 0')::text, (entry_count)::text),
    ('balance and held of a closed account', (status <> 'closed' or (balance = 0 and held = 0)) is true, ('0 and 0')::text, (balance || ' and ' || held)::text),
    ('personal_data', (personal_data is null or (octet_length(personal_data) > 28 and account_number not like '@%')) is true, ('a nonce, a ciphertext and a tag; null if erased, and of the world outside')::text, (octet_length(personal_data) || ' bytes')::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((account_number ~ '^([A-Za-z0-9._-]{1,34}|@external|@ledger:[a-z0-9][a-z0-9_-]{0,62})$') is true
  and (currency ~ '^[A-Z]{3}$') is true
  and (status in ('open', 'receive_only', 'frozen', 'closed')) is true
  and (balance between -9007199254740991 and 9007199254740991) is true
  and (held between 0 and 9007199254740991) is true
  and (overdraft_limit between 0 and 9007199254740991) is true
  and (entry_count >= 0) is true
  and (status <> 'closed' or (balance = 0 and held = 0)) is true
  and (personal_data is null or (octet_length(personal_data) > 28 and account_number not like '@%')) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

select ledger_id::bigint as ledger, account_number::text as account, null::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
    select ledger_id, account_number, count(*) as total
    from (select * from accounts where ledger_id = 1) as accounts
    -- The world outside has one account per currency; any other number names one account.
    group by ledger_id, account_number, case when account_number like '@%' then currency end
  ) as numbers
cross join lateral (
  values ('accounts of this number', ((1) is not distinct from (total)) is true, (1)::text, (total)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((1) is not distinct from (total)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
