// Reads the books of a ledger for their export, in one read-only snapshot and in bounded memory: page by page of the
// journal, each with the records that it covers, as the journal's digest has them.
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
import { ArchivedError, loadArchiveEnd } from './archive.ts';
import { journalEnd } from './journal-end.ts';
import { actFields, CHANGE_FIELDS, transferFields } from './record-fields.ts';

/** The rows of the journal to read: after `since`, up to `until`; null: to its end. */
export type BooksRange = { readonly ledger: Ledger; readonly since: bigint; readonly until: bigint | null };

/** What the books are, as PostgreSQL renders it. Times are microseconds since 1970, hashes are hexadecimal. */
export type BooksHead = {
  readonly ledgerId: string;
  readonly createdAt: string;
  readonly clockStart: string | null;
  readonly approvalAbove: string | null;
  readonly currencies: readonly string[];
  /** The last row to read. */
  readonly until: bigint;
  readonly hash: string;
  /** The hash of row `since`; null if there is no such row. */
  readonly previousHash: string | null;
  /** The last row of the journal. */
  readonly last: bigint;
  readonly closedUntil: string | null;
  /** Accepted transfers that are not settled yet, and so are not in the books. */
  readonly pending: number;
};

/** A row of the journal, with the records that it covers. The cells are those of a line. */
export type CoveredRow = {
  readonly number: bigint;
  readonly cells: readonly (string | null)[];
  readonly changes: readonly string[];
  readonly acts: readonly string[];
  readonly transfers: readonly string[];
};

export type BooksSource = {
  readonly head: BooksHead;
  /** In order of the journal, in pages. */
  readonly rows: () => AsyncGenerator<readonly CoveredRow[]>;
  /** The idempotency keys that name something in these rows, in order of key. */
  readonly keys: () => AsyncGenerator<readonly Cells[]>;
  /** The accounts that these rows change, or whose money they move, in order of number and currency. */
  readonly accounts: () => AsyncGenerator<readonly Cells[]>;
  /** The keys of the personal data of all accounts of the ledger: account, currency, key. */
  readonly personalKeys: () => AsyncGenerator<readonly Cells[]>;
};

type Cells = readonly (string | null)[];

/** How many rows of the journal, and about how many records, are read at a time. */
const PAGE_ROWS = 500;
const PAGE_RECORDS = 2000;
const BATCH_ROWS = 1000;

const types = { getTypeParser: () => String };
const micros = (instant: string) => `(extract(epoch from ${instant}) * 1000000)::bigint`;
const hex = (bytes: string) => `encode(${bytes}, 'hex')`;

/** The fields of a record, in the record form. Those of `last` that are null have no field. */
const record = (fields: readonly string[], last: readonly string[] = []) =>
  `concat_ws(chr(31), ${[...fields.map((field) => `coalesce((${field})::text, '')`), ...last].join(', ')}) || chr(30)`;

const HEAD = `
  select ledgers.id, ${micros('ledgers.created_at')}, ${micros('clock_start')}, approval_above, head.number,
    case when isfinite(closed_until) then ${micros('closed_until')} end,
    coalesce(last.number, 0), coalesce(${hex('last.hash')}, repeat('0', 64)),
    case when $2::bigint = 0 then repeat('0', 64) else (
      select ${hex('hash')} from journal where ledger_id = $1::integer and number = $2::bigint
    ) end,
    (select count(*) from pending_transfers where ledger_id = $1::integer),
    (
      select string_agg(distinct currency, ',' order by currency)
      from account_changes
      where ledger_id = $1::integer and journal_number <= last.number
    )
  from ledgers
  cross join ${journalEnd('$1::integer')} as head
  left join journal as last on last.ledger_id = $1::integer and last.number = least($3::bigint, head.number)
  where ledgers.id = $1::integer`;

const ROWS = `
  select number, ${micros('settled_at')}, transfer_count, intake_count, change_count, ${hex('digest')}, ${hex('previous_hash')},
    ${hex('hash')}
  from journal
  where ledger_id = $1::integer and number > $2::bigint and number <= $3::bigint
  order by number
  limit ${PAGE_ROWS}`;

const CHANGES = `
  select journal_number, ${record(CHANGE_FIELDS)}
  from account_changes
  where ledger_id = $1::integer and journal_number > $2::bigint and journal_number <= $3::bigint
  order by journal_number, account_number, currency, change_number`;

const ACTS = `
  select journal_number, ${record(actFields(micros('at')))}
  from audit_log
  where ledger_id = $1::integer and journal_number > $2::bigint and journal_number <= $3::bigint
  order by journal_number, id`;

const RECORD_FIELDS = transferFields({
  createdAt: micros('created_at'),
  fromBalance: 'from_balance',
  toBalance: 'to_balance',
});

// Each entry is a look-up by key: a plan that joins whole tables would read them once for each page.
const balanceAfter = (side: string) => `(
      select balance
      from entries
      where entries.ledger_id = $1::integer and account_number = transfers.${side}_account
        and entries.currency = transfers.currency and entry_number = transfers.${side}_entry_number
    ) as ${side}_balance`;

const TRANSFERS = `
  select journal_number, ${record(RECORD_FIELDS, ['rate', `'remote:' || remote_account`])}
  from (
    select *, ${balanceAfter('from')}, ${balanceAfter('to')}
    from transfers
    where ledger_id = $1::integer and journal_number > $2::bigint and journal_number <= $3::bigint
  ) as covered
  order by journal_number, journal_position`;

// A key has no number of the journal: it belongs to the row of what it names.
const KEYS = `
  select key, transfer_id, account_number, ${micros('clock')}, ${hex('fingerprint')}, ${hex('personal_fingerprint')},
    ${micros('created_at')}
  from idempotency_keys as named
  where ledger_id = $1::integer
    and coalesce(
      (select journal_number from transfers where ledger_id = $1::integer and id = named.transfer_id),
      (select min(journal_number) from transfers where ledger_id = $1::integer and group_id = named.transfer_id),
      (
        select min(journal_number)
        from account_changes
        where ledger_id = $1::integer and account_number = named.account_number
      ),
      (select min(number) from journal where ledger_id = $1::integer and settled_at >= named.clock)
    ) between $2::bigint + 1 and $3::bigint
  order by key`;

const TOUCHED = `
  select account_number, currency
  from account_changes
  where ledger_id = $1::integer and journal_number > $2::bigint and journal_number <= $3::bigint
  union
  select unnest(array[from_account, to_account]), currency
  from transfers
  where ledger_id = $1::integer and journal_number > $2::bigint and journal_number <= $3::bigint
    and status = 'completed'`;

/** What the account's own row has, at the end of the journal. */
const MONEY_NOW = {
  balance: 'accounts.balance',
  held: 'accounts.held',
  entryCount: 'accounts.entry_count',
};

const lastEntry = (column: string) => `
      select ${column}
      from entries
      where ledger_id = $1::integer and entries.account_number = accounts.account_number
        and entries.currency = accounts.currency and journal_number <= $3::bigint
      order by entry_number desc
      limit 1`;

/** The same as of an earlier row. */
const MONEY_THEN = {
  balance: `coalesce((${lastEntry('balance')}), 0)`,
  entryCount: `coalesce((${lastEntry('entry_number')}), 0)`,
  held: `(
      select coalesce(sum(hold.amount - coalesce(parts.amount, 0)), 0)
      from transfers as hold
      cross join lateral (
        select case when bool_or(kind <> 'capture' or final_capture) then hold.amount else sum(amount) end as amount
        from transfers as part
        where part.ledger_id = $1::integer and part.parent_id = hold.id and part.status = 'completed'
          and part.journal_number <= $3::bigint
      ) as parts
      where hold.ledger_id = $1::integer and hold.from_account = accounts.account_number
        and hold.from_entry_number is null and hold.kind = 'hold' and hold.status = 'completed'
        and hold.currency = accounts.currency and hold.journal_number <= $3::bigint
    )`,
};

// The fields of an account are stored as they are now: of one that changed later, only the seal of that time is known.
const ACCOUNTS = ({ balance, held, entryCount }: typeof MONEY_NOW) => {
  const sealed = (field: string) => `case when changes.is_last then ${field} end`;
  return `
  select accounts.account_number, accounts.currency, ${sealed('status')}, ${sealed(hex('personal_data'))},
    ${sealed('overdraft_limit')}, ${sealed('metadata')}, ${sealed(micros('created_at'))}, changes.number, ${balance}, ${held},
    ${entryCount}
  from accounts
  join (${TOUCHED}) as touched using (account_number, currency)
  cross join lateral (
    select max(change_number) filter (where journal_number <= $3::bigint) as number,
      max(journal_number) <= $3::bigint as is_last
    from account_changes as change
    where change.ledger_id = $1::integer and change.account_number = accounts.account_number
      and change.currency = accounts.currency
  ) as changes
  where accounts.ledger_id = $1::integer
  order by accounts.account_number, accounts.currency`;
};

const PERSONAL_KEYS = `
  select account_number, currency, ${hex('key')}
  from personal_keys
  where ledger_id = $1::integer
  order by account_number, currency`;

/**
 * Opens a snapshot of the books for `work`. Always closes it, and also when `signal` is aborted. Throws an ArchivedError if a
 * part of the range is archived.
 */
export async function withBooks<Result>(
  database: DatabaseSettings,
  range: BooksRange,
  { timeouts, signal }: { timeouts: DatabaseTimeouts; signal: AbortSignal },
  work: (books: BooksSource) => Promise<Result>,
): Promise<Result> {
  const connection = await connect(database, timeouts, { applicationName: 'gopherpay export', readOnly: true });
  const close = () => void disconnect(connection);
  signal.addEventListener('abort', close, { once: true });
  try {
    signal.throwIfAborted();
    await connection.query('begin transaction isolation level repeatable read, read only');
    const archive = await loadArchiveEnd(connection, range.ledger);
    if (archive !== null && range.since < archive.journalNumber) throw new ArchivedError(archive);
    const head = await readHead(connection, range);
    const values = [range.ledger.id, range.since, head.until];
    return await work({
      head,
      rows: () => readRowsOf(connection, range, head.until),
      keys: () => readBatches(connection, KEYS, values),
      accounts: () => readBatches(connection, ACCOUNTS(head.until < head.last ? MONEY_THEN : MONEY_NOW), values),
      personalKeys: () => readBatches(connection, PERSONAL_KEYS, [range.ledger.id]),
    });
  } finally {
    signal.removeEventListener('abort', close);
    await disconnect(connection);
  }
}

async function readHead(connection: Connection, { ledger, since, until }: BooksRange): Promise<BooksHead> {
  const [row = []] = await readCells(connection, HEAD, [ledger.id, since, until]);
  const [id, createdAt, clockStart = null, approvalAbove = null, last, closedUntil = null, number, hash, ...others] =
    row;
  const [previousHash = null, pending, currencies] = others;
  return {
    ledgerId: id ?? '',
    createdAt: createdAt ?? '',
    clockStart,
    approvalAbove,
    currencies: currencies?.split(',') ?? [],
    until: BigInt(number ?? 0),
    hash: hash ?? '',
    previousHash,
    last: BigInt(last ?? 0),
    closedUntil,
    pending: Number(pending ?? 0),
  };
}

async function readCells(connection: Connection, text: string, values: unknown[]): Promise<readonly Cells[]> {
  return (await connection.query<(string | null)[]>({ text, values, rowMode: 'array', types })).rows;
}

/** The server reads the next page while one is written. */
async function* readRowsOf(
  connection: Connection,
  { ledger, since }: BooksRange,
  until: bigint,
): AsyncGenerator<readonly CoveredRow[]> {
  let next = readPage(connection, [ledger.id, since, until]);
  while (true) {
    const page = await next;
    const last = page.at(-1);
    if (!last) return;
    next = readPage(connection, [ledger.id, last.number, until]);
    next.catch(() => {});
    yield page;
  }
}

/** Rows of the journal after the second value, up to the third: at least one, if there is one. */
async function readPage(connection: Connection, [ledger, after, until]: unknown[]): Promise<readonly CoveredRow[]> {
  const found = await readCells(connection, ROWS, [ledger, after, until]);
  let records = 0;
  const rows = found.filter(([, , transfers, , changes], index) => {
    records += Number(transfers) + Number(changes);
    return index === 0 || records <= PAGE_RECORDS;
  });
  const last = rows.at(-1)?.[0] ?? null;
  if (last === null) return [];
  const recordsOf = async (text: string): Promise<ReadonlyMap<string, string[]>> => {
    const groups = new Map<string, string[]>();
    for (const [number, record] of await readCells(connection, text, [ledger, after, last])) {
      const group = groups.get(number ?? '') ?? [];
      group.push(record ?? '');
      groups.set(number ?? '', group);
    }
    return groups;
  };
  const changes = await recordsOf(CHANGES);
  const acts = await recordsOf(ACTS);
  const transfers = await recordsOf(TRANSFERS);
  return rows.map((cells) => {
    const number = cells[0] ?? '';
    const of = (records: ReadonlyMap<string, string[]>) => records.get(number) ?? [];
    return { number: BigInt(number), cells, changes: of(changes), acts: of(acts), transfers: of(transfers) };
  });
}

/** The cursor ends with the transaction. */
async function* readBatches(
  connection: Connection,
  statement: string,
  values: readonly unknown[],
): AsyncGenerator<readonly Cells[]> {
  const cursor = connection.query(new Cursor<Cells>(statement, [...values], { rowMode: 'array', types }));
  while (true) {
    const rows = await readRows(connection, cursor, BATCH_ROWS);
    if (rows.length === 0) return;
    yield rows;
  }
}
