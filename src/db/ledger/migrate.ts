// Brings a database to the schema this code knows, and refuses one that is newer.
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import {
  connect,
  type Connection,
  type DatabaseSettings,
  type DatabaseTimeouts,
  disconnect,
} from '../connection/connect.ts';
import { INSUFFICIENT_PRIVILEGE, sqlStateOf, toError } from '../connection/errors.ts';
import { isDistributed } from '../connection/distributed.ts';
import { grantRights, type LimitedRoles } from './grants.ts';
import { placeTables } from './placement.ts';

const MIGRATIONS = fileURLToPath(new URL('../../../migrations', import.meta.url));
/**
 * node-pg-migrate's PG_MIGRATE_LOCK_ID, repeated here so that the package is loaded only if there is something to
 * migrate.
 */
export const MIGRATE_LOCK_ID = 7241865325823964n;
/** Migrations may rewrite tables, and wait for another process that is migrating. */
const TIMEOUTS: DatabaseTimeouts = {
  connectTimeoutMs: 10_000,
  statementTimeoutMs: 600_000,
  lockTimeoutMs: 60_000,
  idleInTransactionTimeoutMs: 60_000,
  answerTimeoutMs: 610_000,
  probeTimeoutMs: 2500,
  disconnectTimeoutMs: 1000,
};
const LOCK_NOT_AVAILABLE = '55P03';

export type MigrateOptions = Partial<Pick<DatabaseTimeouts, 'connectTimeoutMs' | 'lockTimeoutMs'>> & {
  /** Roles that get their rights in the books; by default none. */
  roles?: LimitedRoles;
  /** The migrations that the database must have afterwards: the first ones of this version; by default all. */
  only?: readonly string[];
};

/**
 * `placed`: tables that were placed on the nodes of Citus. `ownsTables`: the role that connected could remove the
 * protection of the books.
 */
export type Migrated = { readonly applied: number; readonly placed: number; readonly ownsTables: boolean };

/**
 * Applies the missing migrations, each once, even if several processes start together, and grants the roles their
 * rights. A role that does not own the tables changes nothing if no migration is missing. Throws an error of one
 * sentence if the session lacks settings that the code needs, or the schema is newer than this code. It also throws if
 * the role may not create tables, or another process has been migrating for `lockTimeoutMs` (60 000).
 */
export async function migrate(settings: DatabaseSettings, options: MigrateOptions = {}): Promise<Migrated> {
  const { roles = { runtime: null, reader: null }, only, ...bounds } = options;
  const timeouts = { ...TIMEOUTS, ...bounds };
  const connection = await connect(settings, timeouts, { applicationName: 'gopherpay migrate' });
  try {
    const schema = await findSchema(connection);
    const wanted = only ?? (await listMigrations());
    const grantsNothing = roles.runtime === null && roles.reader === null;
    let [applied, placed] = [0, 0];
    if (!grantsNothing || (await countMissing(connection, schema, wanted)) > 0) {
      // The same lock that the runner takes, so that no other process migrates between this check and the run. A
      // session may hold it twice; the end of the connection releases it.
      await connection.query('select pg_advisory_lock($1::bigint)', [MIGRATE_LOCK_ID]);
      applied = await applyMissing(connection, schema, wanted);
      if (isDistributed(connection)) placed = await placeTables(connection, schema);
      if (!grantsNothing) await grantRights(connection, schema, roles);
    }
    return { applied, placed, ownsTables: await owns(connection, schema, 'journal_head') };
  } catch (error) {
    throw explain(error, timeouts.lockTimeoutMs);
  } finally {
    await disconnect(connection);
  }
}

/** The names of the migrations of this version, in the order in which they are applied. */
export async function listMigrations(): Promise<readonly string[]> {
  return (await readdir(MIGRATIONS)).map((file) => file.replace(/\.sql$/, '')).toSorted();
}

/** Applies the missing migrations, and returns their number. */
async function applyMissing(connection: Connection, schema: string, wanted: readonly string[]): Promise<number> {
  await makeMigrationsTable(connection, schema);
  const missing = await countMissing(connection, schema, wanted);
  if (missing === 0) return 0;
  // The runner's own error would hold a stack trace and no SQLSTATE.
  if (!(await owns(connection, schema, 'migrations'))) throw mayNotMigrate('it does not own them');
  const { runner } = await import('node-pg-migrate');
  await runner({
    dbClient: connection,
    dir: MIGRATIONS,
    direction: 'up',
    count: missing,
    schema,
    migrationsTable: 'migrations',
    advisoryLockMode: 'wait',
    checkOrder: false,
    logger: { info() {}, warn() {}, error() {} },
  });
  return missing;
}

/** Whether the role of the connection is the owner of a table, a member of it, or a superuser. */
async function owns(connection: Connection, schema: string, table: string): Promise<boolean> {
  const { rows } = await connection.query<{ owns: boolean }>(
    `select pg_has_role(relowner, 'member') as owns
     from pg_class
     where oid = to_regclass(quote_ident($1) || '.' || $2)`,
    [schema, table],
  );
  return rows[0]?.owns ?? false;
}

function mayNotMigrate(why: string, cause?: unknown): Error {
  return new Error(
    `The database lacks tables or rights of this version, and the role may not add them (${why}): run "gopherpay migrate" as the role that owns the database, which DATABASE_OWNER_URL names.`,
    { cause },
  );
}

function explain(error: unknown, lockTimeoutMs: number): unknown {
  switch (sqlStateOf(error)) {
    case INSUFFICIENT_PRIVILEGE:
      return mayNotMigrate(toError(error).message, error);
    case LOCK_NOT_AVAILABLE:
      return new Error(
        `Another process has been migrating the database, or reading tables that must change, for ${lockTimeoutMs / 1000} s: wait until it is done, or end it, and start again.`,
        { cause: error },
      );
    default:
      return error;
  }
}

/**
 * The schema of existing books, otherwise the one where the search path creates tables. Throws an error if there is
 * none.
 */
async function findSchema(connection: Connection): Promise<string> {
  const { rows } = await connection.query<{ schema: string | null; path: string }>(`
    select coalesce(
        (select nspname from pg_namespace where oid = (select relnamespace from pg_class where oid = to_regclass('journal_head'))),
        current_schema()
      )::text as schema,
      current_setting('search_path') as path`);
  const [found] = rows;
  if (typeof found?.schema === 'string') return found.schema;
  throw new Error(
    `The search_path ${found?.path} names no schema of the database that the role may use: create the schema, or correct search_path.`,
  );
}

/** Creates the table as the runner would. */
async function makeMigrationsTable(connection: Connection, schema: string): Promise<void> {
  if (!(await lacksMigrationsTable(connection, schema))) return;
  await connection.query(`
    create table ${connection.escapeIdentifier(schema)}.migrations (
      id serial primary key,
      name varchar(255) not null,
      run_on timestamp not null
    )`);
}

/**
 * How many of the wanted migrations have not been applied. Throws an error of one sentence if the database has another
 * one.
 */
async function countMissing(connection: Connection, schema: string, wanted: readonly string[]): Promise<number> {
  const known = new Set(wanted);
  if (await lacksMigrationsTable(connection, schema)) return known.size;
  const { rows } = await connection.query<{ name: string }>(
    `select name from ${connection.escapeIdentifier(schema)}.migrations order by id`,
  );
  const applied = new Set(rows.map((row) => row.name));
  const [unknown] = applied.difference(known);
  if (unknown === undefined) return known.difference(applied).size;
  throw new Error(
    (await listMigrations()).includes(unknown)
      ? `The database has the migration "${unknown}", which the backup does not have: name an empty database.`
      : `The database has the migration "${unknown}", which this version of GopherPay does not know: start the newer version.`,
  );
}

async function lacksMigrationsTable(connection: Connection, schema: string): Promise<boolean> {
  const found = await connection.query<{ missing: boolean }>(
    `select to_regclass(quote_ident($1) || '.migrations') is null as missing`,
    [schema],
  );
  return found.rows[0]?.missing ?? true;
}
