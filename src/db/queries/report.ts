// Streams an account's whole history: every transfer that names it, with the account's own entry if there is one. Rows
// come through a cursor in one read-only snapshot, in bounded memory.
import Cursor from 'pg-cursor';
import type { Ledger } from '../../domain/ledger.ts';
import {
  connect,
  type Connection,
  type DatabaseSettings,
  type DatabaseTimeouts,
  disconnect,
} from '../connection/connect.ts';
import { readRows } from '../connection/silence.ts';
import { refuseArchivedEntries } from './archive.ts';
import { roundUp } from './instants.ts';
import { REQUEST_ID } from './transfer-columns.ts';

export type ReportFilter = {
  readonly ledger: Ledger;
  readonly account: string;
  /** Only @external has accounts in several currencies; null means all of them. */
  readonly currency: string | null;
  readonly status: 'pending' | 'completed' | 'failed' | null;
  /** RFC 3339 or a date, on the time of acceptance: `since` inclusive, `until` exclusive. */
  readonly since: string | null;
  readonly until: string | null;
};

/**
 * The columns in the order of the cells. PostgreSQL joins adjacent columns that hold only numbers and words of our own,
 * because the cost of a row in Node depends on its cells: a million rows take 4.9 s with 9 cells, and 5.8 s with 18.
 */
export const REPORT_CELLS = [
  'transfer_id',
  'from_account',
  'to_account',
  'amount,currency,status,failure_code',
  'request_id',
  'description',
  'created_at',
  'completed_at',
  'entry_number,signed_amount,balance_after,kind,parent_id',
] as const;

/** One text per cell, as PostgreSQL renders it; times are RFC 3339. */
export type ReportRow = readonly (string | null)[];

export type Report = {
  /**
   * The account's currency; null if it has none (only transfers name the number) or several (@external). Undefined if
   * there is no account of this number and no transfer names it. The filter has no effect on it.
   */
  currency(): Promise<string | null | undefined>;
  /** The number of rows. It takes a pass over the history, so request it only to show progress. */
  count(): Promise<number>;
  batches(): AsyncGenerator<readonly ReportRow[]>;
};

const BATCH_ROWS = 1000;
const TIMESTAMPTZ = 1184;
const COMMON = (table: string) => `
  ${table}.id, from_account, to_account, ${table}.amount, ${table}.currency`;

const LEDGER = '$6::integer';

const MATCHES = `
    and ($2::text is null or currency = $2::text or currency is null)
    and ($4::timestamptz is null or created_at >= $4::timestamptz)
    and ($5::timestamptz is null or created_at < $5::timestamptz)`;

// The transfers that moved no money: failed ones, and holds and their ends.
const ENTRYLESS = (column: string) => `
  select ${COMMON('transfers')}, status, failure_code, ${REQUEST_ID}, description, created_at,
    completed_at, null::bigint, null::bigint, null::bigint, kind, parent_id, journal_number, journal_position
  from transfers
  where ledger_id = ${LEDGER} and from_entry_number is null and ${column} = $1::text and ($3::text is null or status = $3::text)${MATCHES}`;

const ROWS = `
  select ${COMMON('transfers')}, status, failure_code, ${REQUEST_ID} as request_id, description,
    created_at, completed_at, own.entry_number, own.signed_amount, own.balance_after, kind, parent_id, journal_number,
    journal_position
  from (
    select transfer_id, entry_number, amount as signed_amount, balance as balance_after
    from entries
    where ledger_id = ${LEDGER} and account_number = $1::text and ($2::text is null or currency = $2::text)
  ) as own
  join transfers on transfers.ledger_id = ${LEDGER} and transfers.id = own.transfer_id
  where ($3::text is null or $3::text = 'completed')${MATCHES}
  union all ${ENTRYLESS('from_account')}
  union all ${ENTRYLESS('to_account')}
  union all
  select ${COMMON('pending_transfers')}, 'pending', null, ${REQUEST_ID}, description, created_at, null,
    null, null, null, kind, parent_id, null, null
  from pending_transfers
  where ledger_id = ${LEDGER}
    and (from_account = $1::text or to_account = $1::text) and ($3::text is null or $3::text = 'pending')${MATCHES}`;

// In the order of the journal, which is the order of the account's entries; pending transfers come last.
const HISTORY = `
  select id, from_account, to_account, concat(amount, ',', currency, ',', status, ',', failure_code), request_id, description,
    created_at, completed_at, concat(entry_number, ',', signed_amount, ',', balance_after, ',', kind, ',', parent_id)
  from (${ROWS}) as history
  order by journal_number nulls last, journal_position, id`;

const KNOWN = `
  select (
      select currency
      from accounts
      where ledger_id = $2::integer and account_number = $1::text and account_number not like '@%'
    ) as currency,
    exists (select from accounts where ledger_id = $2::integer and account_number = $1::text)
    or exists (
      select from transfers where ledger_id = $2::integer and from_entry_number is null and from_account = $1::text
    )
    or exists (
      select from transfers where ledger_id = $2::integer and from_entry_number is null and to_account = $1::text
    )
    or exists (
      select from pending_transfers
      where ledger_id = $2::integer and (from_account = $1::text or to_account = $1::text)
    ) as known`;

const types = {
  getTypeParser: (oid: number) =>
    oid === TIMESTAMPTZ ? (text: string) => `${text.slice(0, 10)}T${text.slice(11, -3)}Z` : String,
};

/**
 * Opens a snapshot of an account's history for `work`. Always closes it, and also when `signal` is aborted. Throws an
 * ArchivedError if a part of the history is archived.
 */
export async function withReport<Result>(
  database: DatabaseSettings,
  filter: ReportFilter,
  { timeouts, signal }: { timeouts: DatabaseTimeouts; signal: AbortSignal },
  work: (report: Report) => Promise<Result>,
): Promise<Result> {
  const connection = await connect(database, timeouts, { applicationName: 'gopherpay report', readOnly: true });
  const values = [
    filter.account,
    filter.currency,
    filter.status,
    filter.since && roundUp(filter.since),
    filter.until && roundUp(filter.until),
    filter.ledger.id,
  ];
  const close = () => void disconnect(connection);
  signal.addEventListener('abort', close, { once: true });
  try {
    signal.throwIfAborted();
    await connection.query('begin transaction isolation level repeatable read, read only');
    await refuseArchivedEntries(connection, filter.ledger, filter.since ?? '0001-01-01');
    // The server sorts the history, in memory as long as it fits.
    await connection.query("set local work_mem = '64MB'");
    return await work({
      async currency() {
        const result = await connection.query<{ known: boolean; currency: string | null }>(KNOWN, [
          filter.account,
          filter.ledger.id,
        ]);
        return result.rows[0]?.known === true ? result.rows[0].currency : undefined;
      },
      async count() {
        const result = await connection.query<{ count: bigint }>(`select count(*) from (${ROWS}) as history`, values);
        return Number(result.rows[0]?.count ?? 0);
      },
      batches: () => readBatches(connection, values),
    });
  } finally {
    signal.removeEventListener('abort', close);
    await disconnect(connection);
  }
}

/** The cursor ends with the connection: closing it first would wait forever on a broken connection. */
async function* readBatches(connection: Connection, values: readonly unknown[]): AsyncGenerator<readonly ReportRow[]> {
  const cursor = connection.query(new Cursor<ReportRow>(HISTORY, [...values], { rowMode: 'array', types }));
  const read = async (): Promise<ReportRow[]> => await readRows(connection, cursor, BATCH_ROWS);
  let next = read();
  while (true) {
    const rows = await next;
    if (rows.length === 0) return;
    // The server works on the next batch while this one is written. If the reader stops, the failure of that batch is
    // ignored.
    next = read();
    next.catch(() => {});
    yield rows;
  }
}
