// Makes connections: the one place that knows how to reach the database and what every session is set to.
import { Client, type ClientBase, type ClientConfig, Pool, TypeOverrides } from 'pg';

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

export type Connection = Client;
export type ConnectionPool = Pool;
/** Whatever can run a statement: a connection, a pool, or a connection borrowed from it. */
export type Queryable = Pick<ClientBase, 'query'>;

const INT8 = 20;
const DATE = 1082;
const TIMESTAMPTZ = 1184;

/** Money and numbers as bigint, instants as RFC 3339 text in UTC with microseconds: nothing is rounded on its way. */
const types = new TypeOverrides();
types.setTypeParser(INT8, BigInt);
types.setTypeParser(DATE, String);
types.setTypeParser(TIMESTAMPTZ, renderInstant);

function renderInstant(text: string): string {
  return `${text.slice(0, 10)}T${text.slice(11, -3)}Z`;
}

// The threads and intake run nothing but look-ups by key. A generic plan saves planning each time, and without these a plan
// made while the tables were empty would read them whole when they no longer are.
const KEYED = [
  'plan_cache_mode=force_generic_plan',
  'enable_seqscan=off',
  'enable_bitmapscan=off',
  'enable_hashjoin=off',
  'enable_mergejoin=off',
];

function configOf(
  settings: DatabaseSettings,
  timeouts: DatabaseTimeouts,
  options: { applicationName: string; keyed?: boolean },
): ClientConfig {
  const parameters = ['timezone=UTC', 'datestyle=ISO', ...(options.keyed ? KEYED : [])];
  return {
    ...settings,
    types,
    application_name: options.applicationName,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: timeouts.connectTimeoutMs,
    statement_timeout: timeouts.statementTimeoutMs,
    lock_timeout: timeouts.lockTimeoutMs,
    idle_in_transaction_session_timeout: timeouts.statementTimeoutMs,
    options: parameters.map((parameter) => `-c ${parameter}`).join(' '),
  };
}

/**
 * Opens a connection. `pipeline`: statements are sent without waiting for the answers to those before. `keyed`: every
 * statement is a look-up by key. Raises what the server or the network said; see errors.ts for what may be tried again.
 */
export async function connect(
  settings: DatabaseSettings,
  timeouts: DatabaseTimeouts,
  options: { applicationName: string; pipeline?: boolean; keyed?: boolean },
): Promise<Connection> {
  const client = new Client({
    ...configOf(settings, timeouts, options),
    pipeline: options.pipeline ?? false,
  });
  // Without a listener, a server that goes away between two statements takes the process with it.
  // Whoever uses the connection next sees it as an error of the statement.
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** A pool for the reads and the account changes of the main process; it connects when first used. */
export function createPool(
  settings: DatabaseSettings,
  timeouts: DatabaseTimeouts,
  connectionsMax: number,
): ConnectionPool {
  const pool = new Pool({
    ...configOf(settings, timeouts, { applicationName: 'gopherpay' }),
    max: connectionsMax,
    idleTimeoutMillis: 60_000,
    connectionTimeoutMillis: timeouts.connectTimeoutMs,
  });
  // Without listeners, a server that goes away takes the process with it: on the pool for idle connections, and on each
  // connection for the time in which somebody has it.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
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
