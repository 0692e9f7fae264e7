// Makes connections: the one place that knows how to reach the database and what every session is set to.
import pg from 'pg';

/** How to reach a database: plain, so that it can be handed to a worker thread. */
export type DatabaseSettings =
  | { connectionString: string }
  | { host: string; port: number; user: string; database: string; password?: string };

/** The bounds of every wait on the database, in milliseconds. */
export type DatabaseTimeouts = {
  connectTimeoutMs: number;
  statementTimeoutMs: number;
  lockTimeoutMs: number;
};

export type Connection = pg.Client;
export type ConnectionPool = pg.Pool;
/** Whatever can run a statement: a connection, a pool, or a connection borrowed from it. */
export type Queryable = Pick<pg.ClientBase, 'query'>;

const INT8 = 20;
const DATE = 1082;
const TIMESTAMPTZ = 1184;

/** Money and numbers as bigint, instants as RFC 3339 text in UTC with microseconds: nothing is rounded on its way. */
const types: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: 'text' | 'binary') {
    switch (oid) {
      case INT8:
        return BigInt;
      case DATE:
        return String;
      case TIMESTAMPTZ:
        return renderInstant;
      default:
        return pg.types.getTypeParser(oid, format);
    }
  },
};

function renderInstant(text: string): string {
  return `${text.slice(0, 10)}T${text.slice(11, -3)}Z`;
}

function configOf(settings: DatabaseSettings, timeouts: DatabaseTimeouts, applicationName: string): pg.ClientConfig {
  return {
    ...settings,
    types,
    application_name: applicationName,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: timeouts.connectTimeoutMs,
    statement_timeout: timeouts.statementTimeoutMs,
    lock_timeout: timeouts.lockTimeoutMs,
    idle_in_transaction_session_timeout: timeouts.statementTimeoutMs,
    // A generic plan for every prepared statement: all of them are keyed look-ups, and planning one costs as much as running it.
    options: '-c timezone=UTC -c datestyle=ISO -c plan_cache_mode=force_generic_plan',
  };
}

/**
 * Opens a connection. It pipelines if asked to: statements are sent without waiting for the answers to those before.
 * Raises what the server or the network said; see errors.ts for what may be tried again.
 */
export async function connect(
  settings: DatabaseSettings,
  timeouts: DatabaseTimeouts,
  options: { applicationName: string; pipeline?: boolean },
): Promise<Connection> {
  const client = new pg.Client({
    ...configOf(settings, timeouts, options.applicationName),
    pipeline: options.pipeline ?? false,
  });
  // Without a listener, a server that goes away between two statements takes the process with it.
  // Whoever uses the connection next sees it as an error of the statement.
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** A pool for the reads and the account changes of the main process; it connects when first used. */
export function createPool(settings: DatabaseSettings, timeouts: DatabaseTimeouts, connectionsMax: number): ConnectionPool {
  const pool = new pg.Pool({
    ...configOf(settings, timeouts, 'gopherpay'),
    max: connectionsMax,
    idleTimeoutMillis: 60_000,
    connectionTimeoutMillis: timeouts.connectTimeoutMs,
  });
  pool.on('error', () => {});
  return pool;
}

/** Closes a connection, and does not mind if it is broken already. */
export async function disconnect(connection: Connection): Promise<void> {
  await connection.end().catch(() => {});
}

/** Runs `work` in a transaction on a connection of the pool: commits what it returns, rolls back what it throws. */
export async function withTransaction<Result>(
  pool: ConnectionPool,
  work: (connection: Queryable) => Promise<Result>,
): Promise<Result> {
  const connection = await pool.connect();
  let broken: Error | undefined;
  try {
    await connection.query('begin');
    const result = await work(connection);
    await connection.query('commit');
    return result;
  } catch (error) {
    await connection.query('rollback').catch((failure: Error) => {
      broken = failure;
    });
    throw error;
  } finally {
    connection.release(broken);
  }
}
