-- all ledgers
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
    null::text as transfer, change.journal_number::bigint as journal, fact.what, fact.expected, fact.found
  from accounts as accounts
    left join (
      select distinct on (ledger_id, account_number, currency) ledger_id, account_number, currency, journal_number,
        encode(seal, 'hex') as seal
      from account_changes as account_changes
      order by ledger_id, account_number, currency, change_number desc
    ) as change using (ledger_id, account_number, currency)
  cross join lateral (
    values ('seal of what the account says of itself', ((change.seal) is not distinct from (encode(sha256(convert_to(concat_ws(chr(31), coalesce((account_number)::text, ''), coalesce((currency)::text, ''), coalesce((status)::text, ''), coalesce((encode(personal_data, 'hex'))::text, ''), coalesce((overdraft_limit)::text, ''), coalesce((metadata)::text, ''), coalesce((case
  when isfinite(created_at) then (extract(epoch from created_at) * 1000000)::bigint::text
  else created_at::text
end)::text, '')), 'UTF8')), 'hex'))) is true, (change.seal)::text, (encode(sha256(convert_to(concat_ws(chr(31), coalesce((account_number)::text, ''), coalesce((currency)::text, ''), coalesce((status)::text, ''), coalesce((encode(personal_data, 'hex'))::text, ''), coalesce((overdraft_limit)::text, ''), coalesce((metadata)::text, ''), coalesce((case
  when isfinite(created_at) then (extract(epoch from created_at) * 1000000)::bigint::text
  else created_at::text
end)::text, '')), 'UTF8')), 'hex'))::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where (((change.seal) is not distinct from (encode(sha256(convert_to(concat_ws(chr(31), coalesce((account_number)::text, ''), coalesce((currency)::text, ''), coalesce((status)::text, ''), coalesce((encode(personal_data, 'hex'))::text, ''), coalesce((overdraft_limit)::text, ''), coalesce((metadata)::text, ''), coalesce((case
  when isfinite(created_at) then (extract(epoch from created_at) * 1000000)::bigint::text
  else created_at::text
end)::text, '')), 'UTF8')), 'hex'))) is true) is not true
    and not fact.holds
     order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select ledger_id::bigint as ledger, account_number::text as account, currency::text as currency,
    null::text as transfer, change.journal_number::bigint as journal, fact.what, fact.expected, fact.found
  from (select * from accounts where ledger_id = 1) as accounts
    left join (
      select distinct on (ledger_id, account_number, currency) ledger_id, account_number, currency, journal_number,
        encode(seal, 'hex') as seal
      from (select * from account_changes where ledger_id = 1) as account_changes
      order by ledger_id, account_number, currency, change_number desc
    ) as change using (ledger_id, account_number, currency)
  cross join lateral (
    values ('seal of what the account says of itself', ((change.seal) is not distinct from (encode(sha256(convert_to(concat_ws(chr(31), coalesce((account_number)::text, ''), coalesce((currency)::text, ''), coalesce((status)::text, ''), coalesce((encode(personal_data, 'hex'))::text, ''), coalesce((overdraft_limit)::text, ''), coalesce((metadata)::text, ''), coalesce((case
  when isfinite(created_at) then (extract(epoch from created_at) * 1000000)::bigint::text
  else created_at::text
end)::text, '')), 'UTF8')), 'hex'))) is true, (change.seal)::text, (encode(sha256(convert_to(concat_ws(chr(31), coalesce((account_number)::text, ''), coalesce((currency)::text, ''), coalesce((status)::text, ''), coalesce((encode(personal_data, 'hex'))::text, ''), coalesce((overdraft_limit)::text, ''), coalesce((metadata)::text, ''), coalesce((case
  when isfinite(created_at) then (extract(epoch from created_at) * 1000000)::bigint::text
  else created_at::text
end)::text, '')), 'UTF8')), 'hex'))::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where (((change.seal) is not distinct from (encode(sha256(convert_to(concat_ws(chr(31), coalesce((account_number)::text, ''), coalesce((currency)::text, ''), coalesce((status)::text, ''), coalesce((encode(personal_data, 'hex'))::text, ''), coalesce((overdraft_limit)::text, ''), coalesce((metadata)::text, ''), coalesce((case
  when isfinite(created_at) then (extract(epoch from created_at) * 1000000)::bigint::text
  else created_at::text
end)::text, '')), 'UTF8')), 'hex'))) is true) is not true
    and not fact.holds
     order by ledger nulls first, journal nulls first, account, currency, transfer, what
