-- all ledgers
select ledger_id::bigint as ledger, from_account::text as account, currency::text as currency,
  id::text as transfer, journal_number::bigint as journal, fact.what, fact.expected, fact.found
from transfers as transfers
cross join lateral (
  values ('kind', (kind in ('transfer', 'hold', 'capture', 'void', 'expiry', 'reversal')) is true, ('a kind')::text, (kind)::text),
    ('status', (status in ('completed', 'failed')) is true, ('completed or failed')::text, (status)::text),
    ('failure_code', ((failure_code is null) = (status = 'completed')) is true, ('null if completed, a code if failed')::text, (coalesce(failure_code, 'null'))::text),
    ('amount', (amount between 1 and 9007199254740991 or (amount is null and status = 'failed')) is true, ('positive')::text, (amount)::text),
    ('currency', (currency ~ '^[A-Z]{3}$' or (currency is null and status = 'failed')) is true, ('three capital letters')::text, (currency)::text),
    ('accounts', (from_account <> to_account) is true, ('two different ones')::text, (from_account)::text),
    ('from_entry_number', ((from_entry_number is not null) = (status = 'completed' and kind in ('transfer', 'capture', 'reversal'))) is true, ('a number if money moved, otherwise null')::text, (coalesce(from_entry_number::text, 'null'))::text),
    ('to_entry_number', ((to_entry_number is not null) = (status = 'completed' and kind in ('transfer', 'capture', 'reversal'))) is true, ('a number if money moved, otherwise null')::text, (coalesce(to_entry_number::text, 'null'))::text),
    ('parent_id', ((parent_id is null) = (kind in ('transfer', 'hold'))) is true, ('null for a transfer or a hold, otherwise an id')::text, (coalesce(parent_id::text, 'null'))::text),
    ('group_id, group_position and atomic', (num_nulls(group_id, group_position, atomic) in (0, 3)) is true, ('all or none')::text, (num_nonnulls(group_id, group_position, atomic))::text),
    ('final_capture', ((final_capture is not null) = (kind = 'capture')) is true, ('true or false for a capture, otherwise null')::text, (coalesce(final_capture::text, 'null'))::text),
    ('expires_in', (expires_in is null or (kind = 'hold' and expires_in > 0)) is true, ('a hold, or null')::text, (expires_in)::text),
    ('rate', (rate is null or (kind = 'transfer' and atomic and rate ~ '^[A-Z]{3}/[A-Z]{3} \d{1,9}(\.\d{1,12})?$'
and currency in (left(rate, 3), substr(rate, 5, 3)))) is true, ('two currencies, of which the transfer has one, and a decimal number, in an atomic group; or null')::text, (rate)::text),
    ('created_at', (isfinite(created_at)) is true, ('an instant')::text, (created_at)::text),
    ('from_account', (from_account is null or (from_account <> '' and strpos(from_account, chr(30)) = 0 and strpos(from_account, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || from_account || '"')::text),
    ('to_account', (to_account is null or (to_account <> '' and strpos(to_account, chr(30)) = 0 and strpos(to_account, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || to_account || '"')::text),
    ('currency', (currency is null or (currency <> '' and strpos(currency, chr(30)) = 0 and strpos(currency, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || currency || '"')::text),
    ('failure_code', (failure_code is null or (failure_code <> '' and strpos(failure_code, chr(30)) = 0 and strpos(failure_code, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || failure_code || '"')::text),
    ('request_id', (request_id is null or (request_id <> '' and strpos(request_id, chr(30)) = 0 and strpos(request_id, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || request_id || '"')::text),
    ('ordered_by', (ordered_by is null or (ordered_by <> '' and strpos(ordered_by, chr(30)) = 0 and strpos(ordered_by, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || ordered_by || '"')::text),
    ('approved_by', (approved_by is null or (approved_by <> '' and strpos(approved_by, chr(30)) = 0 and strpos(approved_by, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || approved_by || '"')::text),
    ('remote_account', (remote_account is null or (remote_account <> '' and strpos(remote_account, chr(30)) = 0 and strpos(remote_account, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || remote_account || '"')::text),
    ('description', (description is null or (description <> '' and strpos(description, chr(30)) = 0 and strpos(description, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || description || '"')::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((kind in ('transfer', 'hold', 'capture', 'void', 'expiry', 'reversal')) is true
  and (status in ('completed', 'failed')) is true
  and ((failure_code is null) = (status = 'completed')) is true
  and (amount between 1 and 9007199254740991 or (amount is null and status = 'failed')) is true
  and (currency ~ '^[A-Z]{3}$' or (currency is null and status = 'failed')) is true
  and (from_account <> to_account) is true
  and ((from_entry_number is not null) = (status = 'completed' and kind in ('transfer', 'capture', 'reversal'))) is true
  and ((to_entry_number is not null) = (status = 'completed' and kind in ('transfer', 'capture', 'reversal'))) is true
  and ((parent_id is null) = (kind in ('transfer', 'hold'))) is true
  and (num_nulls(group_id, group_position, atomic) in (0, 3)) is true
  and ((final_capture is not null) = (kind = 'capture')) is true
  and (expires_in is null or (kind = 'hold' and expires_in > 0)) is true
  and (rate is null or (kind = 'transfer' and atomic and rate ~ '^[A-Z]{3}/[A-Z]{3} \d{1,9}(\.\d{1,12})?$'
and currency in (left(rate, 3), substr(rate, 5, 3)))) is true
  and (isfinite(created_at)) is true
  and (from_account is null or (from_account <> '' and strpos(from_account, chr(30)) = 0 and strpos(from_account, chr(31)) = 0)) is true
  and (to_account is null or (to_account <> '' and strpos(to_account, chr(30)) = 0 and strpos(to_account, chr(31)) = 0)) is true
  and (currency is null or (currency <> '' and strpos(currency, chr(30)) = 0 and strpos(currency, chr(31)) = 0)) is true
  and (failure_code is null or (failure_code <> '' and strpos(failure_code, chr(30)) = 0 and strpos(failure_code, chr(31)) = 0)) is true
  and (request_id is null or (request_id <> '' and strpos(request_id, chr(30)) = 0 and strpos(request_id, chr(31)) = 0)) is true
  and (ordered_by is null or (ordered_by <> '' and strpos(ordered_by, chr(30)) = 0 and strpos(ordered_by, chr(31)) = 0)) is true
  and (approved_by is null or (approved_by <> '' and strpos(approved_by, chr(30)) = 0 and strpos(approved_by, chr(31)) = 0)) is true
  and (remote_account is null or (remote_account <> '' and strpos(remote_account, chr(30)) = 0 and strpos(remote_account, chr(31)) = 0)) is true
  and (description is null or (description <> '' and strpos(description, chr(30)) = 0 and strpos(description, chr(31)) = 0)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select ledger_id::bigint as ledger, from_account::text as account, currency::text as currency,
  id::text as transfer, journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (select * from transfers where ledger_id = 1 and journal_number > 7) as transfers
cross join lateral (
  values ('kind', (kind in ('transfer', 'hold', 'capture', 'void', 'expiry', 'reversal')) is true, ('a kind')::text, (kind)::text),
    ('status', (status in ('completed', 'failed')) is true, ('completed or failed')::text, (status)::text),
    ('failure_code', ((failure_code is null) = (status = 'completed')) is true, ('null if completed, a code if failed')::text, (coalesce(failure_code, 'null'))::text),
    ('amount', (amount between 1 and 9007199254740991 or (amount is null and status = 'failed')) is true, ('positive')::text, (amount)::text),
    ('currency', (currency ~ '^[A-Z]{3}$' or (currency is null and status = 'failed')) is true, ('three capital letters')::text, (currency)::text),
    ('accounts', (from_account <> to_account) is true, ('two different ones')::text, (from_account)::text),
    ('from_entry_number', ((from_entry_number is not null) = (status = 'completed' and kind in ('transfer', 'capture', 'reversal'))) is true, ('a number if money moved, otherwise null')::text, (coalesce(from_entry_number::text, 'null'))::text),
    ('to_entry_number', ((to_entry_number is not null) = (status = 'completed' and kind in ('transfer', 'capture', 'reversal'))) is true, ('a number if money moved, otherwise null')::text, (coalesce(to_entry_number::text, 'null'))::text),
    ('parent_id', ((parent_id is null) = (kind in ('transfer', 'hold'))) is true, ('null for a transfer or a hold, otherwise an id')::text, (coalesce(parent_id::text, 'null'))::text),
    ('group_id, group_position and atomic', (num_nulls(group_id, group_position, atomic) in (0, 3)) is true, ('all or none')::text, (num_nonnulls(group_id, group_position, atomic))::text),
    ('final_capture', ((final_capture is not null) = (kind = 'capture')) is true, ('true or false for a capture, otherwise null')::text, (coalesce(final_capture::text, 'null'))::text),
    ('expires_in', (expires_in is null or (kind = 'hold' and expires_in > 0)) is true, ('a hold, or null')::text, (expires_in)::text),
    ('rate', (rate is null or (kind = 'transfer' and atomic and rate ~ '^[A-Z]{3}/[A-Z]{3} \d{1,9}(\.\d{1,12})?$'
and currency in (left(rate, 3), substr(rate, 5, 3)))) is true, ('two currencies, of which the transfer has one, and a decimal number, in an atomic group; or null')::text, (rate)::text),
    ('created_at', (isfinite(created_at)) is true, ('an instant')::text, (created_at)::text),
    ('from_account', (from_account is null or (from_account <> '' and strpos(from_account, chr(30)) = 0 and strpos(from_account, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || from_account || '"')::text),
    ('to_account', (to_account is null or (to_account <> '' and strpos(to_account, chr(30)) = 0 and strpos(to_account, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || to_account || '"')::text),
    ('currency', (currency is null or (currency <> '' and strpos(currency, chr(30)) = 0 and strpos(currency, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || currency || '"')::text),
    ('failure_code', (failure_code is null or (failure_code <> '' and strpos(failure_code, chr(30)) = 0 and strpos(failure_code, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || failure_code || '"')::text),
    ('request_id', (request_id is null or (request_id <> '' and strpos(request_id, chr(30)) = 0 and strpos(request_id, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || request_id || '"')::text),
    ('ordered_by', (ordered_by is null or (ordered_by <> '' and strpos(ordered_by, chr(30)) = 0 and strpos(ordered_by, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || ordered_by || '"')::text),
    ('approved_by', (approved_by is null or (approved_by <> '' and strpos(approved_by, chr(30)) = 0 and strpos(approved_by, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || approved_by || '"')::text),
    ('remote_account', (remote_account is null or (remote_account <> '' and strpos(remote_account, chr(30)) = 0 and strpos(remote_account, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || remote_account || '"')::text),
    ('description', (description is null or (description <> '' and strpos(description, chr(30)) = 0 and strpos(description, chr(31)) = 0)) is true, ('text without separators, or null')::text, ('"' || description || '"')::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((kind in ('transfer', 'hold', 'capture', 'void', 'expiry', 'reversal')) is true
  and (status in ('completed', 'failed')) is true
  and ((failure_code is null) = (status = 'completed')) is true
  and (amount between 1 and 9007199254740991 or (amount is null and status = 'failed')) is true
  and (currency ~ '^[A-Z]{3}$' or (currency is null and status = 'failed')) is true
  and (from_account <> to_account) is true
  and ((from_entry_number is not null) = (status = 'completed' and kind in ('transfer', 'capture', 'reversal'))) is true
  and ((to_entry_number is not null) = (status = 'completed' and kind in ('transfer', 'capture', 'reversal'))) is true
  and ((parent_id is null) = (kind in ('transfer', 'hold'))) is true
  and (num_nulls(group_id, group_position, atomic) in (0, 3)) is true
  and ((final_capture is not null) = (kind = 'capture')) is true
  and (expires_in is null or (kind = 'hold' and expires_in > 0)) is true
  and (rate is null or (kind = 'transfer' and atomic and rate ~ '^[A-Z]{3}/[A-Z]{3} \d{1,9}(\.\d{1,12})?$'
and currency in (left(rate, 3), substr(rate, 5, 3)))) is true
  and (isfinite(created_at)) is true
  and (from_account is null or (from_account <> '' and strpos(from_account, chr(30)) = 0 and strpos(from_account, chr(31)) = 0)) is true
  and (to_account is null or (to_account <> '' and strpos(to_account, chr(30)) = 0 and strpos(to_account, chr(31)) = 0)) is true
  and (currency is null or (currency <> '' and strpos(currency, chr(30)) = 0 and strpos(currency, chr(31)) = 0)) is true
  and (failure_code is null or (failure_code <> '' and strpos(failure_code, chr(30)) = 0 and strpos(failure_code, chr(31)) = 0)) is true
  and (request_id is null or (request_id <> '' and strpos(request_id, chr(30)) = 0 and strpos(request_id, chr(31)) = 0)) is true
  and (ordered_by is null or (ordered_by <> '' and strpos(ordered_by, chr(30)) = 0 and strpos(ordered_by, chr(31)) = 0)) is true
  and (approved_by is null or (approved_by <> '' and strpos(approved_by, chr(30)) = 0 and strpos(approved_by, chr(31)) = 0)) is true
  and (remote_account is null or (remote_account <> '' and strpos(remote_account, chr(30)) = 0 and strpos(remote_account, chr(31)) = 0)) is true
  and (description is null or (description <> '' and strpos(description, chr(30)) = 0 and strpos(description, chr(31)) = 0)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
