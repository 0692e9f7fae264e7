// Promises 1, 4 and 5 on transfers between ledgers: a hold in one ledger, a credit of the same id in the other, and the
// capture or void that ends the hold.
import type { Rule } from './rule.ts';

/** Credits from another ledger, with the names of both ledgers. */
const CREDITS = `
  select c.*, target.name as into_ledger, split_part(c.from_account, ':', 2) as out_of_ledger
  from transfers as c join ledgers as target on target.id = c.ledger_id
  where c.kind = 'transfer' and c.from_account ~ '^@ledger:'`;

/** Completed holds for another ledger, with the names of both ledgers. */
const HOLDS = `
  select t.*, h.state, source.name as out_of_ledger, split_part(t.to_account, ':', 2) as into_ledger
  from transfers as t
  join holds as h on h.ledger_id = t.ledger_id and h.id = t.id
  join ledgers as source on source.id = t.ledger_id
  where t.kind = 'hold' and t.status = 'completed' and t.to_account ~ '^@ledger:'`;

/** The id of the capture or void of a hold: half of a SHA-256, marked as a UUID of version 8. */
const END_ID = `
  overlay(
    overlay(left(digest, 32) placing '8' from 13)
    placing translate(substr(digest, 17, 1), '0123456789abcdef', '89ab89ab89ab89ab') from 17
  )::uuid`;

export const BETWEEN_RULES: readonly Rule[] = [
  {
    promise: 1,
    rule: 'only the steps of transfers between ledgers touch the account of another ledger',
    sql: `
      with orders as (
        select ledger_id, id, kind, from_account, to_account, remote_account, group_id, atomic, parent_id, expires_in, rate,
          final_capture, if_from_entry_number, if_min_available_after
        from transfers
        union all
        select ledger_id, id, kind, from_account, to_account, remote_account, group_id, atomic, parent_id, expires_in, rate,
          final_capture, if_from_entry_number, if_min_available_after
        from pending_transfers
      )
      select *
      from orders
      where (from_account ~ '^@ledger:' or to_account ~ '^@ledger:' or remote_account is not null)
        and not coalesce(case kind
          when 'hold' then from_account !~ '^@' and to_account ~ '^@ledger:' and atomic is not true
          when 'transfer' then
            from_account ~ '^@ledger:' and to_account !~ '^@' and group_id is null and if_from_entry_number is null
            and if_min_available_after is null
          when 'capture' then from_account !~ '^@' and to_account ~ '^@ledger:' and final_capture is not true
          when 'void' then from_account !~ '^@' and to_account ~ '^@ledger:'
        end and remote_account ~ '^[A-Za-z0-9._-]{1,34}$' and expires_in is null and rate is null, false)`,
  },
  {
    promise: 1,
    rule: 'the account of another ledger names one that exists, and is open, without a limit and without held money',
    sql: `
      select a.ledger_id, a.account_number, a.status, a.held, a.overdraft_limit
      from accounts as a left join ledgers as l on l.name = split_part(a.account_number, ':', 2) and l.id <> a.ledger_id
      where a.account_number ~ '^@' and a.account_number <> '@external'
        and (l.id is null or (a.status, a.held, a.overdraft_limit) is distinct from ('open', 0, 0))`,
  },
  {
    promise: 5,
    rule: 'a credit from another ledger has its hold there, with the same parties and the same money',
    sql: `
      select c.id, c.status, h.state, c.amount, h.amount as hold_amount
      from (${CREDITS}) as c
      left join (${HOLDS}) as h on h.out_of_ledger = c.out_of_ledger and h.into_ledger = c.into_ledger and h.id = c.id
      where (h.from_account, h.remote_account, h.amount, h.currency, h.ordered_by, h.approved_by, h.description, h.metadata)
          is distinct from
          (c.remote_account, c.to_account, c.amount, c.currency, c.ordered_by, c.approved_by, c.description, c.metadata)
        or (c.status, h.state) not in (
          ('completed', 'open'), ('completed', 'captured'), ('failed', 'open'), ('failed', 'voided')
        )`,
  },
  {
    promise: 5,
    rule: 'a credit from another ledger that is pending has its open hold there',
    sql: `
      select c.id
      from pending_transfers as c
      join ledgers as target on target.id = c.ledger_id
      left join (${HOLDS}) as h
        on h.id = c.id and h.into_ledger = target.name and h.out_of_ledger = split_part(c.from_account, ':', 2)
      where c.from_account ~ '^@ledger:'
        and (h.state, h.amount, h.remote_account) is distinct from ('open', c.amount, c.to_account)`,
  },
  {
    promise: 4,
    rule: 'a hold for another ledger ends as its credit there did',
    sql: `
      select h.id, h.state, e.kind, e.amount, e.description, c.status, c.failure_code
      from (${HOLDS}) as h
      join transfers as e
        on e.ledger_id = h.ledger_id and e.parent_id = h.id and e.kind <> 'reversal' and e.status = 'completed'
      left join (${CREDITS}) as c on c.into_ledger = h.into_ledger and c.out_of_ledger = h.out_of_ledger and c.id = h.id
      where (e.amount, e.remote_account) is distinct from (h.amount, h.remote_account)
        or case e.kind
          when 'capture' then c.status is distinct from 'completed'
          when 'void' then c.status is distinct from 'failed' or c.failure_code is distinct from e.description
          else true
        end`,
  },
  {
    promise: 5,
    rule: 'the end of a hold for another ledger has the id that follows from it, no caller ordered it, and it is not refused',
    sql: `
      select id, expected, status, ordered_by
      from (
        select *, ${END_ID} as expected
        from (
          select *, encode(sha256(convert_to(concat(parent_id, ':', kind), 'UTF8')), 'hex') as digest
          from transfers
          where parent_id is not null and to_account ~ '^@ledger:'
        ) as digested
      ) as ends
      where id <> expected or status <> 'completed' or ordered_by is not null or approved_by is not null or metadata is not null`,
  },
  {
    promise: 1,
    rule: 'what two ledgers have of each other sums to zero, with the credits whose holds are still open',
    sql: `
      with moved as (
        select l.name as one, split_part(a.account_number, ':', 2) as other, a.currency, a.balance as amount
        from accounts as a join ledgers as l on l.id = a.ledger_id
        where a.account_number ~ '^@ledger:'
        union all
        select c.into_ledger, c.out_of_ledger, c.currency, c.amount
        from (${CREDITS}) as c
        join (${HOLDS}) as h on h.out_of_ledger = c.out_of_ledger and h.id = c.id and h.state = 'open'
        where c.status = 'completed'
      )
      select array(select unnest(array[one, other]) as name order by name) as ledgers, currency, sum(amount)
      from moved
      group by 1, currency
      having sum(amount) <> 0`,
  },
];

export const ALL_DELIVERED: Rule = {
  promise: 4,
  rule: 'no transfer between ledgers is open',
  sql: `select h.id, h.out_of_ledger, h.into_ledger from (${HOLDS}) as h where h.state = 'open'`,
};
