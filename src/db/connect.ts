// Makes connections: the one place that knows how to reach the database and what every session is set to.
import { Socket } from 'node:net';
import { Client, type ClientBase, type ClientConfig, Pool, TypeOverrides } from 'pg';
import type Cursor from 'pg-cursor';

/** How to reach a database: plain, so that it can be handed to a worker thread. */
export type DatabaseSettings =
  | { connectionString: string }
  | { host: string; port: number; user: string; database: string; password?: string };

/**
 * The bounds of every wait on the database, in milliseconds; 0 is none. The server keeps those of statements, locks and idle
 * transactions. The one of answers is ours, for a server that cannot be heard any more.
 */
export type DatabaseTimeouts = {
  connectTimeoutMs: number;
  statementTimeoutMs: number;
  lockTimeoutMs: number;
  idleInTransactionTimeoutMs: number;
  /** How long a connection that owes an answer may be silent before it counts as dead; longer than a statement may take. */
  answerTimeoutMs: number;
  /** How often a connection that nobody uses is asked whether it lives, and how long it, or any after a silence, has for an answer. */
  proofTimeoutMs: number;
  /** How long a server may take to close a connection that it was told is over. */
  goodbyeTimeoutMs: number;
};

/** For what reads as long as it takes: only connecting and locks are bounded, and keep-alive notices a server that is gone. */
export const READING_TIMEOUTS: DatabaseTimeouts = {
  connectTimeoutMs: 10_000,
  statementTimeoutMs: 0,
  lockTimeoutMs: 10_000,
  idleInTransactionTimeoutMs: 0,
  answerTimeoutMs: 0,
  proofTimeoutMs: 2500,
  goodbyeTimeoutMs: 1000,
};

/** For commands, and the person at the terminal who waits for them: the server may not be silent for ever either. */
export function readingTimeouts(answerTimeoutMs: number): DatabaseTimeouts {
  return { ...READING_TIMEOUTS, answerTimeoutMs };
}

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

/** How often the server looks, in the middle of a statement, whether its caller is still there. */
const CALLER_CHECK_MS = 1000;
/** After how long the server gives up a caller that does not confirm what it is sent, where the caller states no bound. */
const CALLER_SILENT_MS = 20_000;
/** How long a pool keeps a connection that nobody uses. Nothing asks it: after a silence, it should be gone. */
const POOLED_IDLE_MS = 10_000;
/** Connections whose cursor has answered and may be asked for more: nothing is awaited on them, though their statement is not over. */
const pausing = new WeakSet<ClientBase>();
/** Where all connections of the process, in every thread, hear that they must prove that they live. */
const DOUBTS = 'gopherpay doubts';

/** How long the goodbye of each connection may take. */
const goodbyes = new WeakMap<Connection, number>();

/** A connection was given up because it owed an answer and nothing came. */
export class SilenceError extends Error {}

/**
 * What makes the server notice that we are gone without a word, and let go of our locks: unconfirmed bytes and unanswered probes
 * close its side of the connection, and a closed one ends the statement. Over a socket of the same machine only the latter matters.
 */
function vanishingOf({ statementTimeoutMs, answerTimeoutMs }: DatabaseTimeouts): string[] {
  // Where a statement may take as long as it takes, the bound on its answer is far longer than a caller is silent that lives.
  const silentMs = statementTimeoutMs === 0 ? CALLER_SILENT_MS : answerTimeoutMs || CALLER_SILENT_MS;
  const probeSeconds = Math.max(1, Math.round(silentMs / 4000));
  return [
    `client_connection_check_interval=${CALLER_CHECK_MS}`,
    `tcp_user_timeout=${silentMs}`,
    `tcp_keepalives_idle=${probeSeconds}`,
    `tcp_keepalives_interval=${probeSeconds}`,
    'tcp_keepalives_count=3',
  ];
}

function configOf(
  settings: DatabaseSettings,
  timeouts: DatabaseTimeouts,
  options: { applicationName: string; keyed?: boolean },
): ClientConfig {
  const parameters = ['timezone=UTC', 'datestyle=ISO', ...vanishingOf(timeouts), ...(options.keyed ? KEYED : [])];
  return {
    ...settings,
    types,
    application_name: options.applicationName,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: timeouts.connectTimeoutMs,
    statement_timeout: timeouts.statementTimeoutMs,
    lock_timeout: timeouts.lockTimeoutMs,
    idle_in_transaction_session_timeout: timeouts.idleInTransactionTimeoutMs,
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
  goodbyes.set(client, timeouts.goodbyeTimeoutMs);
  watchAnswers(client, timeouts);
  proveWhenDoubted(client, timeouts);
  proveAtRest(client, timeouts);
  return client;
}

/**
 * Destroys the socket of a connection that owes us something and was silent for so long; its statements then fail with an error of
 * the network. It costs no timer for each statement: the socket's own is set back whenever bytes come or go.
 */
function watchAnswers(client: Client, { answerTimeoutMs }: DatabaseTimeouts): void {
  const socket = socketOf(client);
  if (answerTimeoutMs === 0 || socket === null) return;
  socket.setTimeout(answerTimeoutMs);
  // Each time, and not only the first, which is all that a listener handed to setTimeout would hear of.
  socket.on('timeout', () => {
    const { bytesRead } = socket;
    // A process that was held up itself finds the timer first, and then the answer that has long been there.
    setImmediate(() => {
      if (socket.bytesRead !== bytesRead || isAtRest(client, socket) || pausing.has(client)) return;
      socket.destroy(new SilenceError(`The database was silent for ${answerTimeoutMs} ms`));
    });
  });
}

/**
 * Asks a connection that is at rest whether it still lives, and destroys it if there is no answer. Otherwise whoever has work for
 * it next would find out, and wait as long as for an answer, after the network was well again.
 */
function proveAtRest(client: Client, { answerTimeoutMs, proofTimeoutMs }: DatabaseTimeouts): void {
  const socket = socketOf(client);
  if (answerTimeoutMs === 0 || socket === null) return;
  let heard = socket.bytesRead;
  let asked = false;
  const look = (): void => {
    if (socket.bytesRead !== heard) asked = false;
    else if (asked) socket.destroy(silenceAfterProof(proofTimeoutMs));
    else if (isAtRest(client, socket)) {
      asked = true;
      // What fails here is told to whoever uses the connection next.
      client.query('select 1').catch(() => {});
    }
    heard = socket.bytesRead;
  };
  // A process that was held up itself finds the timer first, and then the answer that has long been there.
  const timer = setInterval(() => setImmediate(look), proofTimeoutMs).unref();
  socket.once('close', () => clearInterval(timer));
}

/**
 * Makes all connections of the process prove that they live, those of its threads too: any that gets no byte within `proofTimeoutMs` is given
 * up. For whoever has found that one fell silent, while a new one is answered: the others may have fallen silent with it.
 */
export function doubtConnections(): void {
  const doubts = new BroadcastChannel(DOUBTS);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel of this process has no origin
  doubts.postMessage(null);
  doubts.close();
}

/** Whoever waits for a statement that takes longer than the proof has to ask again: that is the price, and it is paid rarely. */
function proveWhenDoubted(client: Client, { answerTimeoutMs, proofTimeoutMs }: DatabaseTimeouts): void {
  const socket = socketOf(client);
  if (answerTimeoutMs === 0 || socket === null) return;
  const doubts = new BroadcastChannel(DOUBTS);
  doubts.addEventListener('message', () => {
    const { bytesRead } = socket;
    // What fails here is told to whoever uses the connection next.
    if (isAtRest(client, socket)) client.query('select 1').catch(() => {});
    const look = (): void => {
      if (socket.bytesRead === bytesRead) socket.destroy(silenceAfterProof(proofTimeoutMs));
    };
    setTimeout(() => setImmediate(look), proofTimeoutMs).unref();
  });
  doubts.unref();
  socket.once('close', () => doubts.close());
}

function silenceAfterProof(proofTimeoutMs: number): SilenceError {
  return new SilenceError(`The database did not answer within ${proofTimeoutMs} ms`);
}

/** Whether nothing is on its way to the server, and no answer from it. */
function isAtRest(client: Client, socket: Socket): boolean {
  const answered = 'readyForQuery' in client && client.readyForQuery === true;
  return answered && socket.writableLength === 0 && !socket.writableEnded;
}

function socketOf(client: Client): Socket | null {
  const { stream } = client.connection;
  return stream instanceof Socket ? stream : null;
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
    idleTimeoutMillis: POOLED_IDLE_MS,
    connectionTimeoutMillis: timeouts.connectTimeoutMs,
  });
  // Without listeners, a server that goes away takes the process with it: on the pool for idle connections, and on each
  // connection for the time in which somebody has it.
  pool.on('error', () => {});
  pool.on('connect', (client) => {
    client.on('error', () => {});
    watchAnswers(client, timeouts);
    proveWhenDoubted(client, timeouts);
  });
  return pool;
}

/**
 * Reads at most `count` more rows of a cursor; fewer are the last. Whoever reads may take any time until the next call: the bound on
 * answers counts only while this one waits.
 */
export async function readRows<Row>(connection: Connection, cursor: Cursor<Row>, count: number): Promise<Row[]> {
  pausing.delete(connection);
  const rows = await cursor.read(count);
  if (rows.length === count) pausing.add(connection);
  return rows;
}

/** Closes a connection, and does not mind if it is broken already. A server that does not close its side is left to itself. */
export async function disconnect(connection: Connection): Promise<void> {
  const patience = setTimeout(() => socketOf(connection)?.destroy(), goodbyes.get(connection));
  await connection.end().catch(() => {});
  clearTimeout(patience);
}
