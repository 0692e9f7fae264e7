// Brings a database to the schema this code knows, and refuses one that is newer.
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import { connect, type DatabaseSettings, type DatabaseTimeouts, disconnect } from './connect.ts';

const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url));
const SERVER_VERSION_MIN = 15;
/** Migrations may rewrite tables, and wait for another process that is migrating. */
const TIMEOUTS: DatabaseTimeouts = {
  connectTimeoutMs: 10_000,
  statementTimeoutMs: 600_000,
  lockTimeoutMs: 60_000,
  idleInTransactionTimeoutMs: 60_000,
  answerTimeoutMs: 610_000,
};

/**
 * Applies the migrations that the database has not seen, each once, also if several processes start together.
 * Throws if the server is older than PostgreSQL 15, or the schema newer than this code.
 */
export async function migrate(settings: DatabaseSettings): Promise<void> {
  const connection = await connect(settings, TIMEOUTS, { applicationName: 'gopherpay migrate' });
  try {
    const server = await connection.query<{ version: string }>('show server_version_num');
    const version = await connection.query<{ server_version: string }>('show server_version');
    if (Number(Object.values(server.rows[0] ?? {})[0]) < SERVER_VERSION_MIN * 10_000) {
      throw new Error(
        `The server is PostgreSQL ${version.rows[0]?.server_version}; GopherPay needs ${SERVER_VERSION_MIN} or newer.`,
      );
    }
    await runner({
      dbClient: connection,
      dir: MIGRATIONS,
      direction: 'up',
      migrationsTable: 'migrations',
      advisoryLockMode: 'wait',
      checkOrder: false,
      logger: { info() {}, warn() {}, error() {} },
    });
    const known = new Set((await readdir(MIGRATIONS)).map((file) => file.replace(/\.sql$/, '')));
    const applied = await connection.query<{ name: string }>('select name from migrations order by id');
    const unknown = applied.rows.find((row) => !known.has(row.name));
    if (unknown) {
      throw new Error(
        `The database has the migration "${unknown.name}", which this version of GopherPay does not know: start the newer version.`,
      );
    }
  } finally {
    await disconnect(connection);
  }
}
