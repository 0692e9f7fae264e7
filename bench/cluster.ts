// The PostgreSQL that the subjects share, started exactly as `gopherpay serve` starts its own, or with stock settings. Each subject
// has a database of its own in it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../src/db/connection/connect.ts';
import { SUPERUSER } from '../src/db/embedded/cluster.ts';
import { openEmbeddedServer } from '../src/db/embedded/server.ts';
import { openStock, type Server } from './stock.ts';

export type SocketSettings = { host: string; port: number; user: string; database: string };

export type Cluster = {
  readonly postmasterId: number;
  settingsOf(database: string): SocketSettings;
  /** A connection of the superuser; the caller closes it. */
  open(database: string): Promise<Connection>;
  create(database: string): Promise<void>;
  /** Vacuums the tables after a turn and writes dirty pages, so that no later turn pays for it. */
  settle(database: string | null): Promise<void>;
  /** The server's version and its settings for durable commits. */
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

async function openEmbedded(dataDir: string): Promise<Server> {
  const server = await openEmbeddedServer(dataDir);
  const { host, port, user } = server.roles.owner;
  const postmasterId = Number(readFileSync(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]);
  return { host, port, user, postmasterId, close: async () => await server.release() };
}

/**
 * Opens the server in `dataDir`, or a stock one, which has a folder of its own. `environment` is that of the processes of a stock
 * server.
 */
export async function openCluster(
  dataDir: string,
  kind: 'embedded' | 'stock',
  environment: Readonly<Record<string, string>> = {},
): Promise<Cluster> {
  const own = kind === 'stock' ? await openStock(environment) : await openEmbedded(dataDir);
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
