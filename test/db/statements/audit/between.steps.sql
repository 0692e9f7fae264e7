-- all ledgers
select step.ledger_id::bigint as ledger, step.from_account::text as account, step.currency::text as currency,
    step.id::text as transfer, step.journal_number::bigint as journal, fact.what, fact.expected, fact.found
  from (select
ledger_id, id, kind, from_account, to_account, amount, currency, parent_id, group_id, atomic, final_capture, expires_in,
if_from_entry_number, if_min_available_after, rate, remote_account, ordered_by, approved_by, description, metadata, status, journal_number from transfers as settled where from_account like '@ledger:%' or to_account like '@ledger:%' or remote_account is not null union all
  select
ledger_id, id, kind, from_account, to_account, amount, currency, parent_id, group_id, atomic, final_capture, expires_in,
if_from_entry_number, if_min_available_after, rate, remote_account, ordered_by, approved_by, description, metadata, 'pending' as status, null::bigint as journal_number
  from pending_transfers as pending
  where from_account like '@ledger:%' or to_account like '@ledger:%' or remote_account is not null) as step
    left join ledgers as other on other.name = substr(case when step.from_account like '@ledger:%' then step.from_account else step.to_account end, 9)
    left join (select * from transfers as holds where to_account like '@ledger:%' and kind = 'hold') as hold on hold.ledger_id = step.ledger_id and hold.id = step.parent_id
  cross join lateral (
    values ('kind and accounts', (case step.kind
    when 'transfer' then step.from_account like '@ledger:%' and step.to_account not like '@%'
    else step.kind in ('hold', 'capture', 'void') and step.from_account not like '@%' and step.to_account like '@ledger:%'
  end) is true, ('a hold to another ledger, its capture or void, or a credit from another ledger')::text, (step.kind || ' from ' || step.from_account || ' to ' || step.to_account)::text),
      ('remote_account', (step.remote_account ~ '^[A-Za-z0-9._-]{1,34}$') is true, ('the account in the other ledger')::text, (coalesce(step.remote_account, 'null'))::text),
      ('group and conditions', (case step.kind
    when 'hold' then step.atomic is not true
    else num_nonnulls(step.group_id, step.if_from_entry_number, step.if_min_available_after) = 0
  end) is true, ('those of a hold, outside an atomic group')::text, (coalesce('group ' || step.group_id, 'conditions'))::text),
      ('expires_in, rate and final_capture', (num_nonnulls(step.expires_in, step.rate) = 0 and step.final_capture is not true) is true, ('none')::text, (concat_ws(', ', step.expires_in, step.rate, step.final_capture))::text),
      ('other ledger', (other.id <> step.ledger_id) is true, ('another ledger that is there')::text, (coalesce(other.name, 'none'))::text),
      ('who ordered the capture or void, and its metadata', (not step.kind in ('capture', 'void') or num_nonnulls(step.ordered_by, step.approved_by, step.metadata) = 0) is true, ('the service, without metadata')::text, (concat_ws(', ', step.ordered_by, step.approved_by, step.metadata))::text),
      ('description of the void', (step.kind <> 'void' or step.description is not null) is true, ('the reason')::text, ('null')::text),
      ('status of the capture or void', (not step.kind in ('capture', 'void') or step.status <> 'failed') is true, ('not failed')::text, (step.status)::text),
      ('id of the capture or void', (not step.kind in ('capture', 'void') or step.id = encode(set_byte(set_byte(substr(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 1, 16), 6, get_byte(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 6) & 15 | 128), 8, get_byte(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 8) & 63 | 128), 'hex')::uuid) is true, (encode(set_byte(set_byte(substr(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 1, 16), 6, get_byte(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 6) & 15 | 128), 8, get_byte(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 8) & 63 | 128), 'hex')::uuid)::text, (step.id)::text),
      ('hold of the capture or void', (not step.kind in ('capture', 'void') or step.status <> 'completed'
    or (hold.amount, hold.remote_account) is not distinct from (step.amount, step.remote_account)) is true, ('one of the same amount to the same account')::text, (coalesce(hold.amount || ' to ' || hold.remote_account, 'none'))::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where ((case step.kind
    when 'transfer' then step.from_account like '@ledger:%' and step.to_account not like '@%'
    else step.kind in ('hold', 'capture', 'void') and step.from_account not like '@%' and step.to_account like '@ledger:%'
  end) is true
    and (step.remote_account ~ '^[A-Za-z0-9._-]{1,34}$') is true
    and (case step.kind
    when 'hold' then step.atomic is not true
    else num_nonnulls(step.group_id, step.if_from_entry_number, step.if_min_available_after) = 0
  end) is true
    and (num_nonnulls(step.expires_in, step.rate) = 0 and step.final_capture is not true) is true
    and (other.id <> step.ledger_id) is true
    and (not step.kind in ('capture', 'void') or num_nonnulls(step.ordered_by, step.approved_by, step.metadata) = 0) is true
    and (step.kind <> 'void' or step.description is not null) is true
    and (not step.kind in ('capture', 'void') or step.status <> 'failed') is true
    and (not step.kind in ('capture', 'void') or step.id = encode(set_byte(set_byte(substr(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 1, 16), 6, get_byte(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 6) & 15 | 128), 8, get_byte(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 8) & 63 | 128), 'hex')::uuid) is true
    and (not step.kind in ('capture', 'void') or step.status <> 'completed'
    or (hold.amount, hold.remote_account) is not distinct from (step.amount, step.remote_account)) is true) is not true
    and not fact.holds
     order by ledger nulls first, journal nulls first, account, currency, transfer, what;

-- one ledger, after a row of its journal
select step.ledger_id::bigint as ledger, step.from_account::text as account, step.currency::text as currency,
    step.id::text as transfer, step.journal_number::bigint as journal, fact.what, fact.expected, fact.found
  from (select
ledger_id, id, kind, from_account, to_account, amount, currency, parent_id, group_id, atomic, final_capture, expires_in,
if_from_entry_number, if_min_available_after, rate, remote_account, ordered_by, approved_by, description, metadata, status, journal_number from (select * from transfers where ledger_id = 1 and journal_number > 7) as settled where from_account like '@ledger:%' or to_account like '@ledger:%' or remote_account is not null union all
  select
ledger_id, id, kind, from_account, to_account, amount, currency, parent_id, group_id, atomic, final_capture, expires_in,
if_from_entry_number, if_min_available_after, rate, remote_account, ordered_by, approved_by, description, metadata, 'pending' as status, null::bigint as journal_number
  from (select * from pending_transfers where ledger_id = 1) as pending
  where from_account like '@ledger:%' or to_account like '@ledger:%' or remote_account is not null) as step
    left join ledgers as other on other.name = substr(case when step.from_account like '@ledger:%' then step.from_account else step.to_account end, 9)
    left join lateral (select * from (select * from (select * from transfers where ledger_id = 1) as holds where to_account like '@ledger:%' and kind = 'hold') as hold where hold.ledger_id = step.ledger_id and hold.id = step.parent_id offset 0) as hold on true
  cross join lateral (
    values ('kind and accounts', (case step.kind
    when 'transfer' then step.from_account like '@ledger:%' and step.to_account not like '@%'
    else step.kind in ('hold', 'capture', 'void') and step.from_account not like '@%' and step.to_account like '@ledger:%'
  end) is true, ('a hold to another ledger, its capture or void, or a credit from another ledger')::text, (step.kind || ' from ' || step.from_account || ' to ' || step.to_account)::text),
      ('remote_account', (step.remote_account ~ '^[A-Za-z0-9._-]{1,34}$') is true, ('the account in the other ledger')::text, (coalesce(step.remote_account, 'null'))::text),
      ('group and conditions', (case step.kind
    when 'hold' then step.atomic is not true
    else num_nonnulls(step.group_id, step.if_from_entry_number, step.if_min_available_after) = 0
  end) is true, ('those of a hold, outside an atomic group')::text, (coalesce('group ' || step.group_id, 'conditions'))::text),
      ('expires_in, rate and final_capture', (num_nonnulls(step.expires_in, step.rate) = 0 and step.final_capture is not true) is true, ('none')::text, (concat_ws(', ', step.expires_in, step.rate, step.final_capture))::text),
      ('other ledger', (other.id is distinct from step.ledger_id) is true, ('another ledger')::text, (coalesce(other.name, 'none'))::text),
      ('who ordered the capture or void, and its metadata', (not step.kind in ('capture', 'void') or num_nonnulls(step.ordered_by, step.approved_by, step.metadata) = 0) is true, ('the service, without metadata')::text, (concat_ws(', ', step.ordered_by, step.approved_by, step.metadata))::text),
      ('description of the void', (step.kind <> 'void' or step.description is not null) is true, ('the reason')::text, ('null')::text),
      ('status of the capture or void', (not step.kind in ('capture', 'void') or step.status <> 'failed') is true, ('not failed')::text, (step.status)::text),
      ('id of the capture or void', (not step.kind in ('capture', 'void') or step.id = encode(set_byte(set_byte(substr(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 1, 16), 6, get_byte(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 6) & 15 | 128), 8, get_byte(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 8) & 63 | 128), 'hex')::uuid) is true, (encode(set_byte(set_byte(substr(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 1, 16), 6, get_byte(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 6) & 15 | 128), 8, get_byte(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 8) & 63 | 128), 'hex')::uuid)::text, (step.id)::text),
      ('hold of the capture or void', (not step.kind in ('capture', 'void') or step.status <> 'completed'
    or (hold.amount, hold.remote_account) is not distinct from (step.amount, step.remote_account)) is true, ('one of the same amount to the same account')::text, (coalesce(hold.amount || ' to ' || hold.remote_account, 'none'))::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where ((case step.kind
    when 'transfer' then step.from_account like '@ledger:%' and step.to_account not like '@%'
    else step.kind in ('hold', 'capture', 'void') and step.from_account not like '@%' and step.to_account like '@ledger:%'
  end) is true
    and (step.remote_account ~ '^[A-Za-z0-9._-]{1,34}$') is true
    and (case step.kind
    when 'hold' then step.atomic is not true
    else num_nonnulls(step.group_id, step.if_from_entry_number, step.if_min_available_after) = 0
  end) is true
    and (num_nonnulls(step.expires_in, step.rate) = 0 and step.final_capture is not true) is true
    and (other.id is distinct from step.ledger_id) is true
    and (not step.kind in ('capture', 'void') or num_nonnulls(step.ordered_by, step.approved_by, step.metadata) = 0) is true
    and (step.kind <> 'void' or step.description is not null) is true
    and (not step.kind in ('capture', 'void') or step.status <> 'failed') is true
    and (not step.kind in ('capture', 'void') or step.id = encode(set_byte(set_byte(substr(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 1, 16), 6, get_byte(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 6) & 15 | 128), 8, get_byte(sha256(convert_to(step.parent_id::text || ':' || step.kind, 'UTF8')), 8) & 63 | 128), 'hex')::uuid) is true
    and (not step.kind in ('capture', 'void') or step.status <> 'completed'
    or (hold.amount, hold.remote_account) is not distinct from (step.amount, step.remote_account)) is true) is not true
    and not fact.holds
     order by ledger nulls first, journal nulls first, account, currency, transfer, what
