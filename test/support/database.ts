// Gives a test a database of its own: a clone of the migrated template on the server of this run.
import { randomBytes } from 'node:crypto';
import { Client, Pool, type QueryResultRow, TypeOverrides } from 'pg';
import { onEnd, type Scope } from './cleanup.ts';
import { ADDRESS_VARIABLE, parseServerAddress, type RoleAddress, type ServerAddress, withAdmin } from './server.ts';

/** The superuser's settings: for planting states that the service never writes, and for reading protected tables. */
export type AdminSettings = RoleAddress & { database: string };

export type TestDatabase = {
  name: string;
  /** The role of the service: it is no superuser, and does not own the tables. */
  settings: AdminSettings;
  /** The same as a DATABASE_URL. */
  url: string;
  /** The role that owns the tables, and the role that only reads. */
  owner: AdminSettings;
  /** The same as a DATABASE_OWNER_URL. */
  ownerUrl: string;
  reader: AdminSettings;
  admin: AdminSettings;
  /** Runs one statement as the superuser and returns its rows; a bigint comes as a bigint, a numeric as text. */
  query: <Row extends QueryResultRow = QueryResultRow>(sql: string, parameters?: unknown[]) => Promise<Row[]>;
  /** Opens a connection as the superuser, for transactions and locks; it is closed when the scope ends. */
  connect: () => Promise<Client>;
};

/** Money and numbers are bigint, as they are in the service. */
const types = new TypeOverrides();
types.setTypeParser(20, BigInt);

/**
 * Makes a migrated, empty database, and drops it when the scope ends: at the end of a test when given its `t`, of the file
 * when given the context of a `before` hook. `server` is another than the one of this run: one that the test may break.
 */
export async function createDatabase(
  scope: Scope,
  server: ServerAddress = parseServerAddress(process.env[ADDRESS_VARIABLE]),
): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  await withAdmin(server.admin, (client) =>
    // Through the log: 15 to 50 ms a clone, against 40 to 75 for a copy of the files between two checkpoints.
    client.query(`create database ${name} template ${server.template} strategy wal_log owner ${server.owner.user}`),
  );
  onEnd(scope, async () => {
    await withAdmin(server.admin, (client) => client.query(`drop database if exists ${name} with (force)`));
  });
  const admin = { ...server.admin, database: name };
  const settings = { ...server.runtime, database: name };
  const pool = new Pool({ ...admin, types, max: 4 });
  // The server may stop on purpose; the next query on the connection fails.
  pool.on('error', () => {});
  onEnd(scope, () => pool.end());
  return {
    name,
    settings,
    url: renderDatabaseUrl(settings),
    owner: { ...server.owner, database: name },
    ownerUrl: renderDatabaseUrl({ ...server.owner, database: name }),
    reader: { ...server.reader, database: name },
    admin,
    query: async <Row extends QueryResultRow>(sql: string, parameters: unknown[] = []) =>
      (await pool.query<Row>(sql, parameters)).rows,
    connect: async () => {
      const client = new Client({ ...admin, types });
      client.on('error', () => {});
      await client.connect();
      onEnd(scope, () => client.end());
      return client;
    },
  };
}

/**
 * Renders settings as a DATABASE_URL. A socket's folder goes into the query, where it outranks the host: a URL with a user
 * and no host is none to most parsers.
 */
export function renderDatabaseUrl(settings: AdminSettings): string {
  const socket = settings.host.startsWith('/');
  const url = new URL(`postgresql://${socket ? 'localhost' : settings.host}:${settings.port}/${settings.database}`);
  url.username = settings.user;
  url.password = settings.password ?? '';
  if (socket) url.searchParams.set('host', settings.host);
  if (settings.tls) url.searchParams.set('sslmode', settings.tls.mode);
  return url.href;
}
