-- all ledgers
select credit.ledger_id::bigint as ledger, credit.to_account::text as account, credit.currency::text as currency,
    credit.id::text as transfer, credit.journal_number::bigint as journal, fact.what, fact.expected, fact.found
  from (select
ledger_id, id, kind, from_account, to_account, amount, currency, parent_id, group_id, atomic, final_capture, expires_in,
if_from_entry_number, if_min_available_after, rate, remote_account, ordered_by, approved_by, description, metadata, status, journal_number from transfers as settled where kind = 'transfer' and from_account like '@ledger:%' union all
  select
ledger_id, id, kind, from_account, to_account, amount, currency, parent_id, group_id, atomic, final_capture, expires_in,
if_from_entry_number, if_min_available_after, rate, remote_account, ordered_by, approved_by, description, metadata, 'pending' as status, null::bigint as journal_number
  from pending_transfers as pending
  where kind = 'transfer' and from_account like '@ledger:%') as credit
    left join ledgers as target on target.id = credit.ledger_id
    left join ledgers as source on source.name = substr(credit.from_account, 9)
    left join (
        select transfers.*, holds.state
        from transfers
        join holds using (ledger_id, id)
        where kind = 'hold' and status = 'completed' and transfers.to_account like '@ledger:%'
      ) as hold on hold.ledger_id = source.id and hold.id = credit.id
  cross join lateral (
    values ('hold of the credit', (hold.id is not null) is true, ('a completed hold with the same id in the ledger that the credit names')::text, ('none')::text),
      ('ledger to which the hold pays', ((hold.id is not null) is not true or (('@ledger:' || target.name) is not distinct from (hold.to_account))) is true, ('@ledger:' || target.name)::text, (hold.to_account)::text),
      ('amount', ((hold.id is not null) is not true or ((hold.amount) is not distinct from (credit.amount))) is true, (hold.amount)::text, (credit.amount)::text),
      ('currency', ((hold.id is not null) is not true or ((hold.currency) is not distinct from (credit.currency))) is true, (hold.currency)::text, (credit.currency)::text),
      ('ordered_by', ((hold.id is not null) is not true or ((hold.ordered_by) is not distinct from (credit.ordered_by))) is true, (hold.ordered_by)::text, (credit.ordered_by)::text),
      ('approved_by', ((hold.id is not null) is not true or ((hold.approved_by) is not distinct from (credit.approved_by))) is true, (hold.approved_by)::text, (credit.approved_by)::text),
      ('description', ((hold.id is not null) is not true or ((hold.description) is not distinct from (credit.description))) is true, (hold.description)::text, (credit.description)::text),
      ('metadata', ((hold.id is not null) is not true or ((hold.metadata) is not distinct from (credit.metadata))) is true, (hold.metadata)::text, (credit.metadata)::text),
      ('account that is credited', ((hold.id is not null) is not true or ((hold.remote_account) is not distinct from (credit.to_account))) is true, (hold.remote_account)::text, (credit.to_account)::text),
      ('account that pays', ((hold.id is not null) is not true or ((hold.from_account) is not distinct from (credit.remote_account))) is true, (hold.from_account)::text, (credit.remote_account)::text),
      ('state of the hold', ((hold.id is not null) is not true or (hold.state = 'open'
        or hold.state = case credit.status when 'completed' then 'captured' when 'failed' then 'voided' end)) is true, ('open; captured if the credit is completed, voided if it failed')::text, (hold.state || ' of a credit that is ' || credit.status)::text)
  ) as fact (what, holds, expected, found)
  -- All facts at once first: nearly every row passes, and is not examined further.
  where ((hold.id is not null) is true
    and ((hold.id is not null) is not true or (('@ledger:' || target.name) is not distinct from (hold.to_account))) is true
    and ((hold.id is not null) is not true or ((hold.amount) is not distinct from (credit.amount))) is true
    and ((hold.id is not null) is not true or ((hold.currency) is not distinct from (credit.currency))) is true
    and ((hold.id is not null) is not true or ((hold.ordered_by) is not distinct from (credit.ordered_by))) is true
    and ((hold.id is not null) is not true or ((hold.approved_by) is not distinct from (credit.approved_by))) is true
    and ((hold.id is not null) is not true or ((hold.description) is not distinct from (credit.description))) is true
    and ((hold.id is not null) is not true or ((hold.metadata) is not distinct from (credit.metadata))) is true
    and ((hold.id is not null) is not true or ((hold.remote_account) is not distinct from (credit.to_account))) is true
    and ((hold.id is not null) is not true or ((hold.from_account) is not distinct from (credit.remote_account))) is true
    and ((hold.id is not null) is not true or (hold.state = 'open'
        or hold.state = case credit.status when 'completed' then 'captured' when 'failed' then 'voided' end)) is true) is not true
    and not fact.holds
     order by ledger nulls first, journal nulls first, account, currency, transfer, what
