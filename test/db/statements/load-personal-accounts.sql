select account_number, currency, status, balance, held, overdraft_limit, entry_count, metadata, created_at, personal_data, (
  select key
  from personal_keys
  where personal_keys.ledger_id = $1::integer and personal_keys.account_number = accounts.account_number
    and personal_keys.currency = accounts.currency
) as key, (
      select coalesce(max(change_number), 0)
      from account_changes
      where ledger_id = $1::integer and account_number = accounts.account_number and currency = accounts.currency
    ) as change_number
    from accounts
    where ledger_id = $1::integer and account_number = any($2::text[])
