// A PostgreSQL server of the harness, which it may crash and restart.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openEmbeddedServer, type EmbeddedServer } from '../../src/db/embedded/server.ts';
import { onEnd, type Scope } from './cleanup.ts';
import { type RoleAddress, withAdmin } from './server.ts';
import { until } from './until.ts';

export type Postgres = {
  /** The superuser's way in. */
  admin: RoleAddress;
  /** Makes an empty database that belongs to the service's role. */
  createDatabase: (name: string) => Promise<void>;
  dropDatabase: (name: string) => Promise<void>;
  /** Makes a role that may log in with a password only, from any client. */
  askPassword: (role: string, password: string) => Promise<void>;
  /** Ends the server at once, without a checkpoint, and waits until it is gone. */
  crash: () => Promise<void>;
  /** Starts the server if it does not run, and waits until it is ready. */
  start: () => Promise<void>;
};

/** The roles of an embedded server. */
export const OWNER = 'gopherpay';
export const RUNTIME = 'gopherpay_service';

/** Starts a server in a folder, which is created if necessary. It is stopped when the scope ends. */
export async function startPostgres(scope: Scope, folder: string): Promise<Postgres> {
  const opened: EmbeddedServer[] = [];
  onEnd(scope, async () => {
    for (const server of opened.reverse()) await server.release();
  });
  const open = async (): Promise<RoleAddress> => {
    const server = await openEmbeddedServer(folder);
    opened.push(server);
    const { host, port } = server.roles.owner;
    return { host, port, user: 'postgres' };
  };
  const admin = await open();
  return {
    admin,
    createDatabase: (name) =>
      withAdmin(admin, async (client) => void (await client.query(`create database ${name} owner ${OWNER}`))),
    dropDatabase: (name) =>
      withAdmin(admin, async (client) => void (await client.query(`drop database if exists ${name} with (force)`))),
    askPassword: async (role, password) => {
      const path = join(folder, 'postgres', 'pg_hba.conf');
      await writeFile(path, `local all ${role} scram-sha-256\n${await readFile(path, 'utf8')}`);
      await withAdmin(admin, async (client) => {
        await client.query(`create role ${role} login password ${client.escapeLiteral(password)}`);
        await client.query('select pg_reload_conf()');
      });
      await until(async () => await refuses({ ...admin, user: role, password: '' }), {
        what: 'a password to be asked for',
      });
    },
    crash: () => crash(folder),
    start: async () => void (await open()),
  };
}

async function refuses(stranger: RoleAddress): Promise<boolean> {
  return await withAdmin(stranger, async () => {}).then(
    () => false,
    () => true,
  );
}

/** Ends the server of a data folder as a crash would, and waits until it is gone. */
export async function crash(folder: string): Promise<void> {
  const processId = await findPostmaster(folder);
  if (processId === null) return;
  process.kill(processId, 'SIGQUIT');
  await until(async () => !(await isRunning(processId)), { timeoutMs: 20_000, what: 'the database to stop' });
}

/** The process id of the server of a data folder, or null if none runs. */
export async function findPostmaster(folder: string): Promise<number | null> {
  const text = await readFile(join(folder, 'postgres', 'postmaster.pid'), 'utf8').catch(() => '');
  const processId = Number(text.split('\n')[0]);
  return processId > 0 && (await isRunning(processId)) ? processId : null;
}

/** A process that has ended and was not collected has no command line. */
async function isRunning(processId: number): Promise<boolean> {
  return (await readFile(`/proc/${processId}/cmdline`, 'utf8').catch(() => '')).includes('postgres');
}
