// Promise 3 on holds and reversals: both are explained by the transfers that made and changed them.
import type { Rule } from './rule.ts';

/** Each hold with the sums of its completed transfers. */
const STORIES = `
  select h.id, h.state, h.amount, h.captured, h.released,
    coalesce(sum(c.amount) filter (where c.kind = 'capture'), 0) as moved,
    coalesce(sum(c.amount) filter (where c.kind in ('void', 'expiry')), 0) as freed,
    count(*) filter (where c.kind = 'void') as voids,
    count(*) filter (where c.kind = 'expiry') as expiries,
    count(*) filter (where c.final_capture) as finals
  from holds as h
  left join transfers as c on c.ledger_id = h.ledger_id and c.parent_id = h.id and c.status = 'completed'
  group by h.ledger_id, h.id, h.state, h.amount, h.captured, h.released`;

export const HOLD_RULES: readonly Rule[] = [
  {
    promise: 3,
    rule: 'a hold is what its transfer requested, and every completed one made a hold',
    sql: `
      select coalesce(t.id, h.id) as id, t.amount, h.amount as hold_amount, t.expires_in, h.expires_at
      from (select * from transfers where kind = 'hold' and status = 'completed') as t
      full join holds as h on h.ledger_id = t.ledger_id and h.id = t.id
      where (t.id, t.from_account, t.to_account, t.currency, t.amount, t.created_at,
          t.created_at + t.expires_in * interval '1 second')
        is distinct from (h.id, h.from_account, h.to_account, h.currency, h.amount, h.created_at, h.expires_at)`,
  },
  {
    promise: 3,
    rule: 'what was captured and released of a hold, and its state, follow from its transfers',
    sql: `
      select * from (${STORIES}) as story
      where captured <> moved
        or released <> case when finals > 0 then amount - moved else freed end
        or voids + expiries + finals > 1
        or state <> case
          when voids > 0 then 'voided' when expiries > 0 then 'expired' when finals > 0 or moved = amount then 'captured' else 'open'
        end`,
  },
  {
    promise: 3,
    rule: 'nothing completes on a hold after its end',
    sql: `
      select late.id, late.kind, ending.id as ending_id, ending.kind as ending_kind
      from transfers as ending
      join transfers as late
        on late.ledger_id = ending.ledger_id and late.parent_id = ending.parent_id and late.id <> ending.id
      where ending.status = 'completed' and late.status = 'completed'
        and (ending.kind in ('void', 'expiry') or ending.final_capture)
        and (late.journal_number, late.journal_position) > (ending.journal_number, ending.journal_position)`,
  },
  {
    promise: 3,
    rule: 'a hold is captured before it expires, and expires no earlier',
    sql: `
      select c.id, c.kind, c.failure_code, c.completed_at, h.expires_at
      from transfers as c join holds as h on h.ledger_id = c.ledger_id and h.id = c.parent_id
      where case
          when c.status = 'completed' and c.kind = 'capture' then c.completed_at >= h.expires_at
          when c.status = 'completed' and c.kind = 'expiry' or c.failure_code = 'hold_expired'
            then h.expires_at is null or c.completed_at < h.expires_at
        end`,
  },
  {
    promise: 3,
    rule: 'an expired hold names the expiry that ended it, and no other hold names one',
    sql: `
      select h.id, h.state, h.expiry_id, t.kind, t.status
      from holds as h left join transfers as t on t.ledger_id = h.ledger_id and t.id = h.expiry_id
      where (h.state = 'expired') <> (h.expiry_id is not null)
        or (h.expiry_id is not null and (t.kind, t.status, t.parent_id) is distinct from ('expiry', 'completed', h.id))`,
  },
  {
    promise: 3,
    rule: 'captures, voids and expiries name a hold between the same accounts',
    sql: `
      select c.id, c.kind, c.from_account, h.from_account as hold_from_account
      from transfers as c left join holds as h on h.ledger_id = c.ledger_id and h.id = c.parent_id
      where c.kind in ('capture', 'void', 'expiry')
        and (h.from_account, h.to_account, h.currency) is distinct from (c.from_account, c.to_account, c.currency)`,
  },
  {
    promise: 3,
    rule: 'what was reversed of a transfer is the sum of its reversals, and no more than it moved',
    sql: `
      select coalesce(r.transfer_id, s.parent_id) as id, t.kind, t.status, t.amount, r.reversed, s.reversals
      from reversed_amounts as r
      full join (
        select ledger_id, parent_id, sum(amount) as reversals
        from transfers
        where kind = 'reversal' and status = 'completed'
        group by ledger_id, parent_id
      ) as s on s.ledger_id = r.ledger_id and s.parent_id = r.transfer_id
      left join transfers as t
        on t.ledger_id = coalesce(r.ledger_id, s.ledger_id) and t.id = coalesce(r.transfer_id, s.parent_id)
      where (r.reversed, r.amount) is distinct from (s.reversals, t.amount)
        or s.reversals > t.amount or t.status <> 'completed' or t.kind not in ('transfer', 'capture')`,
  },
  {
    promise: 3,
    rule: 'a reversal moves money back between the accounts of its original',
    sql: `
      select r.id, r.from_account, r.to_account, t.from_account as original_from, t.to_account as original_to
      from transfers as r left join transfers as t on t.ledger_id = r.ledger_id and t.id = r.parent_id
      where r.kind = 'reversal'
        and ((t.from_account, t.to_account) is distinct from (r.to_account, r.from_account)
          or r.status = 'completed' and r.currency <> t.currency)`,
  },
];
