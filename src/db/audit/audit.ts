// Audits the books: proves every promise on the stored rows, in one read-only snapshot, so that a service may run
// meanwhile. PostgreSQL does the work on sets, and uses its own disk for large ones. This process receives one row per
// discrepancy and one per journal row, through a cursor, so its memory is bounded. It shares no code with settlement:
// it is a second opinion.
import { type Chain, type ChainFlaw, type Checkpoint, compareHashes, type LedgerNames, openChain } from './chain.ts';
import { readAll } from './cursor.ts';
import { auditEachLedger } from './each-ledger.ts';
import { touchedHolds } from './holds.ts';
import { CHECKS } from './checks.ts';
import { type Found, readFound } from './findings.ts';
import { reversedOriginals } from './money.ts';
import { actsIn, changesIn, type Counted, entriesIn, journalIn, rowsIn, type Scope, transfersIn } from './rules.ts';
import { configure } from './snapshots.ts';
import { findSchema, loadNames, readInstant, settingsOf } from './step.ts';
import {
  connect,
  type Connection,
  type DatabaseSettings,
  type DatabaseTimeouts,
  disconnect,
} from '../connection/connect.ts';
import { isDistributed } from '../connection/distributed.ts';

export type AuditOptions = {
  /** The id of the ledger; null: all ledgers. */
  readonly ledger: number | null;
  /**
   * Audit only what came after this row of the ledger's journal, which was verified earlier; null: everything. Needs a
   * ledger.
   */
  readonly since: bigint | null;
  /** Rows of the journals and the hashes (hexadecimal) that they must have. */
  readonly expect: readonly Checkpoint[];
  /** How many discrepancies of each check are reported; the others are counted. */
  readonly discrepanciesMax: number;
};

/** The audit would begin before the end of archived months. */
export class ArchivedScopeError extends Error {
  readonly journalNumber: bigint;

  constructor(journalNumber: bigint) {
    super(`The months up to row ${journalNumber} of the journal are archived.`);
    this.journalNumber = journalNumber;
  }
}

/** A fact that does not hold. A field is null if it does not apply. */
export type Discrepancy = {
  readonly check: string;
  /** The name of the ledger; `id 7` if there is no ledger with this id. */
  readonly ledger: string | null;
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
  /** How many rows the check read. */
  readonly rows: number;
  readonly discrepancies: number;
  /** Whether the check was skipped, because it is impossible in this scope. */
  readonly skipped: boolean;
};

/** The last row of a ledger's journal in the snapshot. */
export type JournalEnd = {
  readonly ledger: string;
  readonly number: string;
  /** In hexadecimal; 64 zeros for an empty journal, null if `since` names no row. */
  readonly hash: string | null;
  /** How many discrepancies are about this ledger. */
  readonly discrepancies: number;
  /** The row after which this audit began, if it went on from one that had ended. */
  readonly since?: string;
};

export type Verdict = {
  /** Of each ledger in scope, in order of name. */
  readonly journals: readonly JournalEnd[];
  /** When the snapshot was taken, by the database's clock. */
  readonly at: string;
  /** All discrepancies, including those that concern none of these ledgers. */
  readonly discrepancies: number;
  /** Each ledger was read in a snapshot of its own. `at` is that of the first. */
  readonly eachAlone?: true;
};

/** The events of a running audit: first the plan, last the verdict. */
export type AuditEvent =
  | { readonly type: 'plan'; readonly checks: number; readonly rows: number }
  | { readonly type: 'started'; readonly check: string }
  | { readonly type: 'progress'; readonly rows: number }
  | ({ readonly type: 'discrepancy' } & Discrepancy)
  | ({ readonly type: 'check' } & CheckResult)
  | ({ readonly type: 'verdict' } & Verdict);

/** A running check: yields discrepancies, and how many more of its rows are done. Null: the check is skipped. */
type RunningCheck = {
  readonly name: string;
  readonly rows: number;
  readonly run: (() => AsyncGenerator<Found | number>) | null;
};

/**
 * Opens a snapshot of the books and passes the events of their audit to `work`. Closes it at the end, or when `signal`
 * aborts.
 */
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
    if (options.ledger === null && isDistributed(connection))
      return await work(auditEachLedger(connection, options, auditBooks));
    await connection.query('begin transaction isolation level repeatable read, read only');
    return await work(auditBooks(connection, options));
  } finally {
    signal.removeEventListener('abort', close);
    await disconnect(connection);
  }
}

/** Audits the books in the connection's open transaction. Throws if there are none. */
export async function* auditBooks(connection: Connection, options: AuditOptions): AsyncGenerator<AuditEvent> {
  const wanted = scopeOf(options);
  const at = await prepareSession(connection, wanted);
  const scope = await withArchives(connection, wanted);
  const names = await loadNames(connection, scope);
  const counts = await countRows(connection, scope);
  const chain = openChain(connection, scope, names);
  const checks = listChecks(connection, { scope, expect: options.expect, names }, counts, chain);
  yield { type: 'plan', checks: checks.length, rows: checks.reduce((sum, { rows }) => sum + rows, 0) };
  let total = 0;
  const totals = new Map<number, number>();
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
      const { ledger } = found;
      if (ledger !== null) totals.set(ledger, (totals.get(ledger) ?? 0) + 1);
      if (discrepancies > options.discrepanciesMax) continue;
      yield {
        type: 'discrepancy',
        check: name,
        ...found,
        ledger: ledger === null ? null : (names.get(ledger) ?? `id ${ledger}`),
      };
    }
    if (rows > done) yield { type: 'progress', rows: rows - done };
    total += discrepancies;
    yield { type: 'check', check: name, rows, discrepancies, skipped: run === null };
  }
  const journals = [...names].map(([id, ledger]) => {
    const { number, hash } = chain.lastOf(id);
    return { ledger, number: String(number), hash, discrepancies: totals.get(id) ?? 0 };
  });
  yield { type: 'verdict', journals, at, discrepancies: total };
}

/** Row 0 precedes the first row, so the scope after row 0 is the whole journal. */
function scopeOf({ ledger, since }: AuditOptions): Scope {
  const after = since === 0n ? null : since;
  if (ledger !== null) return { ledger, since: after };
  if (after !== null) throw new RangeError('A journal row needs its ledger.');
  return { ledger, since: null };
}

/** Throws if the audit would begin within archived months: only their transfers together imply their entries. */
async function withArchives(connection: Connection, scope: Scope): Promise<Scope> {
  const [row] = await readAll(
    connection,
    `select max(journal_number) from ${rowsIn(scope, 'archived_months')} as archived`,
  );
  const end = row?.[0] ?? null;
  if (end === null) return scope;
  if (scope.since !== null && scope.since < BigInt(end)) throw new ArchivedScopeError(BigInt(end));
  return { ...scope, archived: true };
}

function listChecks(
  connection: Connection,
  { scope, expect, names }: { scope: Scope; expect: readonly Checkpoint[]; names: LedgerNames },
  counts: ReadonlyMap<Counted, number>,
  chain: Chain,
): RunningCheck[] {
  const rowsOf = (tables: readonly Counted[]) => tables.reduce((sum, table) => sum + (counts.get(table) ?? 0), 0);
  const checks: RunningCheck[] = CHECKS.map(({ name, looksAt, others = 0, statements }) => {
    const listed = statements(scope, null);
    return listed === null
      ? { name, rows: 0, run: null }
      : { name, rows: rowsOf(looksAt) + others, run: () => readFound(connection, listed) };
  });
  const found = async function* (flaws: AsyncGenerator<ChainFlaw | number>): AsyncGenerator<Found | number> {
    for await (const flaw of flaws) {
      yield typeof flaw === 'number' ? flaw : { account: null, currency: null, transfer: null, ...flaw };
    }
  };
  checks.push(
    { name: 'journal.chain', rows: rowsOf(['journal', 'transfers']), run: () => found(chain.follow()) },
    { name: 'journal.head', rows: rowsOf(['journal_head']), run: () => found(chain.compareHeads()) },
  );
  if (expect.length > 0) {
    checks.push({
      name: 'journal.expected',
      rows: expect.length,
      run: () => found(compareHashes(connection, expect, names)),
    });
  }
  return checks;
}

/** Prepares the session for an audit, until the end of its transaction, and returns the instant of the snapshot. */
async function prepareSession(connection: Connection, { ledger, since }: Scope): Promise<string> {
  const schema = await findSchema(connection);
  // An audit of all ledgers reads the tables. One of a single ledger uses the indexes, because the tables may have a
  // thousand times as many rows.
  await configure(connection, settingsOf(schema, { byTable: ledger === null, byKey: since !== null }));
  return await readInstant(connection);
}

async function countRows(connection: Connection, scope: Scope): Promise<ReadonlyMap<Counted, number>> {
  const whole = scope.since === null;
  const counted: readonly (readonly [Counted, string])[] = [
    ['ledgers', scope.ledger === null ? 'ledgers' : `(select from ledgers where id = ${scope.ledger})`],
    ['journal_head', rowsIn(scope, 'journal_head')],
    ['accounts', rowsIn(scope, 'accounts')],
    ['account_changes', changesIn(scope)],
    ['transfers', transfersIn(scope)],
    ['entries', entriesIn(scope)],
    ['holds', whole ? rowsIn(scope, 'holds') : touchedHolds(scope)],
    ['reversed_amounts', whole ? rowsIn(scope, 'reversed_amounts') : reversedOriginals(scope)],
    ['journal', journalIn(scope)],
    ['audit_log', actsIn(scope)],
    ['leases', scope.ledger === null ? 'leases' : '(select where false)'],
    ['ledger_leases', rowsIn(scope, 'ledger_leases')],
    ['pending_transfers', rowsIn(scope, 'pending_transfers')],
    ['idempotency_keys', whole ? rowsIn(scope, 'idempotency_keys') : '(select where false)'],
  ];
  const [counts] = await readAll(
    connection,
    `select ${counted.map(([, rows]) => `(select count(*) from ${rows} as counted)`).join(', ')}`,
  );
  return new Map(counted.map(([table], index) => [table, Number(counts?.[index] ?? 0)]));
}
