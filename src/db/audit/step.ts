// A step of an audit in many snapshots: what one snapshot shows. Steps of a task follow each other, so that an audit may
// be interrupted after any of them.
import type { End, LedgerNames } from './chain.ts';
import { readAll } from './cursor.ts';
import { type Found, readFound } from './findings.ts';
import type { BlockRange, Check, Counted, Part, Scope } from './rules.ts';
import type { Settings } from './snapshots.ts';
import type { Connection } from '../connection/connect.ts';

/** Where a task stands. Plain data. */
export type Position = {
  /** The last key, block or row of the journal that was audited; null: none. */
  readonly at: string | null;
  /** Of a slice: the hash of that row, which must still be there. Of blocks: the file of their table. */
  readonly hash: string | null;
  readonly done: boolean;
  /** What the steps counted, by names. */
  readonly counts: Readonly<Record<string, number>>;
};

/** The results of one step. They count only if its snapshot was not too long. */
export type Outcome = {
  readonly position: Position;
  readonly found: readonly (readonly [check: string, found: Found])[];
  readonly rows: readonly (readonly [table: Counted, rows: number])[];
  /** How much of the plan is done by it. */
  readonly progress: number;
  /** The heads of the journals, if the step read them, and when. */
  readonly heads?: { readonly heads: readonly End[]; readonly at: string };
};

export type Task = {
  /** Names the task in a saved audit. */
  readonly name: string;
  readonly settings: Settings;
  /** How many items the first step takes, and how many none exceeds. 1: the task has a single step. */
  readonly sizes: { readonly first: number; readonly max: number };
  step(connection: Connection, position: Position, size: number): Promise<Outcome>;
};

export const BEFORE_FIRST: Position = { at: null, hash: null, done: false, counts: {} };

/** The memory that sorts and hashes of one statement may use before they spill to the server's disk. */
const WORK_MEMORY = '64MB';

/**
 * The settings of an audit's snapshot. `byTable`: read the tables, because their indexes may be wrong. `byKey`: look up
 * related rows, instead of joining whole tables by hashing.
 */
export function settingsOf(schema: string, { byTable, byKey }: { byTable: boolean; byKey: boolean }): Settings {
  const indexes = byTable ? 'off' : 'on';
  return {
    // Functions and operators are PostgreSQL's own, even if a schema in the search path has others of the same name.
    search_path: `pg_catalog, ${schema}`,
    // Rows that a policy hides are an error.
    row_security: 'off',
    timezone: 'UTC',
    datestyle: 'ISO',
    work_mem: WORK_MEMORY,
    // Parallel workers would take processors from the service, and need shared memory, which is scarce in containers.
    max_parallel_workers_per_gather: '0',
    jit: 'off',
    enable_indexscan: indexes,
    enable_indexonlyscan: indexes,
    enable_bitmapscan: indexes,
    // Whole tables are joined by hashing and sorting, even if the statistics of a newly filled table suggest otherwise.
    // A short audit looks up rows by key.
    enable_nestloop: byKey ? 'on' : 'off',
  };
}

/** Runs the checks of a part in its scope. */
export async function runChecks(
  connection: Connection,
  checks: readonly Check[],
  scope: Scope,
  part: Part,
): Promise<readonly (readonly [string, Found])[]> {
  const all: (readonly [string, Found])[] = [];
  for (const { name, parts, statements } of checks) {
    if (!parts.includes(part)) continue;
    const found = await collect(connection, statements(scope, part) ?? []);
    all.push(...found.map((one) => [name, one] as const));
  }
  return all;
}

/** So many discrepancies of a statement are enough: more of the same kind tell nothing new. */
const FOUND_MAX = 10_000;

/** The discrepancies that statements select. */
export async function collect(connection: Connection, statements: readonly string[]): Promise<readonly Found[]> {
  const all: Found[] = [];
  for (const statement of statements) {
    const some = `select * from (select * from (${statement}) as selected limit ${FOUND_MAX}) as first`;
    for await (const found of readFound(connection, [some])) all.push(found);
  }
  return all;
}

/**
 * The blocks of a table that follow a position, which has the file of the table as its hash. A table that was rewritten
 * has its rows in other places, so it is read from the beginning.
 */
export async function nextBlocks(
  connection: Connection,
  table: Counted,
  { at, hash }: Position,
  size: number,
): Promise<{ blocks: BlockRange; file: string | null; done: boolean }> {
  const [place] = await readAll(
    connection,
    `select pg_relation_filenode('${table}'), pg_relation_size('${table}') / current_setting('block_size')::bigint`,
  );
  const [file = null, end = null] = place ?? [];
  const isMoved = hash !== null && hash !== file;
  const from = isMoved ? 0 : Number(at ?? 0);
  return { blocks: { from, to: from + size }, file, done: from + size >= Number(end ?? 0) };
}

/** Counts rows of tables in scope. */
export async function countIn(
  connection: Connection,
  tables: readonly (readonly [Counted, string])[],
): Promise<readonly (readonly [Counted, number])[]> {
  const [counts] = await readAll(
    connection,
    `select ${tables.map(([, rows]) => `(select count(*) from ${rows} as counted)`).join(', ')}`,
  );
  return tables.map(([table], index) => [table, Number(counts?.[index] ?? 0)] as const);
}

/** The ledgers in scope, in order of name. */
export async function loadNames(connection: Connection, { ledger }: Scope): Promise<LedgerNames> {
  const rows = await readAll(
    connection,
    `select id, name from ledgers ${ledger === null ? '' : `where id = ${ledger}`} order by name, id`,
  );
  return new Map(rows.map(([id, name]) => [Number(id ?? -1), name ?? '']));
}

/** The schema of the ledger. Throws if there is none. */
export async function findSchema(connection: Connection): Promise<string> {
  const [schema] = await readAll(
    connection,
    `select relnamespace::regnamespace from pg_class where oid = to_regclass('journal_head')`,
  );
  if (!schema) throw new Error('The database has no ledger: start the service once, which creates it.');
  return schema[0] ?? '';
}

/** When the snapshot was taken. */
export async function readInstant(connection: Connection): Promise<string> {
  const [now] = await readAll(connection, `select to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`);
  return now?.[0] ?? '';
}
