// Makes connections: the only code that knows how to reach the database, and the settings of every session.
import { Socket } from 'node:net';
import { Client, type ClientBase, type ClientConfig, Pool, TypeOverrides } from 'pg';
import type Cursor from 'pg-cursor';
import { type Address, type DatabaseSettings, readAddress } from './address.ts';
import { refuseSharedServers } from './pooler.ts';
import { SessionError } from './errors.ts';
import { type DatabaseTimeouts, prepareSession, type SessionOptions } from './session.ts';
import { explainTls, isVerified } from './tls.ts';

export type { DatabaseSettings, DatabaseTimeouts };

/** For reads without a time limit: only connecting and locks are bounded, and keep-alive detects a lost server. */
export const READING_TIMEOUTS: DatabaseTimeouts = {
  connectTimeoutMs: 10_000,
  statementTimeoutMs: 0,
  lockTimeoutMs: 10_000,
  idleInTransactionTimeoutMs: 0,
  answerTimeoutMs: 0,
  probeTimeoutMs: 2500,
  disconnectTimeoutMs: 1000,
};

/** For commands, where an operator waits at a terminal: a silent server must not block them forever. */
export function readingTimeouts(answerTimeoutMs: number): DatabaseTimeouts {
  return { ...READING_TIMEOUTS, answerTimeoutMs };
}

export type ConnectOptions = SessionOptions & { applicationName: string; pipeline?: boolean };
export type Connection = Client;
export type ConnectionPool = Pool;
/** Anything that can run a statement: a connection, a pool, or a connection borrowed from it. */
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

/**
 * How long a pool keeps an idle connection. Idle connections are not probed, so one should be closed after a silence.
 */
const POOLED_IDLE_MS = 10_000;
/**
 * Connections whose cursor has answered and may be read further. No answer is due on them, though their statement is
 * not over.
 */
const pausing = new WeakSet<ClientBase>();
/** The channel that asks all connections of the process, in every thread, to show that they are alive. */
const SUSPICIONS = 'gopherpay suspicions';

/** How long the disconnection of each connection may take. */
const disconnectTimeouts = new WeakMap<Connection, number>();

/** A connection was abandoned: an answer was due, and none arrived. */
export class SilenceError extends Error {}

/** How long a second connection may wait for the pooler to assign a server. */
const SECOND_SERVER_MS = 2000;

const CLEARTEXT =
  'The database asks for the password in clear text, and is not verified by TLS: let it use scram-sha-256 (password_encryption, pg_hba.conf), or set DB_SSL_MODE=verify-full.';

/** A client that sends the settings of the service to the server, and nothing from the environment. */
class PlainClient extends Client {
  readonly #startup: Readonly<Record<string, string>>;

  constructor({ client, startupOptions }: Address, options: ClientConfig & { applicationName: string }) {
    const { applicationName, ...others } = options;
    super({ ...client, ...others, types, keepAlive: true, keepAliveInitialDelayMillis: 10_000 });
    this.#startup = {
      user: client.user,
      database: client.database,
      application_name: applicationName,
      ...(startupOptions === null ? {} : { options: startupOptions }),
    };
    // Without a listener, a server that disconnects between two statements would end the process. The next statement on
    // the connection fails with the error.
    this.on('error', () => {});
    // A server that asks for the password itself, instead of a proof of it, must be the database beyond doubt. pg answers
    // after this listener, on a connection that sends nothing any more.
    this.connection.on('authenticationCleartextPassword', () => {
      const { stream } = this.connection;
      if (!isVerified(stream)) stream.destroy(new SessionError(CLEARTEXT));
    });
  }

  /**
   * The startup packet. The default of pg would add PGOPTIONS, PGREPLICATION and settings, most of which PgBouncer
   * refuses.
   */
  getStartupConf(): Readonly<Record<string, string>> {
    return this.#startup;
  }
}

/**
 * Opens a connection. `pipeline`: statements are sent without waiting for earlier answers. Throws the error of the
 * server or the network (errors.ts classifies them), or a SessionError if the session lacks settings that the code
 * needs.
 */
export async function connect(
  settings: DatabaseSettings,
  timeouts: DatabaseTimeouts,
  options: ConnectOptions,
): Promise<Connection> {
  const address = readAddress(settings);
  const { applicationName, pipeline = false } = options;
  const client = new PlainClient(address, { applicationName, pipeline });
  let processId: number;
  try {
    processId = await within(client, timeouts.connectTimeoutMs, async () => {
      await client.connect();
      return await prepareSession(client, timeouts, options, address.own);
    });
  } catch (error) {
    const { stream } = client.connection;
    stream.destroy();
    throw explainTls(error, stream);
  }
  disconnectTimeouts.set(client, timeouts.disconnectTimeoutMs);
  watchAnswers(client, timeouts);
  probeOnSuspicion(client, timeouts);
  probeIdle(client, timeouts);
  // A service checks with its first connection, which is not keyed, on behalf of its threads.
  if (!options.keyed && isPooled(client, processId)) await refuseTransactionPooling(client, address, applicationName);
  return client;
}

async function refuseTransactionPooling(client: Client, address: Address, applicationName: string): Promise<void> {
  try {
    await refuseSharedServers(client, async () => await openSecond(address, applicationName));
  } catch (error) {
    await disconnect(client);
    throw error;
  }
}

/** Destroys the connection if `work` on it takes longer than `timeoutMs`; `work` then fails. */
async function within<Result>(client: Client, timeoutMs: number, work: () => Promise<Result>): Promise<Result> {
  const patience = setTimeout(() => client.connection.stream.destroy(new Error('timeout expired')), timeoutMs);
  try {
    return await work();
  } finally {
    clearTimeout(patience);
  }
}

/** Whether the other end of a connection is a pooler: it reports a process id of its own. */
function isPooled(client: Client, processId: number): boolean {
  return !('processID' in client) || client.processID !== processId;
}

/** A connection from a pooler, used to identify the server behind it. */
async function openSecond(address: Address, applicationName: string): Promise<Client> {
  const client = new PlainClient(address, { applicationName, query_timeout: SECOND_SERVER_MS });
  return await within(client, SECOND_SERVER_MS, async () => await client.connect());
}

/**
 * Destroys the socket of a connection that was silent for `answerTimeoutMs` while an answer was due. Its statements
 * then fail with a network error. No statement needs a timer of its own: the socket's timer restarts whenever bytes
 * arrive or leave.
 */
function watchAnswers(client: Client, { answerTimeoutMs }: DatabaseTimeouts): void {
  const socket = socketOf(client);
  if (answerTimeoutMs === 0 || socket === null) return;
  socket.setTimeout(answerTimeoutMs);
  // This listener receives every timeout; a listener passed to setTimeout would receive only the first.
  socket.on('timeout', () => {
    const { bytesRead } = socket;
    // After a stall of this process, its timers run before it reads input, so the answer may already be there.
    setImmediate(() => {
      if (socket.bytesRead !== bytesRead || isIdle(client, socket) || pausing.has(client)) return;
      socket.destroy(new SilenceError(`The database was silent for ${answerTimeoutMs} ms`));
    });
  });
}

/**
 * Probes an idle connection, and destroys it if no answer arrives. Otherwise the next job or intake on it would wait
 * for a whole answer timeout, after the network has healed.
 */
function probeIdle(client: Client, { answerTimeoutMs, probeTimeoutMs }: DatabaseTimeouts): void {
  const socket = socketOf(client);
  if (answerTimeoutMs === 0 || socket === null) return;
  let received = socket.bytesRead;
  let asked = false;
  const look = (): void => {
    if (socket.bytesRead !== received) asked = false;
    else if (asked) socket.destroy(silenceAfterProof(probeTimeoutMs));
    else if (isIdle(client, socket)) {
      asked = true;
      // The next statement on the connection reports the failure.
      client.query('select 1').catch(() => {});
    }
    received = socket.bytesRead;
  };
  // After a stall of this process, its timers run before it reads input, so the answer may already be there.
  const timer = setInterval(() => setImmediate(look), probeTimeoutMs).unref();
  socket.once('close', () => clearInterval(timer));
}

/**
 * Probes all connections of the process, including those of its threads. One that receives no byte within
 * `probeTimeoutMs` is destroyed. Called when one connection fell silent and a new one works: the others may be silent
 * as well.
 */
export function suspectConnections(): void {
  const suspicions = new BroadcastChannel(SUSPICIONS);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel of this process has no origin
  suspicions.postMessage(null);
  suspicions.close();
}

/** A statement that takes longer than the probe is lost and must be repeated; that cost is rare. */
function probeOnSuspicion(client: Client, { answerTimeoutMs, probeTimeoutMs }: DatabaseTimeouts): void {
  const socket = socketOf(client);
  if (answerTimeoutMs === 0 || socket === null) return;
  const suspicions = new BroadcastChannel(SUSPICIONS);
  suspicions.addEventListener('message', () => {
    const { bytesRead } = socket;
    // The next statement on the connection reports the failure.
    if (isIdle(client, socket)) client.query('select 1').catch(() => {});
    const look = (): void => {
      if (socket.bytesRead === bytesRead) socket.destroy(silenceAfterProof(probeTimeoutMs));
    };
    setTimeout(() => setImmediate(look), probeTimeoutMs).unref();
  });
  suspicions.unref();
  socket.once('close', () => suspicions.close());
}

function silenceAfterProof(probeTimeoutMs: number): SilenceError {
  return new SilenceError(`The database did not answer within ${probeTimeoutMs} ms`);
}

/** Whether no statement and no answer is in flight. */
function isIdle(client: Client, socket: Socket): boolean {
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
  const address = readAddress(settings);
  const pool = new Pool({
    Client: class extends PlainClient {
      constructor() {
        super(address, { applicationName: 'gopherpay' });
      }
    },
    max: connectionsMax,
    idleTimeoutMillis: POOLED_IDLE_MS,
    connectionTimeoutMillis: timeouts.connectTimeoutMs,
    // Runs once for each connection, before any statement of a caller.
    verify: (client, report) => {
      const prepare = async () => await prepareSession(client, timeouts, {}, address.own);
      within(client, timeouts.connectTimeoutMs, prepare).then(() => report(), report);
    },
  });
  // Without a listener, a server that ends an idle connection would end the process.
  pool.on('error', () => {});
  pool.on('connect', (client) => {
    watchAnswers(client, timeouts);
    probeOnSuspicion(client, timeouts);
  });
  return pool;
}

/**
 * Reads at most `count` more rows of a cursor; fewer are the last. The reader may take any time until the next call:
 * the answer timeout applies only during a call.
 */
export async function readRows<Row>(connection: Connection, cursor: Cursor<Row>, count: number): Promise<Row[]> {
  pausing.delete(connection);
  const rows = await cursor.read(count);
  if (rows.length === count) pausing.add(connection);
  return rows;
}

/** Closes a connection, even a broken one. Does not wait long for a server that does not close its side. */
export async function disconnect(connection: Connection): Promise<void> {
  const patience = setTimeout(() => socketOf(connection)?.destroy(), disconnectTimeouts.get(connection));
  await connection.end().catch(() => {});
  clearTimeout(patience);
}
