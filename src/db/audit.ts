// Audits the books: proves every promise on the rows as they are stored, in one read-only snapshot, so that a service may
// be at work meanwhile. PostgreSQL does what needs sets, on its own disk where they are large; what comes here is one row
// per discrepancy and one per row of the journal, through a cursor, so an audit of any length needs the same little memory.
// It shares no code with what settles: it is a second opinion.
import { type Chain, type ChainFlaw, compareHash, openChain } from './audit-chain.ts';
import { readAll, readBatches } from './audit-cursor.ts';
import { HOLD_CHECKS, touchedHolds } from './audit-holds.ts';
import { JOURNAL_CHECKS } from './audit-journal.ts';
import { MONEY_CHECKS, reversedOriginals } from './audit-money.ts';
import { type Counted, entriesIn, journalIn, type Scope, transfersIn } from './audit-rules.ts';
import { SCHEMA_CHECKS } from './audit-schema.ts';
import { STATE_CHECKS } from './audit-states.ts';
import { connect, type Connection, type DatabaseSettings, type DatabaseTimeouts, disconnect } from './connect.ts';

export type AuditOptions = {
  /** Audit only what came after this row of the journal, which was verified earlier; null: everything. */
  readonly since: bigint | null;
  /** A row of the journal and the hash (hexadecimal) that it must have; null: no such row. */
  readonly expect: { readonly number: bigint; readonly hash: string } | null;
  /** How many discrepancies of each check are reported; the others are counted. */
  readonly discrepanciesMax: number;
};

/** What is not as it must be. What it is about is null where it is not about such a thing. */
export type Discrepancy = {
  readonly check: string;
  readonly account: string | null;
  readonly currency: string | null;
  readonly transfer: string | null;
  readonly journal: string | null;
  readonly what: string;
  readonly expected: string | null;
  readonly found: string | null;
};

export type CheckResult = {
  readonly check: string;
  /** How many rows it looked at. */
  readonly rows: number;
  readonly discrepancies: number;
  /** Whether it was left out, because it cannot be made in this scope. */
  readonly skipped: boolean;
};

export type Verdict = {
  /** The last row of the journal in the snapshot, and its hash in hexadecimal; 0 and 64 zeros for an empty journal. The hash is null if `since` names no row. */
  readonly journalNumber: string;
  readonly journalHash: string | null;
  /** When the snapshot was taken, by the database's clock. */
  readonly at: string;
  readonly discrepancies: number;
};

/** What an audit tells while it runs: first the plan, last the verdict. */
export type AuditEvent =
  | { readonly type: 'plan'; readonly checks: number; readonly rows: number }
  | { readonly type: 'started'; readonly check: string }
  | { readonly type: 'progress'; readonly rows: number }
  | ({ readonly type: 'discrepancy' } & Discrepancy)
  | ({ readonly type: 'check' } & CheckResult)
  | ({ readonly type: 'verdict' } & Verdict);

type Found = Omit<Discrepancy, 'check'>;

/** A check at work: yields what it found, and how many more of its rows are done. Null: it is left out. */
type RunningCheck = {
  readonly name: string;
  readonly rows: number;
  readonly run: (() => AsyncGenerator<Found | number>) | null;
};

/** What sorts and hashes of one statement may take of the server's memory before they go to its disk. */
const WORK_MEMORY = '64MB';

/** Opens a snapshot of the books and gives `work` the events of their audit; closes it at the end or when `signal` aborts. */
export async function withAudit<Result>(
  database: DatabaseSettings,
  options: AuditOptions,
  { timeouts, signal }: { timeouts: DatabaseTimeouts; signal: AbortSignal },
  work: (events: AsyncGenerator<AuditEvent>) => Promise<Result>,
): Promise<Result> {
  const connection = await connect(database, timeouts, { applicationName: 'gopherpay audit', readOnly: true });
  const close = () => void disconnect(connection);
  signal.addEventListener('abort', close, { once: true });
  try {
    signal.throwIfAborted();
    await connection.query('begin transaction isolation level repeatable read, read only');
    return await work(auditBooks(connection, options));
  } finally {
    signal.removeEventListener('abort', close);
    await disconnect(connection);
  }
}

/** Audits the books as the connection's open transaction sees them. Throws if they are not there. */
export async function* auditBooks(connection: Connection, options: AuditOptions): AsyncGenerator<AuditEvent> {
  // Row 0 is the one before the first: what came after it is everything.
  const scope: Scope = { since: options.since === 0n ? null : options.since };
  const at = await prepareSession(connection, scope);
  const counts = await countRows(connection, scope);
  const chain = openChain(connection, scope);
  const checks = listChecks(connection, scope, options.expect, counts, chain);
  yield { type: 'plan', checks: checks.length, rows: checks.reduce((sum, { rows }) => sum + rows, 0) };
  let total = 0;
  for (const { name, rows, run } of checks) {
    yield { type: 'started', check: name };
    let discrepancies = 0;
    let done = 0;
    for await (const found of run?.() ?? []) {
      if (typeof found === 'number') {
        done += found;
        yield { type: 'progress', rows: found };
        continue;
      }
      discrepancies += 1;
      if (discrepancies <= options.discrepanciesMax) yield { type: 'discrepancy', check: name, ...found };
    }
    if (rows > done) yield { type: 'progress', rows: rows - done };
    total += discrepancies;
    yield { type: 'check', check: name, rows, discrepancies, skipped: run === null };
  }
  const { number, hash } = chain.last();
  yield { type: 'verdict', journalNumber: String(number), journalHash: hash, at, discrepancies: total };
}

function listChecks(
  connection: Connection,
  scope: Scope,
  expect: AuditOptions['expect'],
  counts: ReadonlyMap<Counted, number>,
  chain: Chain,
): RunningCheck[] {
  const rowsOf = (tables: readonly Counted[]) => tables.reduce((sum, table) => sum + (counts.get(table) ?? 0), 0);
  const checks: RunningCheck[] = [
    ...MONEY_CHECKS,
    ...HOLD_CHECKS,
    ...STATE_CHECKS,
    ...SCHEMA_CHECKS,
    ...JOURNAL_CHECKS,
  ].map(({ name, looksAt, others = 0, statements }) => {
    const listed = statements(scope);
    return listed === null
      ? { name, rows: 0, run: null }
      : { name, rows: rowsOf(looksAt) + others, run: () => runStatements(connection, listed) };
  });
  const found = async function* (flaws: AsyncGenerator<ChainFlaw | number>): AsyncGenerator<Found | number> {
    for await (const flaw of flaws) {
      yield typeof flaw === 'number' ? flaw : { account: null, currency: null, transfer: null, ...flaw };
    }
  };
  checks.push(
    { name: 'journal.chain', rows: rowsOf(['journal', 'transfers']), run: () => found(chain.follow()) },
    { name: 'journal.head', rows: 1, run: () => found(chain.compareHead()) },
  );
  if (expect) checks.push({ name: 'journal.expected', rows: 1, run: () => found(compareHash(connection, expect)) });
  return checks;
}

async function* runStatements(connection: Connection, statements: readonly string[]): AsyncGenerator<Found> {
  for (const statement of statements) {
    const ordered = `${statement} order by journal nulls first, account, currency, transfer, what`;
    for await (const batch of readBatches(connection, ordered)) {
      for (const [account, currency, transfer, journal, what, expected, found] of batch) {
        yield {
          account: account ?? null,
          currency: currency ?? null,
          transfer: transfer ?? null,
          journal: journal ?? null,
          what: what ?? '',
          expected: expected ?? null,
          found: found ?? null,
        };
      }
    }
  }
}

/** Makes the session fit for an audit, for as long as its transaction lasts, and returns the instant of the snapshot. */
async function prepareSession(connection: Connection, { since }: Scope): Promise<string> {
  const whole = since === null;
  const [ledger] = await readAll(
    connection,
    `select relnamespace::regnamespace from pg_class where oid = to_regclass('journal_head')`,
  );
  if (!ledger) throw new Error('The database has no ledger: start the service once, it makes what is missing.');
  const settings: Readonly<Record<string, string>> = {
    // Functions and operators are PostgreSQL's own, even if a schema in the search path has others of the same name.
    search_path: `pg_catalog, ${ledger[0]}`,
    // Rows that a policy hides are an error.
    row_security: 'off',
    timezone: 'UTC',
    datestyle: 'ISO',
    work_mem: WORK_MEMORY,
    // Leaves the other processors to the service, and needs no shared memory, of which containers have little.
    max_parallel_workers_per_gather: '0',
    jit: 'off',
    // An audit of everything reads the tables and not their indexes, which may be what is wrong, and joins them by hashing
    // and sorting, whatever the statistics of a table that has just been filled may say. A short one looks up by key.
    enable_indexscan: whole ? 'off' : 'on',
    enable_indexonlyscan: whole ? 'off' : 'on',
    enable_bitmapscan: whole ? 'off' : 'on',
    enable_nestloop: whole ? 'off' : 'on',
  };
  const [names, values] = [Object.keys(settings), Object.values(settings)];
  await connection.query(
    'select set_config(name, value, true) from unnest($1::text[], $2::text[]) as setting (name, value)',
    [names, values],
  );
  const [now] = await readAll(connection, `select to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`);
  return now?.[0] ?? '';
}

async function countRows(connection: Connection, scope: Scope): Promise<ReadonlyMap<Counted, number>> {
  const whole = scope.since === null;
  const counted: readonly (readonly [Counted, string])[] = [
    ['accounts', 'accounts'],
    ['account_changes', 'account_changes'],
    ['transfers', transfersIn(scope)],
    ['entries', entriesIn(scope)],
    ['holds', whole ? 'holds' : touchedHolds(scope)],
    ['reversed_amounts', whole ? 'reversed_amounts' : reversedOriginals(scope)],
    ['journal', journalIn(scope)],
    ['leases', whole ? 'leases' : '(select where false)'],
    ['pending_transfers', 'pending_transfers'],
    ['idempotency_keys', whole ? 'idempotency_keys' : '(select where false)'],
  ];
  const [counts] = await readAll(
    connection,
    `select ${counted.map(([, rows]) => `(select count(*) from ${rows} as counted)`).join(', ')}`,
  );
  return new Map(counted.map(([table], index) => [table, Number(counts?.[index] ?? 0)]));
}
