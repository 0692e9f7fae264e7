// Promise 7: the journal proves it. docs/decisions/0013-journal.md states the hashed form; this is a second implementation.
import { type Rule, TRANSFERS_WITH_ENTRIES } from './rule.ts';

/** Microseconds since 1970. */
const micros = (instant: string) => `(extract(epoch from ${instant}) * 1000000)::bigint`;

/** A record: what is null is empty, fields are separated by U+001F, and U+001E ends it. */
const record = (fields: readonly string[], end = 'chr(30)') =>
  `array_to_string(array[${fields.map((field) => `(${field})::text`).join(', ')}], chr(31), '') || ${end}`;

const TRANSFER = record(
  [
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
  ],
  // Only conversions have a rate, only transfers between ledgers an account there, and these fields.
  `coalesce(chr(31) || t.rate, '') || coalesce(chr(31) || 'remote:' || t.remote_account, '') || chr(30)`,
);

const SEAL = `
  sha256(convert_to(array_to_string(array[
    a.account_number, a.currency, a.status, encode(a.personal_data, 'hex'), a.overdraft_limit::text, a.metadata::text,
    ${micros('a.created_at')}::text
  ], chr(31), ''), 'UTF8'))`;

const NO_HASH = `decode(repeat('00', 32), 'hex')`;

export const JOURNAL_RULES: readonly Rule[] = [
  {
    promise: 7,
    rule: 'journal numbers are 1, 2, 3 … without gaps, and time does not run backwards',
    sql: `
      select number, place, settled_at, previous
      from (
        select number, settled_at, row_number() over run as place, lag(settled_at) over run as previous
        from journal
        window run as (partition by ledger_id order by number)
      ) as numbered
      where number <> place or settled_at < previous`,
  },
  {
    promise: 7,
    rule: 'a journal row carries the hash of the one before it',
    sql: `
      select number, encode(previous_hash, 'hex') as previous_hash, encode(expected, 'hex') as expected
      from (
        select number, previous_hash, lag(hash, 1, ${NO_HASH}) over (partition by ledger_id order by number) as expected
        from journal
      ) as chained
      where previous_hash <> expected`,
  },
  {
    promise: 7,
    rule: 'the hash of a journal row covers the hash before it, the row and its digest',
    sql: `
      select number, encode(hash, 'hex') as hash, ledgers.name
      from journal
      left join ledgers on ledgers.id = journal.ledger_id
      where hash is distinct from sha256(previous_hash || convert_to(
        array_to_string(array[name, number::text, ${micros('settled_at')}::text, transfer_count::text, change_count::text], '|'),
        'UTF8'
      ) || digest)`,
  },
  {
    promise: 7,
    rule: 'every ledger has a head',
    sql: `
      select ledger.id, h.ledger_id
      from ledgers as ledger
      full join journal_head as h on h.ledger_id = ledger.id
      where ledger.id is null or h.ledger_id is null`,
  },
  {
    promise: 7,
    rule: 'the digest of a journal row covers its account changes and its transfers, which it counts',
    sql: `
      select number, j.transfer_count, t.transfers, j.change_count, c.changes, j.intake_count
      from journal as j
      full join (
        select t.ledger_id, t.journal_number as number, count(*) as transfers,
          string_agg(${TRANSFER}, '' order by t.journal_position) as records
        from ${TRANSFERS_WITH_ENTRIES}
        group by t.ledger_id, t.journal_number
      ) as t using (ledger_id, number)
      full join (
        select ledger_id, journal_number as number, count(*) as changes,
          string_agg(record, '' order by place, account_number, currency, change_number, id) as records
        from (
          select ledger_id, journal_number, 1 as place, account_number, currency, change_number, null as id,
            ${record(['account_number', 'currency', 'change_number', `encode(seal, 'hex')`, 'ordered_by', 'approved_by'])} as record
          from account_changes
          union all
          select ledger_id, journal_number, 2, null, null, null, id,
            ${record(['id', 'action', 'actor', 'subject', 'details', micros('at')])}
          from audit_log
          where journal_number is not null
        ) as change
        group by ledger_id, journal_number
      ) as c using (ledger_id, number)
      where (j.digest, j.transfer_count::bigint, j.change_count::bigint) is distinct from (
          sha256(convert_to(coalesce(c.records, '') || coalesce(t.records, ''), 'UTF8')), coalesce(t.transfers, 0),
          coalesce(c.changes, 0)
        )
        or j.intake_count not between 0 and j.transfer_count`,
  },
  {
    promise: 7,
    rule: 'the transfers of a journal row have the positions 1, 2, 3 … and its time',
    sql: `
      select t.id, t.journal_number, t.journal_position, t.place, t.completed_at, j.settled_at
      from (
        select *, row_number() over (partition by ledger_id, journal_number order by journal_position) as place from transfers
      ) as t
      left join journal as j on j.ledger_id = t.ledger_id and j.number = t.journal_number
      where t.journal_position <> t.place or t.completed_at is distinct from j.settled_at`,
  },
  {
    promise: 7,
    rule: 'an entry is in the journal row of its transfer, and none before an earlier one of its account',
    sql: `
      select e.account_number, e.currency, e.entry_number, e.journal_number, e.previous, t.journal_number as transfer_journal_number
      from (
        select *, lag(journal_number) over (partition by ledger_id, account_number, currency order by entry_number) as previous
        from entries
      ) as e
      left join transfers as t on t.ledger_id = e.ledger_id and t.id = e.transfer_id
      where e.journal_number <> t.journal_number or e.journal_number < e.previous`,
  },
  {
    promise: 7,
    rule: 'an account matches its last sealed change, and its changes are numbered 1, 2, 3 … without gaps',
    sql: `
      select coalesce(a.account_number, c.account_number) as account_number, c.changes, c.last
      from accounts as a
      full join (
        select ledger_id, account_number, currency, count(*) as changes, max(change_number) as last,
          (array_agg(seal order by change_number desc))[1] as seal
        from account_changes
        group by ledger_id, account_number, currency
      ) as c on c.ledger_id = a.ledger_id and c.account_number = a.account_number and c.currency = a.currency
      where c.changes is distinct from c.last or c.seal is distinct from ${SEAL}`,
  },
  {
    // An erased account has lost both, in one commit.
    promise: 7,
    rule: 'an account has personal data if and only if it has a key, and @external has neither',
    sql: `
      select ledger_id, account_number, currency, octet_length(a.personal_data) as bytes, octet_length(k.key) as key_bytes
      from accounts as a
      full join personal_keys as k using (ledger_id, account_number, currency)
      where case
        when account_number like '@%' then num_nonnulls(a.personal_data, k.key) > 0
        else a.created_at is null or num_nonnulls(a.personal_data, k.key) = 1
          or octet_length(a.personal_data) <= 12 + 16 or octet_length(k.key) <> 32
      end`,
  },
];
