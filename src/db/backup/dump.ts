// Writes the books as a backup, from one snapshot, while services use them.
import { to as copyTo } from 'pg-copy-streams';
import {
  connect,
  type Connection,
  type DatabaseSettings,
  type DatabaseTimeouts,
  disconnect,
} from '../connection/connect.ts';
import { isDistributed } from '../connection/distributed.ts';
import { TABLE_RIGHTS } from '../ledger/grants.ts';
import { listMigrations, MIGRATE_LOCK_ID } from '../ledger/migrate.ts';
import { END_OF_ROWS, FORMAT, type Header, Tally } from './format.ts';

/** Written by the migrations, which a restore applies itself. */
const MIGRATIONS = 'migrations';

/** `rows` of a plan are an estimate of the database. */
export type DumpEvent =
  | { readonly type: 'plan'; readonly rows: number }
  | { readonly type: 'table'; readonly table: string }
  | { readonly type: 'rows'; readonly rows: number };

export type DumpOptions = {
  readonly version: string;
  readonly onEvent: (event: DumpEvent) => void;
};

type Table = { readonly name: string; readonly columns: readonly string[]; readonly rows: number };

/**
 * Opens a snapshot of the books and passes their text to `work`. Closes it at the end, or when `signal` aborts.
 */
export async function withDump<Result>(
  database: DatabaseSettings,
  options: DumpOptions,
  { timeouts, signal }: { timeouts: DatabaseTimeouts; signal: AbortSignal },
  work: (texts: AsyncGenerator<string | Buffer>) => Promise<Result>,
): Promise<Result> {
  const connection = await connect(database, timeouts, { applicationName: 'gopherpay backup', readOnly: true });
  const close = () => void disconnect(connection);
  signal.addEventListener('abort', close, { once: true });
  try {
    signal.throwIfAborted();
    if (isDistributed(connection)) await refuseRunning(connection);
    await openSnapshot(connection);
    return await work(dumpBooks(connection, options));
  } finally {
    signal.removeEventListener('abort', close);
    await disconnect(connection);
  }
}

/**
 * Begins the transaction of the backup. It waits for a migration, and a migration waits until the tables are locked. From then on
 * a migration cannot change a table of the snapshot. The lock of migrations is not kept: each start of a service may take it.
 */
async function openSnapshot(connection: Connection): Promise<void> {
  await connection.query('select pg_advisory_lock_shared($1::bigint)', [MIGRATE_LOCK_ID]);
  const schema = await findSchema(connection);
  const tables = await listTables(connection, schema);
  await connection.query('begin transaction isolation level repeatable read, read only');
  // Before the first query, which takes the snapshot: a migration between the two could rewrite a table, and the snapshot
  // would find it empty.
  const names = tables.map(({ name }) => `${connection.escapeIdentifier(schema)}.${connection.escapeIdentifier(name)}`);
  await connection.query(`lock table ${names.join(', ')} in access share mode`);
  await connection.query('select pg_advisory_unlock_shared($1::bigint)', [MIGRATE_LOCK_ID]);
}

/** Several nodes have no snapshot of all of them, so nothing may be written meanwhile. */
async function refuseRunning(connection: Connection): Promise<void> {
  const { rows } = await connection.query('select from heartbeats limit 1');
  if (rows.length === 0) return;
  throw new Error(
    'The books are on several nodes, of which there is no snapshot, and a service uses them: stop every service, and run the backup again.',
  );
}

async function* dumpBooks(connection: Connection, { version, onEvent }: DumpOptions): AsyncGenerator<string | Buffer> {
  const schema = await findSchema(connection);
  const tables = await listTables(connection, schema);
  onEvent({ type: 'plan', rows: tables.reduce((sum, { rows }) => sum + rows, 0) });
  const tally = new Tally();
  const line = (value: Header | { table: string; columns: readonly string[] }): string => {
    const text = `${JSON.stringify(value)}\n`;
    tally.line(text);
    return text;
  };
  yield line(await describe(connection, schema, version));
  for (const { name, columns } of tables) {
    onEvent({ type: 'table', table: name });
    yield line({ table: name, columns });
    const list = columns.map((column) => connection.escapeIdentifier(column)).join(', ');
    const rows = connection.query(
      copyTo(`copy ${connection.escapeIdentifier(schema)}.${connection.escapeIdentifier(name)} (${list}) to stdout`),
    );
    for await (const chunk of rows) {
      if (!Buffer.isBuffer(chunk)) continue;
      onEvent({ type: 'rows', rows: tally.rows(chunk) });
      yield chunk;
    }
    tally.endTable(name);
    yield END_OF_ROWS;
  }
  yield `${JSON.stringify(tally.end())}\n`;
}

/** The schema of the books. */
async function findSchema(connection: Connection): Promise<string> {
  const { rows } = await connection.query<{ schema: string }>(
    `select nspname::text as schema
     from pg_class
     join pg_namespace on pg_namespace.oid = relnamespace
     where pg_class.oid = to_regclass('journal_head')`,
  );
  if (rows[0]) return rows[0].schema;
  throw new Error('The database has no ledger: start the service once, which creates it.');
}

/** The tables of the books that this version of the schema has, in order of name. */
async function listTables(connection: Connection, schema: string): Promise<readonly Table[]> {
  const { rows } = await connection.query<Table>(
    `select relname::text as name, greatest(reltuples, 0)::float8 as rows,
       array(
         select attname::text from pg_attribute
         where attrelid = pg_class.oid and attnum > 0 and not attisdropped
         order by attnum
       ) as columns
     from pg_class
     where relnamespace = (select oid from pg_namespace where nspname = $1::text) and relkind = 'r'
       and relname = any($2::text[])
     order by relname`,
    [schema, Object.keys(TABLE_RIGHTS).filter((table) => table !== MIGRATIONS)],
  );
  return rows;
}

async function describe(connection: Connection, schema: string, version: string): Promise<Header> {
  const migrations = await connection.query<{ name: string }>(
    `select name from ${connection.escapeIdentifier(schema)}.migrations order by id`,
  );
  const heads = await connection.query<{ ledger: string; number: bigint; hash: string }>(
    `select ledgers.name as ledger, number, encode(hash, 'hex') as hash
     from journal_ends
     join ledgers on id = ledger_id
     order by ledgers.name`,
  );
  const names = migrations.rows.map((row) => row.name);
  // Its tables would be missing in the backup.
  const [unknown] = new Set(names).difference(new Set(await listMigrations()));
  if (unknown !== undefined) {
    throw new Error(
      `The database has the migration "${unknown}", which this version of GopherPay does not know: make the backup with the version of the service.`,
    );
  }
  const facts = await connection.query<{ created_at: string; server_version: string }>(
    `select now() as created_at, split_part(current_setting('server_version'), ' ', 1) as server_version`,
  );
  const { created_at = '', server_version = '' } = facts.rows[0] ?? {};
  return {
    format: FORMAT,
    created_at,
    gopherpay_version: version,
    server_version,
    migrations: names,
    heads: heads.rows.map(({ ledger, number, hash }) => ({
      ledger,
      journal_number: Number(number),
      journal_hash: hash,
    })),
  };
}
