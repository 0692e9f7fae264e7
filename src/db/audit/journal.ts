// The statements of promise 7: each journal row has the values that the covered rows imply, and the journal covers
// every settled transfer and every account. chain.ts follows the chain itself.
import {
  actsIn,
  changesIn,
  type Check,
  compare,
  equal,
  journalIn,
  leftJoin,
  must,
  rowsIn,
  type Scope,
  transfersIn,
} from './rules.ts';

/** An instant as the journal hashes it. An infinite instant has no number, but must not end the audit. */
const micros = (column: string) =>
  `case
    when isfinite(${column}) then (extract(epoch from ${column}) * 1000000)::bigint::text
    else ${column}::text
  end`;

const RECORD_FIELDS = [
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
  't.final_capture',
  't.expires_in',
  't.if_from_entry_number',
  't.if_min_available_after',
  't.ordered_by',
  't.approved_by',
];

/** Of an administrative act. */
const ACT_FIELDS = ['id', 'action', 'actor', 'subject', 'details', micros('at')];

const CHANGE_FIELDS = [
  'account_number',
  'currency',
  'change_number',
  `encode(seal, 'hex')`,
  'ordered_by',
  'approved_by',
];

const ACCOUNT_FIELDS = [
  'account_number',
  'currency',
  'status',
  `encode(personal_data, 'hex')`,
  'overdraft_limit',
  'metadata',
  micros('created_at'),
];

/** Only conversions have a rate, and only transfers between ledgers an account there. */
const LAST_FIELDS = ['t.rate', `'remote:' || t.remote_account`];

/**
 * The fields of a record, as text. One call, because each || would copy all earlier fields. `last`: fields that only
 * some records have.
 */
const joined = (fields: readonly string[], last: readonly string[] = []) => {
  const present = fields.map((field) => `coalesce((${field})::text, '')`);
  return `concat_ws(chr(31), ${[...present, ...last].join(', ')})`;
};

/**
 * The journal rows in scope, joined with the rows they cover, in order of ledger and number. The columns are those of a
 * JournalRow. PostgreSQL recomputes the digests, because it has the rows: in one ordered pass, 300,000 transfers and
 * their entries took 1.5 s. The result has one row per job.
 */
export function journalStatement(scope: Scope): string {
  const entry = (alias: string, side: string) =>
    leftJoin(
      scope,
      rowsIn(scope, 'entries'),
      alias,
      `${alias}.ledger_id = t.ledger_id and ${alias}.account_number = t.${side}_account and ${alias}.currency = t.currency
        and ${alias}.entry_number = t.${side}_entry_number`,
    );
  return `
    with records as (
      -- The changes of a row come before its transfers, which count from 1.
      select ledger_id, journal_number, 0 as journal_position, count(*) as changes,
        string_agg(record, '' order by place, account_number, currency, change_number, id) as record
      from (
        select ledger_id, journal_number, 1 as place, account_number, currency, change_number, null::uuid as id,
          ${joined(CHANGE_FIELDS)} || chr(30) as record
        from ${changesIn(scope)} as account_changes
        union all
        select ledger_id, journal_number, 2, null, null, null, id, ${joined(ACT_FIELDS)} || chr(30)
        from ${actsIn(scope)} as audit_log
      ) as change
      group by ledger_id, journal_number
      union all
      select t.ledger_id, t.journal_number, t.journal_position, null, ${joined(RECORD_FIELDS, LAST_FIELDS)} || chr(30)
      from ${transfersIn(scope)} as t
      ${entry('f', 'from')}
      ${entry('g', 'to')}
    ), covered as (
      select ledger_id, journal_number, count(*) - count(changes) as transfers, coalesce(max(changes), 0) as changes,
        bool_and(changes is not null or journal_position is not distinct from next_position) as in_order,
        sha256(convert_to(string_agg(record, '' order by journal_position), 'UTF8')) as digest
      from (
        select *, coalesce(lag(journal_position) over run, 0) + 1::bigint as next_position
        from records
        window run as (partition by ledger_id, journal_number order by journal_position)
      ) as records
      group by ledger_id, journal_number
    )
    select journal.ledger_id, journal.number, ${micros('journal.settled_at')}, journal.transfer_count,
      journal.change_count, encode(journal.digest, 'hex'), encode(journal.previous_hash, 'hex'),
      encode(journal.hash, 'hex'), coalesce(covered.transfers, 0), coalesce(covered.changes, 0),
      coalesce(covered.in_order, true), encode(covered.digest, 'hex')
    from ${journalIn(scope)} as journal
    left join covered on covered.ledger_id = journal.ledger_id and covered.journal_number = journal.number
    order by journal.ledger_id, journal.number`;
}

/** The columns of a Link. */
export const LINK_COLUMNS = `
  number, ${micros('settled_at')} as settled_at, encode(hash, 'hex') as hash, encode(previous_hash, 'hex') as previous_hash`;

function placesOfTransfers(scope: Scope): string {
  return compare({
    from: `${transfersIn(scope)} as transfers
      left join ${journalIn(scope)} as journal
        on journal.ledger_id = transfers.ledger_id and journal.number = transfers.journal_number`,
    ledger: 'transfers.ledger_id',
    account: 'transfers.from_account',
    currency: 'transfers.currency',
    transfer: 'transfers.id',
    journal: 'transfers.journal_number',
    presence: must('journal row', 'journal.number is not null', 'one', `'none'`),
    facts: [equal('completed_at', 'journal.settled_at', 'transfers.completed_at')],
  });
}

function runOfChanges(scope: Scope): string {
  return compare({
    from: `(
        select *,
          coalesce(lag(change_number) over run, 0) + 1 as next_number,
          coalesce(lag(journal_number) over run, 0) as previous_journal_number
        from ${rowsIn(scope, 'account_changes')} as account_changes
        window run as (partition by ledger_id, account_number, currency order by change_number)
      ) as change
      left join ${rowsIn(scope, 'accounts')} as accounts using (ledger_id, account_number, currency)`,
    ledger: 'ledger_id',
    account: 'account_number',
    currency: 'currency',
    journal: 'journal_number',
    facts: [
      equal('change number', 'next_number', 'change_number'),
      must(
        'journal number',
        'journal_number >= previous_journal_number',
        'none before that of the change before',
        'journal_number',
      ),
      must('account of the change', 'accounts.created_at is not null', 'an account', `'none'`),
      must('ordered_by', `ordered_by is null or ordered_by <> ''`, 'a key, or null', 'ordered_by'),
      must('approved_by', `approved_by is null or approved_by <> ''`, 'a key, or null', 'approved_by'),
    ],
  });
}

function placesOfChanges(scope: Scope): string {
  return compare({
    from: `${changesIn(scope)} as change
      left join ${journalIn(scope)} as journal
        on journal.ledger_id = change.ledger_id and journal.number = change.journal_number`,
    ledger: 'change.ledger_id',
    account: 'account_number',
    currency: 'currency',
    journal: 'journal_number',
    facts: [must('journal row of the change', 'journal.number is not null', 'one', `'none'`)],
  });
}

function sealsOfAccounts(scope: Scope): string {
  return compare({
    from: `${rowsIn(scope, 'accounts')} as accounts
      left join (
        select distinct on (ledger_id, account_number, currency) ledger_id, account_number, currency, journal_number,
          encode(seal, 'hex') as seal
        from ${rowsIn(scope, 'account_changes')} as account_changes
        order by ledger_id, account_number, currency, change_number desc
      ) as change using (ledger_id, account_number, currency)`,
    ledger: 'ledger_id',
    account: 'account_number',
    currency: 'currency',
    journal: 'change.journal_number',
    facts: [
      equal(
        'seal of what the account says of itself',
        'change.seal',
        `encode(sha256(convert_to(${joined(ACCOUNT_FIELDS)}, 'UTF8')), 'hex')`,
      ),
    ],
  });
}

function placesOfActs(scope: Scope): string {
  return compare({
    from: `${actsIn(scope)} as act
      left join ${journalIn(scope)} as journal
        on journal.ledger_id = act.ledger_id and journal.number = act.journal_number`,
    ledger: 'act.ledger_id',
    journal: 'act.journal_number',
    facts: [
      must('journal row of the act', 'journal.number is not null', 'one', `'none'`),
      must('action', `action <> 'refused'`, 'an administrative act', 'action'),
    ],
  });
}

// An advance of a test clock has a row of the journal at its new time, so the clock is where the journal ends.
function clocksOfHeads(scope: Scope): string {
  return compare({
    from: `${rowsIn(scope, 'journal_head')} as head
      left join ledgers on ledgers.id = head.ledger_id
      left join (
        select ledger_id, max(settled_at) as settled_at
        from ${rowsIn(scope, 'journal')} as journal
        where ledger_id in (select id from ledgers where clock_start is not null)
        group by ledger_id
      ) as last on last.ledger_id = head.ledger_id`,
    ledger: 'head.ledger_id',
    facts: [
      must(
        'clock of the ledger',
        '(head.clock is null) = (ledgers.clock_start is null)',
        'a test clock if the ledger was created with one, otherwise null',
        `coalesce(head.clock::text, 'null')`,
      ),
      must(
        'clock of the ledger, where its journal ends',
        'head.clock is null or head.clock = coalesce(last.settled_at, ledgers.clock_start)',
        'the time of the last row, or the start of the clock',
        `coalesce(head.clock::text, 'null')`,
      ),
    ],
  });
}

function clocksOfTransfers(scope: Scope): string {
  return compare({
    from: `${transfersIn(scope)} as transfers
      join ledgers on ledgers.id = transfers.ledger_id and clock_start is not null`,
    ledger: 'transfers.ledger_id',
    account: 'transfers.from_account',
    currency: 'transfers.currency',
    transfer: 'transfers.id',
    journal: 'transfers.journal_number',
    facts: [
      must(
        'created_at by a test clock',
        'transfers.created_at between clock_start and transfers.completed_at',
        'a time that the clock showed before completed_at',
        'transfers.created_at',
      ),
    ],
  });
}

function clocksOfRows(scope: Scope): string {
  const { ledger, since } = scope;
  const anchor = `(select settled_at from journal as anchor where ledger_id = ${ledger} and number = ${since})`;
  // A missing anchor is reported by the chain.
  const previous = since === null || since === 0n ? 'clock_start' : `${anchor}, settled_at`;
  return compare({
    from: `(
        select journal.ledger_id, number, settled_at, clock_start,
          coalesce(lag(settled_at) over (partition by journal.ledger_id order by number), ${previous}) as previous
        from ${journalIn(scope)} as journal
        join ledgers on ledgers.id = journal.ledger_id and clock_start is not null
      ) as row
      left join ${actsIn(scope)} as act
        on act.ledger_id = row.ledger_id and act.journal_number = row.number and action = 'ledger.clock_advanced'`,
    ledger: 'row.ledger_id',
    journal: 'row.number',
    facts: [
      must(
        'settled_at of a row by a test clock',
        'settled_at >= clock_start',
        'not before the clock started',
        'settled_at',
      ),
      must(
        'settled_at of a row that is no advance of the test clock',
        'settled_at = previous or act.id is not null',
        'that of the row before',
        'settled_at',
      ),
    ],
  });
}

export const JOURNAL_CHECKS: readonly Check[] = [
  {
    name: 'journal.transfers',
    looksAt: ['transfers', 'journal'],
    parts: ['slice'],
    statements: (scope) => [placesOfTransfers(scope)],
  },
  {
    name: 'accounts.changes',
    looksAt: ['account_changes'],
    parts: ['slice', 'accounts'],
    statements: (scope, part) => [
      ...(part === 'slice' ? [] : [runOfChanges(scope)]),
      ...(part === 'accounts' ? [] : [placesOfChanges(scope)]),
    ],
  },
  {
    name: 'journal.clock',
    looksAt: ['journal_head', 'journal', 'transfers'],
    parts: ['slice', 'books'],
    statements: (scope, part) => [
      ...(part === 'slice' ? [] : [clocksOfHeads(scope)]),
      ...(part === 'books' ? [] : [clocksOfRows(scope), clocksOfTransfers(scope)]),
    ],
  },
  {
    name: 'administration.acts',
    looksAt: ['audit_log'],
    parts: ['slice'],
    statements: (scope) => [placesOfActs(scope)],
  },
  {
    name: 'accounts.seals',
    looksAt: ['accounts', 'account_changes'],
    parts: ['accounts'],
    statements: (scope) => [sealsOfAccounts(scope)],
  },
];
