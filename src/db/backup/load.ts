// Loads a backup into an empty database: all of it, or nothing.
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { from as copyFrom } from 'pg-copy-streams';
import {
  connect,
  type Connection,
  type DatabaseSettings,
  type DatabaseTimeouts,
  disconnect,
} from '../connection/connect.ts';
import { type LimitedRoles, refuseMissing, TABLE_RIGHTS } from '../ledger/grants.ts';
import { BackupError, BackupReader, type Header, type Section } from './format.ts';

/**
 * Tables with rows that the migrations wrote. The backup has them, too. No service can start or write while these are
 * locked. The owner has no right to lock final tables, before PostgreSQL 17.
 */
const SEEDED = ['access_state', 'journal_head', 'ledgers'];

export type LoadOptions = {
  /** Webhooks are paused, so that a copy of the books sends nothing. */
  readonly pauseWebhooks: boolean;
  readonly onRows: (rows: number) => void;
};

/** Throws an error of one sentence if the database has books with any row in them, or its server lacks a role. */
export async function refuseTarget(
  owner: DatabaseSettings,
  roles: LimitedRoles,
  timeouts: DatabaseTimeouts,
): Promise<void> {
  const connection = await connect(owner, timeouts, { applicationName: 'gopherpay restore' });
  try {
    await refuseMissing(connection, roles);
    const tables = await listTables(connection);
    if (tables.length > 0) await refuseRows(connection, tables);
  } finally {
    await disconnect(connection);
  }
}

/**
 * Loads the backup into the tables that its migrations made, in one transaction. Throws an error if they have rows, and
 * a BackupError if the backup is not whole. Nothing is loaded then.
 */
export async function loadBooks(
  owner: DatabaseSettings,
  chunks: AsyncIterable<Buffer>,
  options: LoadOptions,
  { timeouts, signal }: { timeouts: DatabaseTimeouts; signal: AbortSignal },
): Promise<void> {
  const connection = await connect(owner, timeouts, { applicationName: 'gopherpay restore' });
  const close = () => void disconnect(connection);
  signal.addEventListener('abort', close, { once: true });
  try {
    signal.throwIfAborted();
    await connection.query('begin');
    const tables = await listTables(connection);
    await connection.query(`lock table ${SEEDED.join(', ')} in access exclusive mode`);
    await refuseRows(connection, tables);
    await removeSeeds(connection);
    const loaded = new Set<string>();
    const load = async (section: Section, rows: AsyncGenerator<Buffer>): Promise<void> => {
      if (!tables.includes(section.table)) throw new BackupError(`has an unknown table ${section.table}`);
      loaded.add(section.table);
      await copy(connection, section, rows, options.onRows);
    };
    await new BackupReader(chunks).read(load);
    const [missing] = tables.filter((table) => !loaded.has(table));
    if (missing !== undefined) throw new BackupError(`lacks the table ${missing}: use another backup`);
    if (options.pauseWebhooks) await pauseWebhooks(connection);
    await connection.query('commit');
  } finally {
    signal.removeEventListener('abort', close);
    await disconnect(connection);
  }
}

/** Without statistics, the first plans of the service would be those of empty tables. */
export async function analyzeBooks(owner: DatabaseSettings, timeouts: DatabaseTimeouts): Promise<void> {
  const connection = await connect(owner, timeouts, { applicationName: 'gopherpay restore' });
  try {
    await connection.query(`analyze ${(await listTables(connection)).join(', ')}`);
  } finally {
    await disconnect(connection);
  }
}

/** Tables that decide what a service does, and that the journals do not cover. */
const UNCOVERED = ['pending_transfers', 'api_keys', 'webhook_endpoints', 'approvals', 'idempotency_keys'];

export type Verified = {
  readonly header: Header;
  readonly rows: number;
  /** How many rows of each table no checkpoint can prove. */
  readonly uncovered: Readonly<Record<string, number>>;
};

/** Reads the whole backup, and loads nothing. Throws a BackupError if it is not whole. */
export async function verifyBackup(chunks: AsyncIterable<Buffer>): Promise<Verified> {
  const { header, tables } = await new BackupReader(chunks).read(async (_, rows) => {
    for await (const _rows of rows);
  });
  const rowsOf = (table: string): number => tables[table]?.rows ?? 0;
  const uncovered = Object.fromEntries(UNCOVERED.map((table) => [table, rowsOf(table)]));
  return { header, rows: Object.keys(tables).reduce((sum, table) => sum + rowsOf(table), 0), uncovered };
}

/** The tables of the books, in order of name; empty if the database has none. */
async function listTables(connection: Connection): Promise<readonly string[]> {
  const { rows } = await connection.query<{ name: string }>(
    `select relname::text as name
     from pg_class
     where relnamespace = (select relnamespace from pg_class where oid = to_regclass('journal_head')) and relkind = 'r'
       and relname = any($1::text[])
     order by relname`,
    [Object.keys(TABLE_RIGHTS).filter((table) => table !== 'migrations')],
  );
  return rows.map((row) => row.name);
}

async function refuseRows(connection: Connection, tables: readonly string[]): Promise<void> {
  const filled = tables.map((table) => {
    const seeds = SEEDED.includes(table) ? 'offset 1' : '';
    return `select '${table}' as name where exists (select from ${table} ${seeds})`;
  });
  const { rows } = await connection.query<{ name: string }>(filled.join(' union all '));
  const [first] = rows;
  if (first) {
    throw new Error(
      `The database has books already (in the table ${first.name}), and a restore never replaces any: name an empty database with DATABASE_URL, or a new folder with DATA_DIR.`,
    );
  }
}

/** Deletes the rows of the migrations. No role may delete from these tables, so the owner has the right for a moment. */
async function removeSeeds(connection: Connection): Promise<void> {
  for (const table of SEEDED) await connection.query(`delete from ${table}`);
}

async function copy(
  connection: Connection,
  { table, columns }: Section,
  rows: AsyncGenerator<Buffer>,
  onRows: LoadOptions['onRows'],
): Promise<void> {
  const list = columns.map((column) => connection.escapeIdentifier(column)).join(', ');
  const target = connection.query(copyFrom(`copy ${connection.escapeIdentifier(table)} (${list}) from stdin`));
  await pipeline(Readable.from(rows, { objectMode: false }), target);
  onRows(target.rowCount);
}

async function pauseWebhooks(connection: Connection): Promise<void> {
  await connection.query(
    `update webhook_endpoints set disabled_reason = 'paused', disabled_at = now() where disabled_reason is null`,
  );
  await connection.query('update webhook_cursors set disabled = true');
}
