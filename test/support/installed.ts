// A PostgreSQL server with the stock settings of the machine's own packages, such as Debian's: jit on, the machine's time zone.
// TEST_POSTGRES_BIN names the folder of its programs; without it, the newest under /usr/lib/postgresql is taken.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chown, mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { findOsUser } from '../../src/db/embedded/os-user.ts';
import { until } from './until.ts';

export type InstalledServer = { host: string; port: number; processId: number; stop: () => Promise<void> };

const DEBIAN = '/usr/lib/postgresql';
const PORT = 5432;
/** SIGINT asks a server to end now, without waiting for its sessions. */
const FAST_SHUTDOWN = 'SIGINT';

/** The folder of the installed programs, or null where none are installed. */
export async function findInstalled(): Promise<string | null> {
  const named = process.env['TEST_POSTGRES_BIN'];
  if (named !== undefined && named !== '') return named;
  const versions = (await readdir(DEBIAN).catch(() => [])).toSorted((a, b) => Number(b) - Number(a));
  return versions.map((version) => join(DEBIAN, version, 'bin')).find((bin) => existsSync(join(bin, 'initdb'))) ?? null;
}

/** Starts a new server in a temporary folder, with the superuser postgres. Only what tests need differs from its defaults. */
export async function startInstalled(connectionsMax: number): Promise<InstalledServer> {
  const bin = await findInstalled();
  if (bin === null) {
    throw new Error(
      `PostgreSQL is not installed in ${DEBIAN}: install Debian's package postgresql, or name a folder of its programs with TEST_POSTGRES_BIN.`,
    );
  }
  const folder = await mkdtemp(join(tmpdir(), 'gopherpay-stock-'));
  const account = await findOsUser('');
  if (account !== null) await chown(folder, account.userId, account.groupId);
  const identity = account === null ? {} : { uid: account.userId, gid: account.groupId };
  const settings = { cwd: folder, env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8' }, ...identity };
  const data = join(folder, 'data');
  await promisify(execFile)(join(bin, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8'], settings);
  const log = await open(join(folder, 'log'), 'w');
  const options = ['listen_addresses=', `unix_socket_directories=${folder}`, `port=${PORT}`];
  const child = spawn(
    join(bin, 'postgres'),
    ['-D', data, ...[...options, `max_connections=${connectionsMax}`].flatMap((option) => ['-c', option])],
    { ...settings, stdio: ['ignore', log.fd, log.fd] },
  );
  await log.close();
  const ended = once(child, 'exit');
  const stop = async (): Promise<void> => {
    child.kill(FAST_SHUTDOWN);
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await until(async () => child.exitCode !== null || (await answers(folder)), { what: 'the installed PostgreSQL' });
    if (child.exitCode !== null) throw new Error(`It ended: ${await readFile(join(folder, 'log'), 'utf8')}`);
    return { host: folder, port: PORT, processId: child.pid ?? 0, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function answers(host: string): Promise<boolean> {
  const client = new Client({ host, port: PORT, user: 'postgres', database: 'postgres' });
  client.on('error', () => {});
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}
