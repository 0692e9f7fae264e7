// The promises of the design as SQL: each statement selects what breaks the rule that is its key.

/** Transfers that move money, beside the entries that they name. */
const WITH_ENTRIES = `
  transfers as t
  left join entries as f
    on f.account_number = t.from_account and f.currency = t.currency and f.entry_number = t.from_entry_number
  left join entries as g
    on g.account_number = t.to_account and g.currency = t.currency and g.entry_number = t.to_entry_number`;

/** Micros since 1970. */
const micros = (instant: string) => `(extract(epoch from ${instant}) * 1000000)::bigint`;

// A row's text of 24 fields: what is null is empty.
const FIELDS = [
  't.id',
  't.from_account',
  't.to_account',
  't.amount',
  't.currency',
  't.status',
  't.failure_code',
  't.request_id',
  't.description',
  't.metadata',
  micros('t.created_at'),
  't.from_entry_number',
  'f.balance',
  't.to_entry_number',
  'g.balance',
  't.kind',
  't.parent_id',
  't.group_id',
  't.group_position',
  't.atomic',
  "case when t.kind = 'capture' then t.final_capture end",
  't.expires_in',
  't.if_from_entry_number',
  't.if_min_available_after',
];
const RECORD = `array_to_string(array[${FIELDS.map((field) => `(${field})::text`).join(', ')}], chr(31), '') || chr(30)`;

const MOVING = "('transfer', 'capture', 'reversal')";

/** What became of each hold, from the transfers about it alone. */
const HOLD_STORIES = `
  select h.id, h.state, h.amount, h.captured, h.released,
    coalesce(sum(c.amount) filter (where c.kind = 'capture'), 0) as moved,
    coalesce(sum(c.amount) filter (where c.kind in ('void', 'expiry')), 0) as freed,
    count(*) filter (where c.kind = 'void') as voids,
    count(*) filter (where c.kind = 'expiry') as expiries,
    count(*) filter (where c.final_capture) as finals
  from holds as h
  left join transfers as c on c.parent_id = h.id and c.status = 'completed'
  group by h.ledger_id, h.id`;

export const RULES: Record<string, string> = {
  // 1. Conservation.
  'the balances of a currency sum to zero':
    'select ledger_id, currency, sum(balance) from accounts group by 1, 2 having sum(balance) <> 0',
  'what completed and moves money has two entries that mirror each other, and nothing else has any': `
    select t.id, t.kind, t.status, t.amount, f.amount as gave, g.amount as got, counted.entries
    from ${WITH_ENTRIES}
    left join (select transfer_id, count(*) as entries from entries group by transfer_id) as counted on counted.transfer_id = t.id
    where case when t.status = 'completed' and t.kind in ${MOVING}
      then (f.transfer_id, f.amount, g.transfer_id, g.amount, counted.entries) is distinct from (t.id, -t.amount, t.id, t.amount, 2)
      else t.from_entry_number is not null or t.to_entry_number is not null or counted.entries is not null end`,
  'every entry is of a transfer and of an account': `
    select e.* from entries as e
    left join transfers as t on t.id = e.transfer_id
    left join accounts as a on a.account_number = e.account_number and a.currency = e.currency
    where t.id is null or a.account_number is null or e.journal_number <> t.journal_number`,
  // 2. Every balance is explained.
  'a balance is the sum of its entries, and they are counted': `
    select a.account_number, a.currency, a.balance, a.entry_count, sum(e.amount), count(e.amount)
    from accounts as a left join entries as e using (ledger_id, account_number, currency)
    group by a.ledger_id, a.account_number, a.currency
    having a.balance <> coalesce(sum(e.amount), 0) or a.entry_count <> count(e.amount)`,
  'entry numbers have no gaps, and each running balance follows from the one before': `
    select * from (
      select account_number, currency, entry_number, balance, row_number() over account as place,
        sum(amount) over account as summed, journal_number, lag(journal_number) over account as previous
      from entries
      window account as (partition by account_number, currency order by entry_number)
    ) as e
    where entry_number <> place or balance <> summed or journal_number < previous`,
  // 3. No overdraft; what is held is the sum of the open holds.
  'no account has less than nothing available': `
    select * from accounts where account_number <> '@external' and balance - held + overdraft_limit < 0`,
  'what is held is the sum of what is left of the open holds': `
    select a.account_number, a.currency, a.held, h.rest
    from accounts as a
    full join (
      select from_account, currency, sum(amount - captured - released) as rest from holds where state = 'open' group by 1, 2
    ) as h on h.from_account = a.account_number and h.currency = a.currency
    where a.account_number is null or a.held <> coalesce(h.rest, 0)`,
  'a closed account is empty': "select * from accounts where status = 'closed' and (balance <> 0 or held <> 0)",
  // Holds.
  'a hold is what its transfer ordered, and every completed one made a hold': `
    select t.id, h.id as hold_id, t.amount, h.amount as held, h.expires_at, t.created_at, t.expires_in
    from (select * from transfers where kind = 'hold' and status = 'completed') as t
    full join holds as h on h.id = t.id
    where (t.id, t.from_account, t.to_account, t.currency, t.amount, t.created_at,
        t.created_at + t.expires_in * interval '1 second')
      is distinct from (h.id, h.from_account, h.to_account, h.currency, h.amount, h.created_at, h.expires_at)`,
  'what was captured of a hold, and what was released, is the sum of the transfers that did it': `
    select * from (${HOLD_STORIES}) as story
    where captured <> moved
      or released <> case when finals > 0 then amount - moved else freed end
      or voids + expiries + finals > 1
      or state <> case
        when voids > 0 then 'voided' when expiries > 0 then 'expired' when finals > 0 or moved = amount then 'captured' else 'open' end`,
  'nothing completes on a hold after its end': `
    select late.id, late.kind, ending.id as ending_id, ending.kind as ending_kind
    from transfers as ending
    join transfers as late on late.parent_id = ending.parent_id and late.id <> ending.id
      and (late.journal_number, late.journal_position) > (ending.journal_number, ending.journal_position)
    where ending.status = 'completed' and late.status = 'completed'
      and (ending.kind in ('void', 'expiry') or ending.final_capture)`,
  'time decides of captures and expiries as it ought to': `
    select c.id, c.kind, c.status, c.failure_code, c.created_at, c.completed_at, h.expires_at
    from transfers as c join holds as h on h.id = c.parent_id
    where (c.kind = 'capture' and c.status = 'completed' and c.created_at > h.expires_at)
      or (c.failure_code = 'hold_expired' and (h.expires_at is null or c.completed_at < h.expires_at))
      or (c.kind = 'expiry' and (h.expires_at is null or c.created_at < h.expires_at or c.id is distinct from h.expiry_id))`,
  'a hold that names an expiry was ended by it, and every expired hold names one': `
    select h.id, h.state, h.expiry_id, t.kind, t.status, t.failure_code
    from holds as h left join transfers as t on t.id = h.expiry_id
    where (h.state = 'expired') <> (h.expiry_id is not null)
      or (h.expiry_id is not null and (t.kind, t.status, t.parent_id) is distinct from ('expiry', 'completed', h.id))`,
  'captures, voids and expiries are about a hold between the same accounts': `
    select c.id, c.kind from transfers as c left join holds as h on h.id = c.parent_id
    where c.kind in ('capture', 'void', 'expiry')
      and (h.from_account, h.to_account, h.currency) is distinct from (c.from_account, c.to_account, c.currency)`,
  // Reversals.
  'what was reversed of a transfer is the sum of its reversals, and no more than itself': `
    select r.transfer_id, s.parent_id, r.reversed, s.total, t.amount, t.kind
    from reversed_amounts as r
    full join (
      select parent_id, sum(amount) as total from transfers where kind = 'reversal' and status = 'completed' group by 1
    ) as s on s.parent_id = r.transfer_id
    left join transfers as t on t.id = coalesce(r.transfer_id, s.parent_id)
    where (r.transfer_id, r.reversed, r.amount) is distinct from (s.parent_id, s.total, t.amount)
      or s.total > t.amount or t.status <> 'completed' or t.kind not in ('transfer', 'capture')`,
  'a reversal goes back the way of what it reverses': `
    select v.id from transfers as v left join transfers as t on t.id = v.parent_id
    where v.kind = 'reversal' and ((t.from_account, t.to_account) is distinct from (v.to_account, v.from_account)
      or (v.status = 'completed' and v.currency <> t.currency))`,
  // Groups and conditions.
  'the members of an atomic group are all there, together, all completed or all failed, one of them for its own reason': `
    select group_id, count(*), count(*) filter (where status = 'completed') as completed
    from transfers where atomic group by group_id
    having count(*) filter (where status = 'completed') not in (0, count(*))
      or count(*) filter (where status = 'failed' and failure_code <> 'group_failed')
        <> (count(*) filter (where status = 'failed') > 0)::integer
      or count(distinct journal_number) > 1 or max(journal_position) - min(journal_position) <> count(*) - 1
      or count(distinct journal_position - group_position) > 1`,
  'the members of a group are numbered from 0 without gaps, and only a group may fail as one': `
    select group_id, count(*) from transfers where group_id is not null group by group_id
    having min(group_position) <> 0 or max(group_position) <> count(*) - 1 or count(distinct group_position) <> count(*)
    union all
    select id, 1 from transfers where failure_code = 'group_failed' and atomic is not true`,
  'what completed under a condition on its entry met it': `
    select id from transfers
    where status = 'completed' and kind = 'transfer' and from_entry_number <> if_from_entry_number + 1`,
  'a transfer names no currency only if it failed and its accounts are unknown': `
    select t.id, t.failure_code from transfers as t
    join accounts as a on a.account_number in (t.from_account, t.to_account) and a.account_number <> '@external'
    where t.currency is null`,
  // 4, 5, 6. Accepted is never lost, at most once, final is final.
  'nothing is pending': 'select id, kind, created_at from pending_transfers',
  'every transfer that a lease counted is settled': `
    select (select sum(accepted_count) from leases) as accepted, (select sum(intake_count) from journal) as settled
    where (select coalesce(sum(accepted_count), 0) from leases) <> (select coalesce(sum(intake_count), 0) from journal)`,
  'what a key names is there, once': `
    select k.key, k.transfer_id, count(t.id) from idempotency_keys as k
    left join transfers as t on t.id = k.transfer_id or (t.group_id = k.transfer_id and t.group_position = 0)
    where k.transfer_id is not null
    group by k.key, k.transfer_id having count(t.id) <> 1`,
  'nothing was given up': "select id, kind from transfers where failure_code = 'cannot_be_settled'",
  // 7. The journal proves it.
  'the journal is numbered without gaps, in time, each row with the hash of the one before': `
    select number from (
      select *, row_number() over (order by number) as place, lag(settled_at) over (order by number) as earlier,
        lag(hash, 1, decode(repeat('00', 32), 'hex')) over (order by number) as before
      from journal
    ) as j
    where number <> place or settled_at < earlier or previous_hash <> before
      or hash <> sha256(previous_hash || convert_to(concat_ws(
        '|', 'main', number, ${micros('settled_at')}, transfer_count, change_count), 'UTF8') || digest)`,
  'the head of the journal is its end': `
    select h.number, j.number as last from journal_head as h
    full join (select * from journal order by number desc limit 1) as j on true
    where (h.number, h.hash, h.settled_at) is distinct from (j.number, j.hash, j.settled_at) and j.number is not null`,
  'a row of the journal covers its account changes and its transfers as they are stored': `
    select j.number, j.transfer_count, t.transfers, j.change_count, c.changes from journal as j
    full join (
      select t.journal_number as number, count(*) as transfers, min(t.completed_at) as since, max(t.completed_at) as till,
        min(t.journal_position) as low, max(t.journal_position) as high,
        string_agg(${RECORD}, '' order by t.journal_position) as records
      from ${WITH_ENTRIES}
      group by t.journal_number
    ) as t using (number)
    full join (
      select journal_number as number, count(*) as changes,
        string_agg(array_to_string(array[account_number, currency, change_number::text, encode(seal, 'hex')], chr(31)) || chr(30), ''
          order by account_number, currency, change_number) as records
      from account_changes
      group by journal_number
    ) as c using (number)
    where (j.digest, j.transfer_count::bigint, j.change_count::bigint) is distinct from (
        sha256(convert_to(coalesce(c.records, '') || coalesce(t.records, ''), 'UTF8')), coalesce(t.transfers, 0),
        coalesce(c.changes, 0))
      or (t.transfers > 0 and (j.settled_at, j.settled_at, 1, j.transfer_count) is distinct from (t.since, t.till, t.low, t.high))`,
  'the changes of an account are numbered without gaps, and the last one seals what it says of itself': `
    select a.account_number, a.currency, c.changes from accounts as a
    full join (
      select account_number, currency, count(*) as changes, max(change_number) as last,
        (array_agg(seal order by change_number desc))[1] as seal
      from account_changes group by 1, 2
    ) as c using (account_number, currency)
    where c.changes is distinct from c.last or c.seal is distinct from sha256(convert_to(array_to_string(array[
      a.account_number, a.currency, a.status, a.name, a.email, a.phone, to_char(a.date_of_birth, 'YYYY-MM-DD'),
      a.overdraft_limit::text, a.metadata::text, ${micros('a.created_at')}::text], chr(31), ''), 'UTF8'))`,
};
