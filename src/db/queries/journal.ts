// Reads the journal for auditors: its rows, and the records over which the digest of a row is made. The form of records
// is in docs/decisions/0013-journal.md.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { ArchivedError, loadArchiveEnd } from './archive.ts';
import { actFields, CHANGE_FIELDS, transferFields } from './record-fields.ts';

export type JournalRow = {
  readonly number: bigint;
  readonly settledAt: string;
  /** Lower-case hexadecimal, as the other two. */
  readonly hash: string;
  readonly previousHash: string;
  readonly digest: string;
  readonly transferCount: number;
  readonly changeCount: number;
};

export const RECORD_KINDS = ['account_change', 'administration', 'transfer'] as const;

export type JournalRecord = {
  /** Its place in the row: 1, 2, 3 … */
  readonly number: number;
  readonly kind: (typeof RECORD_KINDS)[number];
  /** Those that are absent are empty. */
  readonly fields: readonly string[];
};

const ROW_COLUMNS = `number, settled_at, encode(hash, 'hex') as hash, encode(previous_hash, 'hex') as previous_hash,
  encode(digest, 'hex') as digest, transfer_count, change_count`;

export type JournalColumns = {
  number: bigint;
  settled_at: string;
  hash: string;
  previous_hash: string;
  digest: string;
  transfer_count: number;
  change_count: number;
};

/** At most `limit` rows of a ledger's journal that follow the row `after`. */
export async function listJournal(
  connection: Queryable,
  ledger: Ledger,
  { limit, after, newestFirst }: { limit: number; after: bigint | null; newestFirst: boolean },
): Promise<JournalRow[]> {
  const [comparison, direction] = newestFirst ? ['<', 'desc'] : ['>', 'asc'];
  const { rows } = await connection.query<JournalColumns>(
    `select ${ROW_COLUMNS}
     from journal
     where ledger_id = $1::integer${after === null ? '' : ` and number ${comparison} $3::bigint`}
     order by number ${direction}
     limit $2::integer`,
    [ledger.id, limit, ...(after === null ? [] : [after])],
  );
  return rows.map(toRow);
}

export async function loadJournalRow(
  connection: Queryable,
  ledger: Ledger,
  number: bigint,
): Promise<JournalRow | undefined> {
  const { rows } = await connection.query<JournalColumns>({
    name: 'load journal row',
    text: `select ${ROW_COLUMNS} from journal where ledger_id = $1::integer and number = $2::bigint`,
    values: [ledger.id, number],
  });
  return rows[0] && toRow(rows[0]);
}

/** An instant as the journal hashes it. A forged, infinite one has no number, but must not prevent the answer. */
const micros = (column: string) =>
  `case when isfinite(${column}) then (extract(epoch from ${column}) * 1000000)::bigint::text else ${column}::text end`;

const TRANSFER_FIELDS = transferFields({
  createdAt: micros('created_at'),
  fromBalance: balanceAfter('from'),
  toBalance: balanceAfter('to'),
});

const ACT_FIELDS = actFields(micros('at'));

// The changes are few, and numbered here; a transfer has its place among the transfers.
const RECORDS = `
  with change as (
    select row_number() over (order by place, account_number, currency, change_number, id) as number, place, fields
    from (
      select 1 as place, account_number, currency, change_number, null::uuid as id, ${arrayOf(CHANGE_FIELDS)} as fields
      from account_changes
      where ledger_id = $1::integer and journal_number = $2::bigint
      union all
      select 2, null, null, null, id, ${arrayOf(ACT_FIELDS)}
      from audit_log
      where ledger_id = $1::integer and journal_number = $2::bigint
    ) as unnumbered
  ), counted as (
    select count(*) as changes
    from change
  ), record as (
    select number, case place when 1 then 'account_change' else 'administration' end as kind, fields
    from change
    where number > $3::bigint
    union all (
      select changes + journal_position, 'transfer',
        ${arrayOf(TRANSFER_FIELDS)} || case when rate is null then '{}' else array[rate] end
         || case when remote_account is null then '{}' else array['remote:' || remote_account] end
      from transfers
      cross join counted
      where ledger_id = $1::integer and journal_number = $2::bigint and journal_position > $3::bigint - changes
      order by journal_position
      limit $4::integer
    )
    order by number
    limit $4::integer
  )
  select number, kind, fields
  from (
    select number, kind, fields, sum(octet_length(array_to_string(fields, ''))) over (
      order by number rows between unbounded preceding and 2 preceding
    ) as bytes_before
    from record
  ) as measured
  where bytes_before is null or bytes_before <= $5::bigint
  order by number`;

/**
 * At most `limit` records of a row of the journal that follow the record `after`, in the order of the digest: those whose
 * fields have `bytesMax` together, and one more, which shows that the row goes on. Throws an ArchivedError if the row is
 * archived: a record has the balances of its entries.
 */
export async function loadRecords(
  connection: Queryable,
  ledger: Ledger,
  { number, after, limit, bytesMax }: { number: bigint; after: number; limit: number; bytesMax: number },
): Promise<JournalRecord[]> {
  const archive = await loadArchiveEnd(connection, ledger);
  if (archive !== null && number <= archive.journalNumber) throw new ArchivedError(archive);
  const { rows } = await connection.query<{ number: bigint; kind: JournalRecord['kind']; fields: string[] }>({
    name: 'load journal records',
    text: RECORDS,
    values: [ledger.id, number, after, limit, bytesMax],
  });
  return rows.map(({ number, kind, fields }) => ({ number: Number(number), kind, fields }));
}

/** An SQL expression: the balance after the entry of a side; null where no money moved. */
function balanceAfter(side: 'from' | 'to'): string {
  return `(
    select balance
    from entries
    where entries.ledger_id = $1::integer and entries.account_number = transfers.${side}_account
      and entries.currency = transfers.currency and entries.entry_number = transfers.${side}_entry_number
  )`;
}

function arrayOf(fields: readonly string[]): string {
  return `array[${fields.map((field) => `coalesce((${field})::text, '')`).join(', ')}]`;
}

function toRow(row: JournalColumns): JournalRow {
  return {
    number: row.number,
    settledAt: row.settled_at,
    hash: row.hash,
    previousHash: row.previous_hash,
    digest: row.digest,
    transferCount: row.transfer_count,
    changeCount: row.change_count,
  };
}
