// The database on the server, and the roles that use it. Must not start or stop the server, or know the content of the
// database.
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../connection/connect.ts';
import { SUPERUSER } from './cluster.ts';
import { codeOf, diskFull } from './errors.ts';
import { PORT, type DataFolder } from './data-folder.ts';

const DATABASE = 'gopherpay';
/** In the order in which they are created. */
const ROLES = { owner: 'gopherpay', runtime: 'gopherpay_service', reader: 'gopherpay_reader' } as const;
const DISK_FULL = '53100';

/** The server's answers if the role or the database is missing. */
const MISSING = new Set([
  '28000', // invalid_authorization_specification
  '3D000', // invalid_catalog_name
]);

/** Errors of a server that starts, stops, or is crowded for a moment. */
const PASSING = new Set([
  '53300', // too_many_connections
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  'EAGAIN',
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
]);

export type SocketSettings = { host: string; port: number; user: string; database: string };

/** The database, as each of its roles reaches it: the owner of the tables, the service, and a reader. */
export type RoleSettings = Readonly<Record<keyof typeof ROLES, SocketSettings>>;

export function settingsOf(socketDir: string): RoleSettings {
  const as = (user: string): SocketSettings => ({ host: socketDir, port: PORT, user, database: DATABASE });
  return { owner: as(ROLES.owner), runtime: as(ROLES.runtime), reader: as(ROLES.reader) };
}

/**
 * Creates the roles and the database if they are missing. The caller holds the start lock. False: the server starts or stops, so the caller looks again.
 * Throws an error that states the remedy if the server refuses.
 */
export async function provision(folder: DataFolder, socketDir: string): Promise<boolean> {
  try {
    if (await isProvisioned(socketDir)) return true;
    const settings = { host: socketDir, port: PORT, user: SUPERUSER, database: 'postgres' };
    await withClient(settings, async (client) => {
      for (const role of Object.values(ROLES)) {
        const known = await client.query('select 1 from pg_roles where rolname = $1::text', [role]);
        if (known.rowCount === 0) await client.query(`create role ${role} login`);
      }
      const databases = await client.query('select 1 from pg_database where datname = $1::text', [DATABASE]);
      if (databases.rowCount === 0) await client.query(`create database ${DATABASE} owner ${ROLES.owner}`);
    });
    return true;
  } catch (error) {
    const code = codeOf(error) ?? '';
    if (PASSING.has(code)) return false;
    if (code === DISK_FULL) throw diskFull(folder.dataDir, error);
    throw new Error(
      `The database in ${folder.dataDir} runs, but refuses the connection of the service: correct what it complains about in ${folder.logFile} and start again.`,
      { cause: error },
    );
  }
}

async function isProvisioned(socketDir: string): Promise<boolean> {
  try {
    // The last role that is created. A data folder of an earlier version lacks it.
    await withClient(settingsOf(socketDir).reader, async () => {});
    return true;
  } catch (error) {
    if (MISSING.has(codeOf(error) ?? '')) return false;
    throw error;
  }
}

async function withClient(settings: SocketSettings, work: (client: Connection) => Promise<void>): Promise<void> {
  const client = await connect(settings, READING_TIMEOUTS, { applicationName: 'gopherpay start' });
  try {
    await work(client);
  } finally {
    await disconnect(client);
  }
}
