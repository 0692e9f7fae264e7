// The machine's own PostgreSQL in a new folder, with the settings that its packages install except for memory and the size of the WAL,
// which are those of the embedded server.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../src/db/connection/connect.ts';
import { findOsUser } from '../src/db/embedded/os-user.ts';
import { SUPERUSER } from '../src/db/embedded/cluster.ts';

export type Server = { host: string; port: number; user: string; postmasterId: number; close: () => Promise<void> };

const DEBIAN = '/usr/lib/postgresql';
const OWNER = 'gopherpay';
const PORT = 5432;
const SETTINGS = ['shared_buffers=256MB', 'max_wal_size=2GB'];
const START_ATTEMPTS = 300;
const START_INTERVAL_MS = 100;
/** SIGINT asks a server to end now, without waiting for its sessions. */
const FAST_SHUTDOWN = 'SIGINT';

/** Starts a server. `environment` is that of its processes. */
export async function openStock(environment: Readonly<Record<string, string>> = {}): Promise<Server> {
  const bin = await findPrograms();
  const folder = await mkdtemp(join(tmpdir(), 'gopherpay-stock-'));
  const account = await findOsUser('');
  if (account !== null) await chown(folder, account.userId, account.groupId);
  const identity = account === null ? {} : { uid: account.userId, gid: account.groupId };
  const options = { cwd: folder, env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8' }, ...identity };
  const data = join(folder, 'data');
  await promisify(execFile)(join(bin, 'initdb'), ['-D', data, '-U', SUPERUSER, '-A', 'trust', '-E', 'UTF8'], options);
  const logFile = join(folder, 'log');
  const log = await open(logFile, 'w');
  const settings = ['listen_addresses=', `unix_socket_directories=${folder}`, `port=${PORT}`, ...SETTINGS];
  const child = spawn(join(bin, 'postgres'), ['-D', data, ...settings.flatMap((setting) => ['-c', setting])], {
    ...options,
    env: { ...options.env, ...environment },
    stdio: ['ignore', log.fd, log.fd],
  });
  await log.close();
  const ended = once(child, 'exit');
  const close = async (): Promise<void> => {
    child.kill(FAST_SHUTDOWN);
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const connection = await connectSoon(folder);
    if (connection === null) throw new Error(`PostgreSQL did not start: ${await readFile(logFile, 'utf8')}`);
    await connection.query(`create role ${OWNER} login`);
    await disconnect(connection);
    return { host: folder, port: PORT, user: OWNER, postmasterId: child.pid ?? 0, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The folder of the newest installed programs. */
async function findPrograms(): Promise<string> {
  const versions = await readdir(DEBIAN).catch(() => []);
  const newest = versions.toSorted((a, b) => Number(b) - Number(a))[0];
  if (newest === undefined) throw new Error('PostgreSQL is not installed: install the Debian package postgresql.');
  return join(DEBIAN, newest, 'bin');
}

async function connectSoon(host: string): Promise<Connection | null> {
  const settings = { host, port: PORT, user: SUPERUSER, database: 'postgres' };
  for (let attempt = 1; attempt <= START_ATTEMPTS; attempt += 1) {
    const connection = await connect(settings, READING_TIMEOUTS, { applicationName: 'benchmark' }).catch(() => null);
    if (connection !== null) return connection;
    await sleep(START_INTERVAL_MS);
  }
  return null;
}
