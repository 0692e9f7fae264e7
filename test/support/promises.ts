// Checks the promises of the design on the stored data, in SQL that shares nothing with the service.
// Each rule selects the rows that break it; all are read from one snapshot, so that a service may be at work meanwhile.
import { AssertionError } from 'node:assert';
import { Client } from 'pg';
import type { AdminSettings } from './database.ts';

export type Violation = {
  /** The number of the promise in the design: 1 conservation, 2 explained balances, 3 no overdraft, … 7 the journal. */
  promise: number;
  /** What ought to be true. */
  rule: string;
  /** How many rows break it, and the first few of them. */
  count: number;
  rows: Record<string, unknown>[];
};

export type CheckOptions = {
  /** True where overdraft limits have been lowered: then old running balances may lie below today's limit. */
  limitsChanged?: boolean;
  /** Ids of transfers that callers were told were accepted: each must be there. */
  accepted?: readonly string[];
  /** True when no transfer may be pending any more. */
  nothingPending?: boolean;
};

type Rule = {
  promise: number;
  rule: string;
  sql: string;
  parameters?: unknown[];
};

const ROWS_SHOWN_MAX = 3;

/** Throws one AssertionError that lists every broken rule with its first rows, if any is broken. */
export async function checkPromises(database: { admin: AdminSettings }, options: CheckOptions = {}): Promise<void> {
  const client = new Client(database.admin);
  client.on('error', () => {});
  await client.connect();
  try {
    await client.query('begin isolation level repeatable read, read only');
    const violations = await findViolations(client, options);
    if (violations.length > 0) throw new AssertionError({ message: render(violations), stackStartFn: checkPromises });
  } finally {
    await client.end();
  }
}

/** Returns every broken rule, as the client's open transaction sees the data. */
export async function findViolations(client: Client, options: CheckOptions = {}): Promise<Violation[]> {
  // Read the tables and not their indexes, which may be what is wrong; and join large sets by hashing, whatever the
  // statistics of a table that has just been filled may say.
  await client.query(`
    set local enable_indexscan = off;
    set local enable_indexonlyscan = off;
    set local enable_bitmapscan = off;
    set local enable_nestloop = off;
    set local work_mem = '256MB';
    set local jit = off;
    set local timezone = 'UTC'`);
  const violations: Violation[] = [];
  for (const { promise, rule, sql, parameters } of [...RULES, ...optionalRules(options)]) {
    const broken = await client.query<{ count: number; rows: Record<string, unknown>[] }>(
      `
      with broken as materialized (${sql})
      select
        (select count(*)::integer from broken) as count,
        coalesce((select jsonb_agg(to_jsonb(shown)) from (select * from broken limit ${ROWS_SHOWN_MAX}) as shown), '[]') as rows`,
      parameters ?? [],
    );
    for (const { count, rows } of broken.rows) {
      if (count > 0) violations.push({ promise, rule, count, rows });
    }
  }
  return violations;
}

function render(violations: readonly Violation[]): string {
  const lines = violations.map(
    ({ promise, rule, count, rows }) =>
      `promise ${promise}: ${rule}: broken ${count} times, such as\n${rows.map((row) => `    ${JSON.stringify(row)}`).join('\n')}`,
  );
  return `The ledger breaks its promises.\n  ${lines.join('\n  ')}`;
}

function optionalRules({ limitsChanged = false, accepted = [], nothingPending = false }: CheckOptions): Rule[] {
  const rules: Rule[] = [];
  if (!limitsChanged) {
    rules.push({
      promise: 3,
      rule: 'no account was ever overdrawn beyond its limit',
      sql: `
        select e.account_number, e.entry_number, e.balance, a.overdraft_limit
        from entries e join accounts a using (ledger_id, account_number, currency)
        where e.account_number <> '@external' and e.balance + a.overdraft_limit < 0`,
    });
  }
  if (accepted.length > 0) {
    rules.push({
      promise: 4,
      rule: 'every accepted transfer is there, pending or settled',
      sql: `
        select id from unnest($1::uuid[]) as id
        where id not in (select id from transfers) and id not in (select id from pending_transfers)`,
      parameters: [accepted],
    });
  }
  if (nothingPending) {
    rules.push({
      promise: 4,
      rule: 'nothing is pending',
      sql: 'select id, lease_id, created_at from pending_transfers',
    });
  }
  return rules;
}

// One transfer's record as the journal's digest covers it. Units are separated by U+001F, records ended by U+001E; what is
// null is empty.
const RECORD = `
  concat_ws(
    chr(31),
    t.id::text, t.from_account, t.to_account, coalesce(t.amount::text, ''), coalesce(t.currency, ''), t.status,
    coalesce(t.failure_code, ''), coalesce(t.request_id, ''), coalesce(t.description, ''), coalesce(t.metadata::text, ''),
    (extract(epoch from t.created_at) * 1000000)::bigint::text,
    coalesce(t.from_entry_number::text, ''), coalesce(f.balance::text, ''),
    coalesce(t.to_entry_number::text, ''), coalesce(g.balance::text, ''),
    t.kind, coalesce(t.parent_id::text, ''), coalesce(t.group_id::text, ''), coalesce(t.group_position::text, ''),
    coalesce(t.atomic::text, ''), coalesce(t.final_capture::text, ''), coalesce(t.expires_in::text, ''),
    coalesce(t.if_from_entry_number::text, ''), coalesce(t.if_min_available_after::text, '')
  ) || chr(30)`;

// What an account says of itself, as its seal covers it.
const SEAL = `
  sha256(convert_to(
    concat_ws(
      chr(31),
      a.account_number, a.currency, a.status, a.name, coalesce(a.email, ''), coalesce(a.phone, ''),
      coalesce(to_char(a.date_of_birth, 'YYYY-MM-DD'), ''), a.overdraft_limit, a.metadata::text,
      (extract(epoch from a.created_at) * 1000000)::bigint
    ),
    'UTF8'
  ))`;

/** The kinds of transfers that move money, and so have entries. */
const MOVING = `('transfer', 'capture', 'reversal')`;

// Transfers beside the entries that they name.
const TRANSFERS_WITH_ENTRIES = `
  transfers t
  left join entries f
    on f.ledger_id = t.ledger_id and f.account_number = t.from_account and f.currency = t.currency and f.entry_number = t.from_entry_number
  left join entries g
    on g.ledger_id = t.ledger_id and g.account_number = t.to_account and g.currency = t.currency and g.entry_number = t.to_entry_number`;

const RULES: Rule[] = [
  {
    promise: 1,
    rule: 'the balances of a currency sum to zero',
    sql: 'select ledger_id, currency, sum(balance) from accounts group by ledger_id, currency having sum(balance) <> 0',
  },
  {
    promise: 1,
    rule: 'the entries of a transfer sum to zero',
    sql: 'select ledger_id, transfer_id, sum(amount) from entries group by ledger_id, transfer_id having sum(amount) <> 0',
  },
  {
    promise: 1,
    rule: 'a completed transfer that moves money has two entries, every other has none',
    sql: `
      select t.id, t.kind, t.status, count(e.transfer_id) as entries
      from transfers t left join entries e on e.ledger_id = t.ledger_id and e.transfer_id = t.id
      group by t.ledger_id, t.id, t.kind, t.status
      having count(e.transfer_id) <> case when t.status = 'completed' and t.kind in ${MOVING} then 2 else 0 end`,
  },
  {
    promise: 1,
    rule: 'the entries a transfer names take its amount from one account and give it to the other',
    sql: `
      select
        t.id, t.amount, f.transfer_id as from_transfer, f.amount as from_amount, g.transfer_id as to_transfer, g.amount as to_amount
      from ${TRANSFERS_WITH_ENTRIES}
      where t.status = 'completed' and t.kind in ${MOVING}
        and (f.transfer_id, f.amount, g.transfer_id, g.amount) is distinct from (t.id, -t.amount, t.id, t.amount)`,
  },
  {
    promise: 1,
    rule: 'every entry belongs to a transfer',
    sql: `
      select e.account_number, e.entry_number, e.transfer_id
      from entries e left join transfers t on t.ledger_id = e.ledger_id and t.id = e.transfer_id
      where t.id is null`,
  },
  {
    promise: 2,
    rule: 'every entry belongs to an account',
    sql: `
      select e.account_number, e.currency, e.entry_number
      from entries e left join accounts a using (ledger_id, account_number, currency)
      where a.account_number is null`,
  },
  {
    promise: 2,
    rule: "an account's balance is the sum of its entries",
    sql: `
      select a.account_number, a.currency, a.balance, coalesce(sum(e.amount), 0) as entries
      from accounts a left join entries e using (ledger_id, account_number, currency)
      group by a.ledger_id, a.account_number, a.currency, a.balance
      having a.balance <> coalesce(sum(e.amount), 0)`,
  },
  {
    promise: 2,
    rule: "an account's balance is the running balance of its last entry",
    sql: `
      select a.account_number, a.currency, a.balance, last.balance as last_balance
      from accounts a
      left join (
        select distinct on (ledger_id, account_number, currency) ledger_id, account_number, currency, balance
        from entries
        order by ledger_id, account_number, currency, entry_number desc
      ) as last using (ledger_id, account_number, currency)
      where a.balance <> coalesce(last.balance, 0)`,
  },
  {
    promise: 2,
    rule: 'an account counts its entries',
    sql: `
      select a.account_number, a.currency, a.entry_count, count(e.entry_number) as entries
      from accounts a left join entries e using (ledger_id, account_number, currency)
      group by a.ledger_id, a.account_number, a.currency, a.entry_count
      having a.entry_count <> count(e.entry_number)`,
  },
  {
    promise: 2,
    rule: 'entry numbers are 1, 2, 3 … without gaps',
    sql: `
      select account_number, currency, entry_number, place
      from (
        select *, row_number() over (partition by ledger_id, account_number, currency order by entry_number) as place from entries
      ) as numbered
      where entry_number <> place`,
  },
  {
    promise: 2,
    rule: 'a running balance is the one before it and the amount',
    sql: `
      select account_number, currency, entry_number, previous, amount, balance
      from (
        select *, lag(balance, 1, 0::bigint) over (partition by ledger_id, account_number, currency order by entry_number) as previous
        from entries
      ) as running
      where balance <> previous + amount`,
  },
  {
    promise: 3,
    rule: 'no account is overdrawn beyond its limit',
    sql: `
      select account_number, currency, balance, held, overdraft_limit
      from accounts
      where account_number <> '@external' and balance - held + overdraft_limit < 0`,
  },
  {
    promise: 3,
    rule: 'what is held is the sum of what is left of the open holds',
    sql: `
      select a.account_number, a.currency, a.held, coalesce(sum(h.amount - h.captured - h.released), 0) as open_holds
      from accounts a
      left join holds h
        on h.ledger_id = a.ledger_id and h.from_account = a.account_number and h.currency = a.currency and h.state = 'open'
      group by a.ledger_id, a.account_number, a.currency, a.held
      having a.held <> coalesce(sum(h.amount - h.captured - h.released), 0)`,
  },
  {
    promise: 3,
    rule: 'a hold is what its transfer ordered, and what was captured and released of it is what its transfers say',
    sql: `
      select h.id, h.state, h.amount, h.captured, h.released, said.*
      from holds h
      full join (select * from transfers where kind = 'hold' and status = 'completed') t on t.ledger_id = h.ledger_id and t.id = h.id
      left join (
        select
          ledger_id,
          parent_id,
          sum(amount) filter (where kind = 'capture') as captures,
          sum(amount) filter (where kind in ('void', 'expiry')) as releases,
          bool_or(final_capture) as final
        from transfers
        where kind in ('capture', 'void', 'expiry') and status = 'completed'
        group by ledger_id, parent_id
      ) as summed on summed.ledger_id = t.ledger_id and summed.parent_id = t.id
      cross join lateral (
        select
          coalesce(summed.captures, 0) as captures,
          coalesce(summed.releases, 0) as releases,
          coalesce(summed.final, false) as final
      ) as said
      where (h.id, h.amount, h.from_account, h.to_account, h.currency, h.captured, h.released)
        is distinct from (
          t.id, t.amount, t.from_account, t.to_account, t.currency, said.captures,
          case when said.final then t.amount - said.captures else said.releases end
        )`,
  },
  {
    promise: 3,
    rule: 'what was reversed of a transfer is the sum of its reversals, and no more than it moved',
    sql: `
      select coalesce(r.transfer_id, said.parent_id) as id, t.amount, r.reversed, said.reversals
      from reversed_amounts r
      full join (
        select ledger_id, parent_id, sum(amount) as reversals
        from transfers
        where kind = 'reversal' and status = 'completed'
        group by ledger_id, parent_id
      ) as said on said.ledger_id = r.ledger_id and said.parent_id = r.transfer_id
      left join transfers t
        on t.ledger_id = coalesce(r.ledger_id, said.ledger_id) and t.id = coalesce(r.transfer_id, said.parent_id)
      where r.reversed is distinct from said.reversals or r.amount is distinct from t.amount or said.reversals > t.amount`,
  },
  {
    promise: 3,
    rule: 'an atomic group settles all or none',
    sql: `
      select group_id, count(*) filter (where status = 'completed') as completed, count(*) as members
      from transfers
      where atomic
      group by ledger_id, group_id
      having count(*) filter (where status = 'completed') not in (0, count(*))`,
  },
  {
    promise: 5,
    rule: 'a transfer is settled once',
    sql: 'select ledger_id, id, count(*) from transfers group by ledger_id, id having count(*) > 1',
  },
  {
    promise: 5,
    rule: 'what is settled is no longer pending',
    sql: 'select id from pending_transfers join transfers using (ledger_id, id)',
  },
  {
    promise: 5,
    rule: 'an idempotency key names one transfer',
    sql: 'select ledger_id, key, count(*) from idempotency_keys group by ledger_id, key having count(*) > 1',
  },
  {
    promise: 5,
    rule: 'the transfer that an idempotency key names is there, pending or settled',
    sql: `
      select key, transfer_id from idempotency_keys
      where (ledger_id, transfer_id) not in (select ledger_id, coalesce(group_id, id) from transfers)
        and (ledger_id, transfer_id) not in (select ledger_id, coalesce(group_id, id) from pending_transfers)
        and transfer_id is not null`,
  },
  {
    promise: 6,
    rule: 'a settled transfer is completed without a failure code, or failed with one',
    sql: `
      select id, status, failure_code from transfers
      where not (status = 'completed' and failure_code is null or status = 'failed' and failure_code is not null)`,
  },
  {
    promise: 6,
    rule: 'the database refuses every change of what is final',
    sql: `
      select name as table_name
      from unnest(array['transfers', 'entries', 'journal', 'account_changes', 'idempotency_keys']) as name
      left join pg_trigger g
        on g.tgrelid = to_regclass(name) and g.tgenabled in ('O', 'A') and g.tgfoid = to_regproc('refuse_change')
        -- A trigger's type is a sum of flags; 2 means that it fires before the change.
        and g.tgtype & 2 = 2
      group by name
      -- 8 delete, 16 update, 32 truncate.
      having coalesce(bit_or(g.tgtype), 0) & 56 <> 56`,
  },
  {
    promise: 7,
    rule: 'journal numbers are 1, 2, 3 … without gaps',
    sql: `
      select number, place
      from (select number, row_number() over (partition by ledger_id order by number) as place from journal) as numbered
      where number <> place`,
  },
  {
    promise: 7,
    rule: 'a journal row carries the hash of the one before it',
    sql: `
      select number, encode(previous_hash, 'hex') as previous_hash, encode(expected, 'hex') as expected
      from (
        select *, lag(hash, 1, decode(repeat('00', 32), 'hex')) over (partition by ledger_id order by number) as expected from journal
      ) as chained
      where previous_hash <> expected`,
  },
  {
    promise: 7,
    rule: 'time does not run backwards in the journal',
    sql: `
      select number, settled_at, previous
      from (select *, lag(settled_at) over (partition by ledger_id order by number) as previous from journal) as ordered
      where settled_at < previous`,
  },
  {
    promise: 7,
    rule: 'the head of the journal is its last row',
    sql: `
      select h.number as head, l.number as last, encode(h.hash, 'hex') as head_hash, encode(l.hash, 'hex') as last_hash
      from (select id as ledger_id from ledgers) as ledger
      full join journal_head h using (ledger_id)
      full join (
        select distinct on (ledger_id) * from journal order by ledger_id, number desc
      ) as l using (ledger_id)
      where h.number is null or ledger.ledger_id is null
        or h.number <> coalesce(l.number, 0)
        or h.hash <> coalesce(l.hash, decode(repeat('00', 32), 'hex'))
        or h.previous_hash <> coalesce(l.previous_hash, decode(repeat('00', 32), 'hex'))
        or h.settled_at <> l.settled_at`,
  },
  {
    promise: 7,
    rule: 'every transfer stands in the journal, settled when its row was',
    sql: `
      select t.id, t.journal_number, t.completed_at, j.settled_at
      from transfers t left join journal j on j.ledger_id = t.ledger_id and j.number = t.journal_number
      where t.completed_at is distinct from j.settled_at`,
  },
  {
    promise: 7,
    rule: 'a journal row counts its transfers',
    sql: `
      select j.number, j.transfer_count, count(t.id) as transfers
      from journal j left join transfers t on t.ledger_id = j.ledger_id and t.journal_number = j.number
      group by j.ledger_id, j.number, j.transfer_count, j.intake_count
      having j.transfer_count <> count(t.id) or j.intake_count > count(t.id)`,
  },
  {
    promise: 7,
    rule: 'a journal row counts its account changes',
    sql: `
      select j.number, j.change_count, count(c.seal) as changes
      from journal j left join account_changes c on c.ledger_id = j.ledger_id and c.journal_number = j.number
      group by j.ledger_id, j.number, j.change_count
      having j.change_count <> count(c.seal)`,
  },
  {
    promise: 7,
    rule: 'positions in a journal row are 1, 2, 3 … without gaps',
    sql: `
      select id, journal_number, journal_position, place
      from (
        select *, row_number() over (partition by ledger_id, journal_number order by journal_position) as place from transfers
      ) as numbered
      where journal_position <> place`,
  },
  {
    promise: 7,
    rule: 'an entry stands in the journal row of its transfer',
    sql: `
      select e.account_number, e.entry_number, e.journal_number, t.journal_number as transfer_journal_number
      from entries e join transfers t on t.ledger_id = e.ledger_id and t.id = e.transfer_id
      where e.journal_number <> t.journal_number`,
  },
  {
    promise: 7,
    rule: "an account's entries follow each other as the journal's rows do",
    sql: `
      select account_number, currency, entry_number, journal_number, previous
      from (
        select *, lag(journal_number) over (partition by ledger_id, account_number, currency order by entry_number) as previous
        from entries
      ) as ordered
      where journal_number < previous`,
  },
  {
    promise: 7,
    rule: 'the digest of a journal row covers its account changes and transfers as they are stored',
    sql: `
      select number, encode(digest, 'hex') as digest, encode(expected, 'hex') as expected
      from journal
      left join (
        select ledger_id, number, sha256(convert_to(string_agg(record, '' order by part, place), 'UTF8')) as expected
        from (
          select t.ledger_id, t.journal_number as number, 2 as part, t.journal_position::bigint as place, ${RECORD} as record
          from ${TRANSFERS_WITH_ENTRIES}
          union all
          select
            ledger_id, journal_number, 1,
            row_number() over (order by ledger_id, journal_number, account_number, currency, change_number),
            concat_ws(chr(31), account_number, currency, change_number, encode(seal, 'hex')) || chr(30)
          from account_changes
        ) as records
        group by ledger_id, number
      ) as recomputed using (ledger_id, number)
      where digest is distinct from expected`,
  },
  {
    promise: 7,
    rule: 'an account is what its last change sealed',
    sql: `
      select a.account_number, a.currency, c.change_number
      from accounts a
      full join (
        select distinct on (ledger_id, account_number, currency) * from account_changes
        order by ledger_id, account_number, currency, change_number desc
      ) as c using (ledger_id, account_number, currency)
      where c.seal is distinct from ${SEAL}`,
  },
  {
    promise: 7,
    rule: 'the changes of an account are numbered 1, 2, 3 … without gaps',
    sql: `
      select account_number, currency, change_number, place
      from (
        select *, row_number() over (partition by ledger_id, account_number, currency order by change_number) as place
        from account_changes
      ) as numbered
      where change_number <> place`,
  },
  {
    promise: 7,
    rule: 'the hash of a journal row covers the hash before it, the row and its digest',
    sql: `
      select number, encode(hash, 'hex') as hash, encode(expected, 'hex') as expected
      from (
        select
          *,
          sha256(
            previous_hash
            || convert_to(
              ledgers.name || '|' || number || '|' || (extract(epoch from settled_at) * 1000000)::bigint || '|'
                || transfer_count || '|' || change_count,
              'UTF8'
            )
            || digest
          ) as expected
        from journal
        left join ledgers on ledgers.id = journal.ledger_id
      ) as recomputed
      where hash is distinct from expected`,
  },
];
