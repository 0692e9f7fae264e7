-- all ledgers
select ledgers.id::bigint as ledger, '@ledger:' || pair.second::text as account, pair.currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
    select first, second, currency, sum(balance) as balances, sum(arrived) as arrived
    from (
      select
least(ledgers.name, substr(account_number, 9)) as first, greatest(ledgers.name, substr(account_number, 9)) as second, currency, balance, 0 as arrived
      from ledgers
      join (select * from accounts where account_number like '@ledger:%') as account on account.ledger_id = ledgers.id
      union all
      select
least(target.name, source.name) as first, greatest(target.name, source.name) as second, credit.currency, 0, credit.amount
      from (select * from holds where state = 'open' and to_account like '@ledger:%') as hold
      join ledgers as source on source.id = hold.ledger_id
      join ledgers as target on target.name = substr(hold.to_account, 9)
      join (select * from transfers where kind = 'transfer' and from_account like '@ledger:%' and status = 'completed') as credit on credit.ledger_id = target.id and credit.id = hold.id and credit.from_account = '@ledger:' || source.name
    ) as sides
    group by first, second, currency
  ) as pair
  left join ledgers on ledgers.name = pair.first
cross join lateral (
  values ('balance of the account for each ledger in the other, both together', ((-arrived) is not distinct from (balances)) is true, (-arrived)::text, (balances)::text)
) as fact (what, holds, expected, found)
-- All facts at once first: nearly every row passes, and is not examined further.
where (((-arrived) is not distinct from (balances)) is true) is not true
  and not fact.holds
   order by ledger nulls first, journal nulls first, account, currency, transfer, what
