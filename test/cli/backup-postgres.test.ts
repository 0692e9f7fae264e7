// The ways of docs/BACKUP.md that use PostgreSQL's own programs, on the machine's own server: a dump, and a base backup with
// recovery to a point in time. Each restored database is proved by an audit with hashes that were kept elsewhere.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, chmod, chown, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { findOsUser } from '../../src/db/embedded/os-user.ts';
import { onEnd } from '../support/cleanup.ts';
import { findInstalled } from '../support/installed.ts';
import { makeFolder, request, type Service, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const bin = await findInstalled();
const skip = bin === null ? 'PostgreSQL is not installed here: install Debian’s package postgresql.' : false;
const WAIT = { prefer: 'wait=10' };

type Server = {
  folder: string;
  data: string;
  /** Runs a program of PostgreSQL as the user of the server. */
  run: (program: string, args: string[]) => Promise<void>;
  start: (data: string) => Promise<() => Promise<void>>;
  query: (sql: string, database?: string) => Promise<Record<string, unknown>[]>;
  url: (user: string, database: string) => string;
};

async function makeServer(t: TestContext): Promise<Server> {
  const folder = await makeFolder(t);
  const account = await findOsUser('');
  const identity = account === null ? {} : { uid: account.userId, gid: account.groupId };
  if (account !== null) await chown(folder, account.userId, account.groupId);
  const options = { cwd: folder, env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8' }, ...identity };
  const run = async (program: string, args: string[]): Promise<void> => {
    await promisify(execFile)(join(bin ?? '', program), args, options);
  };
  const query = async (sql: string, database = 'postgres'): Promise<Record<string, unknown>[]> => {
    const client = new Client({ host: folder, user: 'postgres', database });
    client.on('error', () => {});
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  };
  const start = async (data: string): Promise<() => Promise<void>> => {
    const log = await open(join(folder, 'log'), 'a');
    const child = spawn(join(bin ?? '', 'postgres'), ['-D', data], { ...options, stdio: ['ignore', log.fd, log.fd] });
    await log.close();
    const ended = once(child, 'exit');
    const stop = async (): Promise<void> => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGINT');
      await ended;
    };
    onEnd(t, stop);
    const isReady = async (): Promise<boolean> => {
      if (child.exitCode !== null) throw new Error(await readFile(join(folder, 'log'), 'utf8'));
      const found = await query('select pg_is_in_recovery() as recovering').catch(() => []);
      return found[0]?.['recovering'] === false;
    };
    await until(isReady, { timeoutMs: 60_000, what: 'the server to accept writes' });
    return stop;
  };
  const url = (user: string, database: string): string => `postgresql://${user}@localhost/${database}?host=${folder}`;
  const server = { folder, data: join(folder, 'data'), run, start, query, url };
  await run('initdb', ['-D', server.data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8']);
  const archive = join(folder, 'archive');
  await mkdir(archive);
  await chmod(archive, 0o777);
  await appendFile(
    join(server.data, 'postgresql.conf'),
    `listen_addresses = ''
unix_socket_directories = '${folder}'
wal_level = replica
archive_mode = on
archive_command = 'test ! -f "${archive}/%f" && cp "%p" "${archive}/%f"'
`,
  );
  return server;
}

async function command(t: TestContext, args: string[], url: string): Promise<{ code: number | null; stdout: string }> {
  const program = await startProgram(t, { args, env: { DATABASE_URL: url } });
  const { code } = await program.exited;
  return { code, stdout: program.stdout() };
}

async function pay(service: Service, key: string): Promise<string> {
  const body = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
  const answer = await request(service, 'POST', '/transfers', body, { ...WAIT, 'idempotency-key': key });
  assert.equal(answer.status, 200, answer.text);
  return String(answer.body['id']);
}

/** Books of the role books, and a service that uses them. */
async function makeBooks(t: TestContext, { query, url }: Server): Promise<Service> {
  await query('create role books login');
  await query('create database books owner books');
  const service = await startService(t, { env: { DATABASE_URL: url('books', 'books'), THREADS: '2' } });
  for (const account_number of ['ANN', 'BOB']) {
    const body = { account_number, name: 'Ada', balance: 1000 };
    assert.equal((await request(service, 'POST', '/accounts', body)).status, 201);
  }
  return service;
}

/** The summary of an audit, in a file. */
async function keep(t: TestContext, url: string): Promise<string> {
  const { code, stdout } = await command(t, ['audit', '--json'], url);
  assert.equal(code, 0, stdout);
  const file = join(await makeFolder(t), 'verified.json');
  await writeFile(file, stdout);
  return file;
}

test('backup: pg_dump and pg_restore carry the books to another database', { skip }, async (t) => {
  const server = await makeServer(t);
  await server.start(server.data);
  const service = await makeBooks(t, server);
  const id = await pay(service, 'first');
  const kept = await keep(t, server.url('books', 'books'));
  const dump = join(server.folder, 'books.dump');
  await server.run('pg_dump', ['-h', server.folder, '-U', 'books', '-d', 'books', '--format=custom', '-f', dump]);
  await service.stop();
  await server.query('create database again owner books');
  const restore = ['-h', server.folder, '-U', 'books', '-d', 'again', '--single-transaction', '--exit-on-error', dump];
  await server.run('pg_restore', restore);
  const again = server.url('books', 'again');
  assert.equal((await command(t, ['audit', `--expect=@${kept}`], again)).code, 0);
  const revived = await startService(t, { env: { DATABASE_URL: again, THREADS: '2' } });
  assert.equal(await pay(revived, 'first'), id);
});

test('backup: a base backup and its archive restore the books as of a point in time', { skip }, async (t) => {
  const server = await makeServer(t);
  const stop = await server.start(server.data);
  const service = await makeBooks(t, server);
  const books = server.url('books', 'books');
  const base = join(server.folder, 'base');
  await server.run('pg_basebackup', ['-h', server.folder, '-U', 'postgres', '-D', base, '--checkpoint=fast']);
  const before = await pay(service, 'before');
  const keptBefore = await keep(t, books);
  await server.query(`select pg_create_restore_point('mistake')`);
  const after = await pay(service, 'after');
  const keptAfter = await keep(t, books);
  await service.stop();
  // The stop writes the rest of the log to the archive.
  await stop();
  await rm(server.data, { recursive: true });
  await appendFile(
    join(base, 'postgresql.conf'),
    `restore_command = 'cp "${server.folder}/archive/%f" "%p"'
recovery_target_name = 'mistake'
recovery_target_action = 'promote'
`,
  );
  await writeFile(join(base, 'recovery.signal'), '');
  await server.start(base);

  assert.equal((await command(t, ['audit', `--expect=@${keptBefore}`], books)).code, 0);
  const lost = await command(t, ['audit', `--expect=@${keptAfter}`], books);
  assert.equal(lost.code, 3);
  assert.match(
    lost.stdout,
    /^journal\.expected: journal \d+: hash written down: expected [0-9a-f]{64}, found no row$/m,
  );
  const revived = await startService(t, { env: { DATABASE_URL: books, THREADS: '2' } });
  assert.equal((await request(revived, 'GET', `/transfers/${before}`)).status, 200);
  assert.equal((await request(revived, 'GET', `/transfers/${after}`)).status, 404);
  // A caller that repeats the lost request has it executed, once.
  assert.notEqual(await pay(revived, 'after'), after);
  assert.equal(await pay(revived, 'before'), before);
});
