// Promises 4 to 6 on what callers requested: nothing accepted is lost, nothing happens twice, and final rows do not
// change.
import type { Rule } from './rule.ts';

/** What the minor unit of a currency is in major units (ISO 4217). */
const MINOR_UNIT = `
  case
    when currency ~ '^(BIF|CLP|DJF|GNF|ISK|JPY|KMF|KRW|PYG|RWF|UGX|UYI|VND|VUV|XAF|XOF|XPF|X(A[GU]|B[A-D]|DR|P[DT]|SU|TS|UA|XX))$' then 1
    when currency in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 0.001
    when currency in ('CLF', 'UYW') then 0.0001
    else 0.01
  end`;

export const REQUEST_RULES: readonly Rule[] = [
  {
    promise: 4,
    rule: 'every transfer that a lease counted is pending or settled',
    sql: `
      select accepted, kept
      from (
        select coalesce(sum(accepted_count), 0) as accepted
        from (select accepted_count from leases union all select accepted_count from ledger_leases) as counts
      ) as counted
      cross join (
        select (select count(*) from pending_transfers) + (select coalesce(sum(intake_count), 0) from journal) as kept
      ) as stored
      where accepted <> kept`,
  },
  {
    // The members are numbered in the order of the request. A transfer that no job can settle fails with all of its atomic group.
    promise: 4,
    rule: 'an atomic group settles in adjacent positions and as a whole, and fails for the reason of one member',
    sql: `
      select ledger_id, group_id, array_agg(coalesce(failure_code, status) order by group_position) as outcomes
      from transfers
      where atomic
      group by ledger_id, group_id
      having count(distinct status) > 1
        or count(distinct journal_number) > 1
        or count(distinct journal_position - group_position) > 1
        or bool_or(status = 'failed') and not bool_and(failure_code = 'cannot_be_settled')
          and count(*) filter (where failure_code <> 'group_failed') <> 1`,
  },
  {
    promise: 4,
    rule: 'the two transfers of a conversion are in one group, and their amounts follow from its rate',
    sql: `
      with sides as (
        select ledger_id, group_id, rate, currency = left(rate, 3) as is_source, split_part(rate, ' ', 2)::numeric as price,
          ${MINOR_UNIT} as unit, amount
        from transfers
        where rate is not null
      ), conversions as (
        select ledger_id, group_id, rate, count(*) filter (where is_source) as sources,
          count(*) filter (where not is_source) as targets,
          sum(amount * unit * price) filter (where is_source) as worth,
          sum(amount * unit) filter (where not is_source) as paid,
          max(unit * case when is_source then price else 1 end) as least
        from sides
        group by ledger_id, group_id, rate
      )
      select *
      from conversions
      where sources <> targets or paid > worth or paid <= worth - sources * least`,
  },
  {
    promise: 4,
    rule: 'the members of a group are numbered 0, 1, 2 … without gaps',
    sql: `
      select ledger_id, group_id, array_agg(group_position order by group_position) as positions
      from (
        select ledger_id, group_id, group_position from transfers
        union all
        select ledger_id, group_id, group_position from pending_transfers
      ) as members
      where group_id is not null
      group by ledger_id, group_id
      having min(group_position) <> 0 or max(group_position) <> count(*) - 1 or count(distinct group_position) <> count(*)`,
  },
  {
    promise: 4,
    rule: 'only a member of an atomic group fails with it',
    sql: `select id, group_id from transfers where failure_code = 'group_failed' and atomic is not true`,
  },
  {
    promise: 4,
    rule: "a transfer that completed under a condition on its source's entries met it",
    sql: `
      select id, from_entry_number, if_from_entry_number
      from transfers
      where status = 'completed' and kind = 'transfer' and from_entry_number <> if_from_entry_number + 1`,
  },
  {
    promise: 4,
    rule: 'a settled transfer has a currency if one of its accounts was open before',
    sql: `
      select t.id, t.failure_code, c.account_number
      from transfers as t
      join account_changes as c
        on c.ledger_id = t.ledger_id and c.account_number in (t.from_account, t.to_account)
        and c.account_number not like '@%' and c.journal_number < t.journal_number and c.change_number = 1
      where t.currency is null and t.failure_code is distinct from 'cannot_be_settled'`,
  },
  {
    promise: 5,
    rule: 'a transfer is settled once',
    sql: 'select ledger_id, id, count(*) from transfers group by ledger_id, id having count(*) > 1',
  },
  {
    promise: 5,
    rule: 'a settled transfer is no longer pending',
    sql: 'select id from pending_transfers join transfers using (ledger_id, id)',
  },
  {
    promise: 5,
    rule: 'an idempotency key names one request',
    sql: 'select ledger_id, key, count(*) from idempotency_keys group by ledger_id, key having count(*) > 1',
  },
  {
    promise: 5,
    rule: 'an idempotency key names a stored object',
    sql: `
      with named as (
        select ledger_id, coalesce(group_id, id) as id from transfers
        union
        select ledger_id, coalesce(group_id, id) from pending_transfers
      )
      select k.key, k.transfer_id, k.account_number
      from idempotency_keys as k
      left join named on named.ledger_id = k.ledger_id and named.id = k.transfer_id
      left join (select distinct ledger_id, account_number from accounts) as a
        on a.ledger_id = k.ledger_id and a.account_number = k.account_number
      where num_nonnulls(k.transfer_id, k.account_number, k.clock) = 0
        or k.transfer_id is not null and named.id is null
        or k.account_number is not null and a.account_number is null`,
  },
  {
    promise: 6,
    rule: 'a settled transfer is completed without a failure code, or failed with one',
    sql: `
      select id, status, failure_code
      from transfers
      where (status, failure_code is null) not in (('completed', true), ('failed', false))`,
  },
  {
    promise: 6,
    rule: 'the database refuses every change of final rows',
    sql: `
      select name as table_name
      from unnest(array['transfers', 'entries', 'journal', 'account_changes', 'idempotency_keys']) as name
      left join pg_trigger as g
        on g.tgrelid = to_regclass(name) and g.tgenabled in ('O', 'A')
        -- Entries of an archived month may be deleted.
        and g.tgfoid in (to_regproc('refuse_change'), case name when 'entries' then to_regproc('refuse_entry_change') end)
        -- A trigger's type is a sum of flags; 2 means that it fires before the change.
        and g.tgtype & 2 = 2
      group by name
      -- 8 delete, 16 update, 32 truncate.
      having coalesce(bit_or(g.tgtype), 0) & 56 <> 56`,
  },
];

export const NOTHING_PENDING: Rule = {
  promise: 4,
  rule: 'nothing is pending',
  sql: 'select id, lease_id, created_at from pending_transfers',
};

export const NOTHING_QUARANTINED: Rule = {
  promise: 4,
  rule: 'nothing is quarantined',
  sql: `select id, kind from transfers where failure_code = 'cannot_be_settled'`,
};

/** `ids` are those of transfers that were accepted. */
export function acceptedExist(ids: readonly string[]): Rule {
  return {
    promise: 4,
    rule: 'every accepted transfer is pending or settled',
    sql: `
      select id
      from unnest($1::uuid[]) as id
      where id not in (select id from transfers) and id not in (select id from pending_transfers)`,
    parameters: [ids],
  };
}
