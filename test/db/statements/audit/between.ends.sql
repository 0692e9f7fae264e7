-- all ledgers
select ending.ledger_id::bigint as ledger, ending.from_account::text as account, ending.currency::text as currency,
  ending.id::text as transfer, ending.journal_number::bigint as journal, fact.what, fact.expected, fact.found
from (
    select *
    from transfers as settled
    where kind in ('capture', 'void') and status = 'completed' and to_account like '@ledger:%'
  ) as ending
  left join ledgers as source on source.id = ending.ledger_id
  left join ledgers as target on target.name = substr(ending.to_account, 9)
  left join (select * from transfers where kind = 'transfer' and from_account like '@ledger:%') as credit on credit.ledger_id = target.id and credit.id = ending.parent_id and credit.from_account = '@ledger:' || source.name
cross join lateral (
  values ('credit in the other ledger', (case ending.kind
      when 'capture' then credit.status = 'completed'
      else credit.status = 'failed' and credit.failure_code = ending.description
    end) is true, (case ending.kind when 'capture' then 'completed' else 'failed ' || ending.description end)::text, (coalesce(concat_ws(' ', credit.status, credit.failure_code), 'none'))::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where ((case ending.kind
      when 'capture' then credit.status = 'completed'
      else credit.status = 'failed' and credit.failure_code = ending.description
    end) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
