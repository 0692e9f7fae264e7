// Promises 1 to 3 on accounts and entries: conservation, explained balances, no overdraft.
import { MOVING, type Rule, TRANSFERS_WITH_ENTRIES } from './rule.ts';

export const MONEY_RULES: readonly Rule[] = [
  {
    promise: 1,
    rule: 'the balances of a currency sum to zero',
    sql: 'select ledger_id, currency, sum(balance) from accounts group by ledger_id, currency having sum(balance) <> 0',
  },
  {
    // So the entries of each transfer sum to zero.
    promise: 1,
    rule: 'a completed transfer that moves money has two entries that mirror each other, every other has none',
    sql: `
      select t.id, t.kind, t.status, t.amount, f.amount as from_amount, g.amount as to_amount, counted.entries
      from ${TRANSFERS_WITH_ENTRIES}
      left join (
        select ledger_id, transfer_id, count(*) as entries from entries group by ledger_id, transfer_id
      ) as counted on counted.ledger_id = t.ledger_id and counted.transfer_id = t.id
      where case when t.status = 'completed' and t.kind in ${MOVING}
        then (f.transfer_id, f.amount, g.transfer_id, g.amount, counted.entries)
          is distinct from (t.id, -t.amount, t.id, t.amount, 2)
        else num_nonnulls(t.from_entry_number, t.to_entry_number, counted.entries) > 0 end`,
  },
  {
    promise: 1,
    rule: 'every entry belongs to a transfer and to an account',
    sql: `
      select e.account_number, e.currency, e.entry_number, e.transfer_id
      from entries as e
      left join transfers as t on t.ledger_id = e.ledger_id and t.id = e.transfer_id
      left join accounts as a
        on a.ledger_id = e.ledger_id and a.account_number = e.account_number and a.currency = e.currency
      where t.id is null or a.balance is null`,
  },
  {
    promise: 2,
    rule: 'a balance is the sum of the entries of its account, which counts them',
    sql: `
      select a.account_number, a.currency, a.balance, a.entry_count, sum(e.amount), count(e.amount)
      from accounts as a left join entries as e using (ledger_id, account_number, currency)
      group by a.ledger_id, a.account_number, a.currency, a.balance, a.entry_count
      having a.balance <> coalesce(sum(e.amount), 0) or a.entry_count <> count(e.amount)`,
  },
  {
    // So the last running balance is the sum of all entries, which is the account's balance.
    promise: 2,
    rule: 'entry numbers are 1, 2, 3 … without gaps, and each running balance is the sum so far',
    sql: `
      select account_number, currency, entry_number, place, balance, summed
      from (
        select account_number, currency, entry_number, balance, row_number() over run as place, sum(amount) over run as summed
        from entries
        window run as (partition by ledger_id, account_number, currency order by entry_number)
      ) as numbered
      where entry_number <> place or balance <> summed`,
  },
  {
    promise: 3,
    rule: 'no account has a negative available amount',
    sql: `
      select account_number, currency, balance, held, overdraft_limit
      from accounts
      where account_number not like '@%' and balance - held + overdraft_limit < 0`,
  },
  {
    promise: 3,
    rule: 'the held amount is the sum of the remainders of the open holds',
    sql: `
      select coalesce(a.account_number, h.account_number) as account_number, a.held, h.open_holds
      from accounts as a
      full join (
        select ledger_id, from_account as account_number, currency, sum(amount - captured - released) as open_holds
        from holds
        where state = 'open'
        group by ledger_id, from_account, currency
      ) as h using (ledger_id, account_number, currency)
      where a.held is distinct from coalesce(h.open_holds, 0)`,
  },
  {
    promise: 3,
    rule: 'a closed account is empty',
    sql: `select account_number, balance, held from accounts where status = 'closed' and (balance <> 0 or held <> 0)`,
  },
];

/** True unless overdraft limits were lowered: old running balances may lie below today's limit. */
export const NEVER_OVERDRAWN: Rule = {
  promise: 3,
  rule: 'no account was ever overdrawn beyond its limit',
  sql: `
    select e.account_number, e.entry_number, e.balance, a.overdraft_limit
    from entries as e join accounts as a using (ledger_id, account_number, currency)
    where e.account_number not like '@%' and e.balance + a.overdraft_limit < 0`,
};
