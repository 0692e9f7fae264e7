// Makes connections: the only code that knows how to reach the database, and the settings of every session.
import { Client, type ClientBase, type ClientConfig, Pool, type PoolClient, type PoolConfig, TypeOverrides } from 'pg';
import { type Address, type DatabaseSettings, type HostAddress, nameOfHost, readAddress } from './address.ts';
import { type HostFailure, HostsError, isPoolBusy, SessionError, toError } from './errors.ts';
import { type Target, isOfReaders } from './hosts.ts';
import { sendTogether } from './batch.ts';
import { markDistributed } from './distributed.ts';
import {
  avoidHost,
  dueLook,
  hostInUse,
  hostsInTurn,
  leaveFormerPrimary,
  noteTimeline,
  preferHost,
  refuseFormerPrimary,
} from './known-hosts.ts';
import { isPooled, refuseSharedServers } from './pooler.ts';
import {
  type DatabaseTimeouts,
  prepareSession,
  type PreparedSession,
  readTimeline,
  type SessionOptions,
} from './session.ts';
import { awaitConfirmation, endWithUnreplicated, refuseUnreplicated } from './replication.ts';
import { probeIdle, probeOnSuspicion, socketOf, watchAnswers } from './silence.ts';
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
/** How long the disconnection of each connection may take. */
const disconnectTimeouts = new WeakMap<Connection, number>();

/** The host that took the last session; before the first one, the first that the settings name. */
export function addressInUse(settings: DatabaseSettings): HostAddress {
  return hostInUse(readAddress(settings));
}

/** Where the database is, without the user and the password. */
export function placeOf(settings: DatabaseSettings): { readonly host: string; readonly name: string } {
  const host = addressInUse(settings);
  return { host: nameOfHost(host), name: host.database };
}

/** The hosts that the settings name, for people, and the one in use now. */
export function hostsOf(settings: DatabaseSettings): { readonly names: readonly string[]; inUse(): string } {
  const address = readAddress(settings);
  return { names: address.hosts.map(nameOfHost), inUse: () => nameOfHost(hostInUse(address)) };
}

/** How long another host may take to say whether it is a newer primary. */
const LOOK_MS = 1000;

/** How long a second connection may wait for the pooler to assign a server. */
const SECOND_SERVER_MS = 2000;

const CLEARTEXT =
  'The database asks for the password in clear text, and is not verified by TLS: let it use scram-sha-256 (password_encryption, pg_hba.conf), or set DB_SSL_MODE=verify-full.';

/** A client that sends the settings of the service to the server, and nothing from the environment. */
class PlainClient extends Client {
  readonly #startup: Readonly<Record<string, string>>;

  constructor(
    host: HostAddress,
    { startupOptions }: Address,
    options: ClientConfig & { readonly applicationName: string },
  ) {
    const { applicationName, ...others } = options;
    super({ ...host, ...others, types, keepAlive: true, keepAliveInitialDelayMillis: 10_000 });
    this.#startup = {
      user: host.user,
      database: host.database,
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
    refuseUnreplicated(this);
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
 * Opens a connection. `pipeline`: statements are sent without waiting for earlier answers, see batch.ts. Tries the hosts of the
 * settings in turn, all within the timeout. Throws the error of the server or the network (errors.ts classifies them),
 * or a SessionError if the session lacks settings that the code needs.
 */
export async function connect(
  settings: DatabaseSettings,
  timeouts: DatabaseTimeouts,
  options: ConnectOptions,
): Promise<Connection> {
  const address = readAddress(settings);
  const candidates = candidatesOf(address, options);
  const deadline = performance.now() + timeouts.connectTimeoutMs;
  const failures: HostFailure[] = [];
  for (const [index, { host, target }] of candidates.entries()) {
    // A host that does not answer leaves a share of the time to each of the others.
    const connectTimeoutMs = (deadline - performance.now()) / (candidates.length - index);
    try {
      return await connectTo(host, { address, timeouts: { ...timeouts, connectTimeoutMs }, options, target });
    } catch (error) {
      failures.push({ host: nameOfHost(host), error });
    }
  }
  throw HostsError.of(failures);
}

type Candidate = { readonly host: HostAddress; readonly target: Target };

/** The hosts to try, and what is wanted of each. */
function candidatesOf(address: Address, { readOnly = false }: ConnectOptions): readonly Candidate[] {
  const { target } = address;
  if (!readOnly && isOfReaders(target)) {
    throw new SessionError(
      `The setting DATABASE_URL asks for a server that only reads (target_session_attrs=${target}), and this must write: ask for read-write there, and for a standby in DATABASE_READER_URL.`,
    );
  }
  const wanted = (target: Target): Candidate[] => hostsInTurn(address).map((host) => ({ host, target }));
  return readOnly && target === 'prefer-standby' ? [...wanted('standby'), ...wanted('any')] : wanted(target);
}

async function connectTo(
  host: HostAddress,
  parts: { address: Address; timeouts: DatabaseTimeouts; options: ConnectOptions; target: Target },
): Promise<Connection> {
  const { address, timeouts, options, target } = parts;
  const { applicationName, pipeline = false } = options;
  const client = new PlainClient(host, address, { applicationName, pipeline });
  let session: PreparedSession;
  try {
    session = await within(client, timeouts.connectTimeoutMs, async () => {
      await client.connect();
      return await prepare(client, { host, address, timeouts, options: { ...options, target } });
    });
  } catch (error) {
    const { stream } = client.connection;
    stream.destroy();
    throw explainTls(error, stream);
  }
  if (pipeline) sendTogether(client, timeouts);
  disconnectTimeouts.set(client, timeouts.disconnectTimeoutMs);
  watchAnswers(client, timeouts);
  probeOnSuspicion(client, timeouts);
  probeIdle(client, timeouts);
  // A service checks with its first connection, which is not keyed, on behalf of its threads.
  if (!options.keyed && isPooled(client, session.processId)) {
    await refuseTransactionPooling(client, async () => await openSecond(host, address, applicationName));
  }
  return client;
}

/** Prepares the session of a new connection, and notes what it tells of its host. */
async function prepare(
  client: Client,
  parts: { host: HostAddress; address: Address; timeouts: DatabaseTimeouts; options: SessionOptions },
): Promise<PreparedSession> {
  const { host, address, timeouts, options } = parts;
  const several = address.hosts.length > 1;
  // First, so that no commit becomes unreplicated unnoticed meanwhile.
  if (!options.readOnly) endWithUnreplicated(client);
  const session = await prepareSession(client, timeouts, { ...options, several }, address.own);
  // A former primary would have the session wait for its former standby.
  if (!options.readOnly && session.timeline !== null) refuseFormerPrimary(address, session.timeline);
  if (session.replicatedRun !== null && !options.readOnly) {
    await confirmReplication(client, { host, address, timeouts, run: session.replicatedRun });
  }
  if (several && !options.readOnly) {
    const due = dueLook(address);
    const looking =
      due === 'none' ? null : lookAtOthers(host, address, Math.min(LOOK_MS, timeouts.connectTimeoutMs / 2));
    if (due === 'first') await looking;
    leaveFormerPrimary(client, { host, address, timeline: session.timeline });
    preferHost(address, host);
  }
  if (session.hasCitus) markDistributed(client);
  return session;
}

/** Waits until what the session can read is on a synchronous standby as well. */
async function confirmReplication(
  client: Client,
  parts: { host: HostAddress; address: Address; timeouts: DatabaseTimeouts; run: string },
): Promise<void> {
  const { host, address, timeouts, run } = parts;
  await awaitConfirmation(client, `${nameOfHost(host)}/${host.database} since ${run}`, async () => {
    const second = new PlainClient(host, address, { applicationName: 'gopherpay replication' });
    return await within(second, timeouts.connectTimeoutMs, async () => await second.connect());
  });
}

/** Finds a primary on a newer timeline among the other hosts. Hosts that do not answer soon are passed over. */
async function lookAtOthers(own: HostAddress, address: Address, timeoutMs: number): Promise<void> {
  const look = async (host: HostAddress): Promise<void> => {
    const client = new PlainClient(host, address, { applicationName: 'gopherpay look' });
    try {
      const timeline = await within(client, timeoutMs, async () => {
        await client.connect();
        return await readTimeline(client);
      });
      if (timeline !== null) noteTimeline(address, host, timeline);
    } catch {
      // It is away, or refuses sessions now.
    } finally {
      client.connection.stream.destroy();
    }
  };
  await Promise.all(address.hosts.filter((host) => host !== own).map(look));
}

async function refuseTransactionPooling(client: Client, open: () => Promise<Client>): Promise<void> {
  try {
    await refuseSharedServers(client, open);
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

/** A connection from a pooler, used to identify the server behind it. */
async function openSecond(host: HostAddress, address: Address, applicationName: string): Promise<Client> {
  const client = new PlainClient(host, address, { applicationName, query_timeout: SECOND_SERVER_MS });
  return await within(client, SECOND_SERVER_MS, async () => await client.connect());
}

/** A pool for the reads and the account changes of the main process; it connects when first used. */
export function createPool(
  settings: DatabaseSettings,
  timeouts: DatabaseTimeouts,
  connectionsMax: number,
): ConnectionPool {
  const address = readAddress(settings);
  const shareMs = Math.ceil(timeouts.connectTimeoutMs / address.hosts.length);
  const hostOf = new WeakMap<ClientBase, HostAddress>();
  const pool = new HostPool(address, {
    Client: class extends PlainClient {
      constructor() {
        const host = hostInUse(address);
        const bound = address.hosts.length === 1 ? {} : { connectionTimeoutMillis: shareMs };
        super(host, address, { applicationName: 'gopherpay', ...bound });
        hostOf.set(this, host);
      }
    },
    max: connectionsMax,
    idleTimeoutMillis: POOLED_IDLE_MS,
    connectionTimeoutMillis: timeouts.connectTimeoutMs,
    // Runs once for each connection, before any statement of a caller.
    verify: (client, report) => {
      const host = hostOf.get(client) ?? address.hosts[0];
      const work = async () => {
        const { hasCitus } = await prepare(client, { host, address, timeouts, options: {} });
        if (hasCitus) markDistributed(pool);
      };
      within(client, shareMs, work).then(() => report(), report);
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

type PoolCallback = (
  error: Error | undefined,
  client: PoolClient | undefined,
  done: (release?: boolean | Error) => void,
) => void;

/** A pool that tries the hosts in turn. With one host it is a pool of pg. */
class HostPool extends Pool {
  readonly #address: Address;

  constructor(address: Address, options: PoolConfig) {
    super(options);
    this.#address = address;
  }

  override connect(): Promise<PoolClient>;
  override connect(callback: PoolCallback): void;
  override connect(callback?: PoolCallback): Promise<PoolClient> | undefined {
    if (this.#address.hosts.length === 1) {
      if (!callback) return super.connect();
      super.connect(callback);
      return undefined;
    }
    const connecting = this.#connectInTurn();
    if (!callback) return connecting;
    connecting.then(
      // In a turn of its own, so that an error of the callback is not one of this promise.
      (client) => process.nextTick(callback, undefined, client, client.release.bind(client)),
      (error: unknown) => process.nextTick(callback, toError(error), undefined, () => {}),
    );
    return undefined;
  }

  async #connectInTurn(): Promise<PoolClient> {
    const failures: HostFailure[] = [];
    for (const _ of this.#address.hosts) {
      const host = hostInUse(this.#address);
      try {
        return await super.connect();
      } catch (error) {
        if (isPoolBusy(error)) throw error;
        failures.push({ host: nameOfHost(host), error });
        avoidHost(this.#address, host);
      }
    }
    throw HostsError.of(failures);
  }
}

/** Closes a connection, even a broken one. Does not wait long for a server that does not close its side. */
export async function disconnect(connection: Connection): Promise<void> {
  const patience = setTimeout(() => socketOf(connection)?.destroy(), disconnectTimeouts.get(connection));
  await connection.end().catch(() => {});
  clearTimeout(patience);
}
