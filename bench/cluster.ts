// The one PostgreSQL that all contestants share, started exactly as `gopherpay serve` starts its own, or with stock settings; each
// contestant has a database of its own in it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../src/db/connect.ts';
import { SUPERUSER } from '../src/db/embedded/cluster.ts';
import { openEmbeddedServer } from '../src/db/embedded/server.ts';
import { startInstalled } from '../test/support/installed.ts';

export type SocketSettings = { host: string; port: number; user: string; database: string };

export type Cluster = {
  readonly postmasterId: number;
  settingsOf(database: string): SocketSettings;
  /** A connection of the superuser; the caller closes it. */
  open(database: string): Promise<Connection>;
  create(database: string): Promise<void>;
  /** Brings a database's tables to rest after a turn, so that no other turn pays for it, and writes out what is dirty. */
  settle(database: string | null): Promise<void>;
  /** What the server says of itself and of what makes a commit durable. */
  describe(): Promise<Readonly<Record<string, string>>>;
  close(): Promise<void>;
};

const SHOWN = [
  'server_version',
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'wal_sync_method',
  'wal_level',
  'commit_delay',
  'shared_buffers',
  'max_wal_size',
  'checkpoint_timeout',
  'autovacuum',
];

const OWNER = 'gopherpay';
const STOCK_CONNECTIONS_MAX = 200;

type Server = { host: string; port: number; user: string; postmasterId: number; close: () => Promise<void> };

async function openEmbedded(dataDir: string): Promise<Server> {
  const server = await openEmbeddedServer(dataDir);
  if (!('host' in server.settings)) throw new TypeError('The embedded server is reached by its socket.');
  const { host, port, user } = server.settings;
  const postmasterId = Number(readFileSync(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]);
  return { host, port, user, postmasterId, close: async () => await server.release() };
}

async function openStock(): Promise<Server> {
  const { host, port, processId, stop } = await startInstalled(STOCK_CONNECTIONS_MAX);
  const settings = { host, port, user: SUPERUSER, database: 'postgres' };
  const connection = await connect(settings, READING_TIMEOUTS, { applicationName: 'benchmark' });
  try {
    await connection.query(`create role ${OWNER} login`);
  } finally {
    await disconnect(connection);
  }
  return { host, port, user: OWNER, postmasterId: processId, close: stop };
}

/** Opens the server in `dataDir`, or one with the stock settings of the machine's own PostgreSQL, which has a folder of its own. */
export async function openCluster(dataDir: string, kind: 'embedded' | 'stock'): Promise<Cluster> {
  const own = kind === 'stock' ? await openStock() : await openEmbedded(dataDir);
  const settingsOf = (database: string): SocketSettings => ({
    host: own.host,
    port: own.port,
    user: own.user,
    database,
  });
  const open = async (database: string) =>
    await connect({ ...settingsOf(database), user: SUPERUSER }, READING_TIMEOUTS, { applicationName: 'benchmark' });
  const run = async (database: string, ...texts: string[]) => {
    const connection = await open(database);
    try {
      for (const text of texts) await connection.query(text);
    } finally {
      await disconnect(connection);
    }
  };
  return {
    postmasterId: own.postmasterId,
    settingsOf,
    open,
    create: async (database) => await run('postgres', `create database ${database} owner ${own.user}`),
    settle: async (database) => {
      if (database !== null) await run(database, 'vacuum analyze');
      await run('postgres', 'checkpoint');
    },
    describe: async () => {
      const connection = await open('postgres');
      try {
        const { rows } = await connection.query<{ name: string; value: string }>(
          'select name, current_setting(name) as value from unnest($1::text[]) as name',
          [SHOWN],
        );
        return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
      } finally {
        await disconnect(connection);
      }
    },
    close: own.close,
  };
}
