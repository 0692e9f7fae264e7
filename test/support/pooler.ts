// PgBouncer in front of a test database, where the machine has it (Debian's package pgbouncer).
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { findOsUser } from '../../src/db/embedded/os-user.ts';
import { onEnd, type Scope } from './cleanup.ts';
import { renderDatabaseUrl, type TestDatabase } from './database.ts';
import type { RoleAddress } from './server.ts';
import { until } from './until.ts';

const PORT = 6432;

/** Whether PgBouncer can be started on this machine. */
export function hasPooler(): boolean {
  return spawnSync('pgbouncer', ['--version']).status === 0;
}

/**
 * Starts PgBouncer in front of a database's service role, with lines of its own configuration such as `pool_mode = session`, and
 * returns its DATABASE_URL. It is stopped when the scope ends.
 */
export async function startPooler(
  scope: Scope,
  database: Pick<TestDatabase, 'name' | 'settings'>,
  lines: readonly string[],
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gopherpay-pooler-'));
  onEnd(scope, () => rm(folder, { recursive: true, force: true }));
  const owner: RoleAddress = database.settings;
  const server = `host=${owner.host} port=${owner.port} user=${owner.user} password=${owner.password ?? 'none'}`;
  const file = join(folder, 'pgbouncer.ini');
  const configuration = [
    '[databases]',
    `${database.name} = ${server} dbname=${database.name}`,
    '[pgbouncer]',
    'listen_addr =',
    `listen_port = ${PORT}`,
    `unix_socket_dir = ${folder}`,
    'auth_type = any',
    'default_pool_size = 50',
    ...lines,
  ];
  await writeFile(file, `${configuration.join('\n')}\n`);
  // It refuses to run as root.
  const account = await findOsUser('');
  if (account !== null) for (const path of [folder, file]) await chown(path, account.userId, account.groupId);
  const identity = account === null ? {} : { uid: account.userId, gid: account.groupId };
  const child = spawn('pgbouncer', [file], {
    cwd: folder,
    env: { PATH: process.env['PATH'] },
    stdio: 'ignore',
    ...identity,
  });
  const ended = once(child, 'exit');
  onEnd(scope, async () => {
    child.kill('SIGTERM');
    await ended;
  });
  const address = { host: folder, port: PORT, user: owner.user, database: database.name };
  await until(async () => await answers(address), { what: 'PgBouncer' });
  return renderDatabaseUrl(address);
}

async function answers(address: { host: string; port: number; user: string; database: string }): Promise<boolean> {
  const client = new Client({ ...address, connectionTimeoutMillis: 2000, query_timeout: 2000 });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}
