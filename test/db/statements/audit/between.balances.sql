-- all ledgers
select ledgers.id::bigint as ledger, '@ledger:' || pair.second::text as account, pair.currency::text as currency,
  null::text as transfer, null::bigint as journal, fact.what, fact.expected, fact.found
from (
    select first, second, currency, sum(balance) as balances, sum(arrived) as arrived
    from (
      select
least(ledgers.name, substr(account_number, 9)) as first, greatest(ledgers.name, substr(account_number, 9)) as second, currency, balance, 0 as arrived
      from accounts
      join ledgers on ledgers.id = accounts.ledger_id
      where account_number like '@ledger:%'
      union all
      select
least(target.name, source.name) as first, greatest(target.name, source.name) as second, credit.currency, 0, credit.amount
      from (select * from transfers where kind = 'transfer' and from_account like '@ledger:%' and status = 'completed') as credit
      join ledgers as target on target.id = credit.ledger_id
      join ledgers as source on source.name = substr(credit.from_account, 9)
      join holds on holds.ledger_id = source.id and holds.id = credit.id
      where holds.state = 'open'
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
