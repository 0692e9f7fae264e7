// A start that fails prints one sentence with advice and ends with the exit code that is documented, and leaves nothing
// running. See serve.test.ts for wrong settings, a port that is taken and a database that refuses connections.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { PG_MIGRATE_LOCK_ID } from 'node-pg-migrate';
import { Client } from 'pg';
import { migrate } from '../../src/db/ledger/migrate.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { createDatabase, renderDatabaseUrl } from '../support/database.ts';
import { MAY_BE_MISSING, mountSmallDisk, tryDisk } from '../support/disk.ts';
import { startPostgres } from '../support/postgres.ts';
import { startFakePostgres } from '../support/fake-postgres.ts';
import { ADDRESS_VARIABLE, parseServerAddress, withAdmin } from '../support/server.ts';
import { makeFolder, type Program, request, startProgram, startService } from '../support/service.ts';

const SERVER = parseServerAddress(process.env[ADDRESS_VARIABLE]);

test('start: a password that the server refuses', async (t) => {
  const message = 'password authentication failed for user "ada"';
  const url = await startFakePostgres(t, { refusal: { code: '28P01', message } });
  await endsWith(await serve(t, { DATABASE_URL: url }), 4, `The database is out of reach (${message}): check that it`);
});

test('start: a password that a real server refuses', async (t) => {
  // A server with trust authentication needs a line of its own that requires a password.
  const server = await startPostgres(t, join(await makeFolder(t), 'data'));
  await server.askPassword('ada', 'Right-4711');
  const url = (password: string) =>
    `postgres://ada:${password}@localhost:${server.admin.port}/postgres?host=${encodeURIComponent(server.admin.host)}`;
  await withAdmin(server.admin, (client) => client.query('grant create on schema public to ada'));
  const refused = 'The database is out of reach (password authentication failed for user "ada"): check that it';
  await endsWith(await serve(t, { DATABASE_URL: url('Geheim-4711') }), 4, refused);
  const service = await startService(t, { database: { url: url('Right-4711') }, env: { THREADS: '1' } });
  assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
});

test('start: a database that does not exist', async (t) => {
  const url = renderDatabaseUrl({ ...SERVER.owner, database: 'no_such_books' });
  const sentence = 'The database is out of reach (database "no_such_books" does not exist): check that it';
  await endsWith(await serve(t, { DATABASE_URL: url }), 4, sentence);
});

test('start: a server that does not answer', async (t) => {
  const url = await startFakePostgres(t, { mute: true });
  const startedAt = performance.now();
  const program = await serve(t, { DATABASE_URL: url, DB_CONNECT_TIMEOUT_MS: '500' });
  await endsWith(program, 4, 'The database is out of reach (timeout expired): check that it');
  assert.ok(performance.now() - startedAt < 5000);
});

test('start: a PostgreSQL that is too old', async (t) => {
  const url = await startFakePostgres(t, { row: { number: '140011', text: '14.11' } });
  const sentence = 'The server is PostgreSQL 14.11, and GopherPay needs 15 or newer: upgrade it, or name another with';
  await endsWith(await serve(t, { DATABASE_URL: url }), 1, sentence);
});

test('start: a schema that is newer than the code is unchanged', async (t) => {
  const database = await createDatabase(t);
  await database.query(`insert into migrations (name, run_on) values ('9999_from_the_future', now())`);
  const before = await database.query('select * from migrations');
  const sentence =
    'The database has the migration "9999_from_the_future", which this version of GopherPay does not know: start the newer';
  await endsWith(await serve(t, { DATABASE_URL: database.url }), 1, sentence);
  assert.deepEqual(await database.query('select * from migrations'), before);
  assert.deepEqual(await connectionsTo(database.name), []);
});

test('start: a role that may not create tables', async (t) => {
  const name = await createEmptyDatabase(t, SERVER.admin.user);
  const url = renderDatabaseUrl({ ...SERVER.owner, database: name });
  const sentence =
    'The database lacks tables or rights of this version, and the role may not add them (permission denied for schema public): run "gopherpay migrate" as';
  await endsWith(await serve(t, { DATABASE_URL: url }), 1, sentence);
  assert.deepEqual(await connectionsTo(name), []);
});

test('start: a database that another process has been migrating for too long', async (t) => {
  const database = await createDatabase(t);
  await database.query('drop schema public cascade; create schema public authorization pg_database_owner');
  const holder = await database.connect();
  await holder.query('select pg_advisory_lock($1::bigint)', [PG_MIGRATE_LOCK_ID]);
  await assert.rejects(migrate(database.owner, { lockTimeoutMs: 300 }), {
    message:
      'Another process has been migrating the database, or reading tables that must change, for 0.3 s: wait until it is done, or end it, and start again.',
  });
  await holder.query('select pg_advisory_unlock($1::bigint)', [PG_MIGRATE_LOCK_ID]);
  await migrate(database.owner);
});

test('start: concurrent starts on an empty database succeed, and each migration is applied once', async (t) => {
  const name = await createEmptyDatabase(t, SERVER.owner.user);
  const url = renderDatabaseUrl({ ...SERVER.owner, database: name });
  const services = await Promise.all(
    Array.from({ length: 3 }, async () => await startService(t, { database: { url }, env: { THREADS: '1' } })),
  );
  for (const service of services) assert.equal((await request(service, 'GET', '/readyz')).status, 200);
  const client = new Client({ ...SERVER.admin, database: name });
  await client.connect();
  onEnd(t, () => client.end());
  const { rows } = await client.query<{ name: string }>('select name from migrations order by id');
  const files = await readdir(new URL('../../migrations', import.meta.url));
  assert.deepEqual(
    rows.map((row) => `${row.name}.sql`),
    files.toSorted(),
  );
  for (const service of services) assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
});

test('start: a data folder that cannot be written', async (t) => {
  const program = await serve(t, { DATA_DIR: '/proc/gopherpay' });
  const sentence =
    'The data folder /proc/gopherpay cannot be created or written: give this user write permission, or set';
  await endsWith(program, 1, sentence);
});

test('start: a full disk without a database', async (t) => {
  const folder = await findSmallDisk(t, 8);
  if (folder === null) return;
  const dataDir = join(folder, 'data');
  const program = await serve(t, { DATA_DIR: dataDir });
  await endsWith(program, 1, `The disk that holds ${dataDir} is full: free some space and start again`);
  assert.deepEqual(await processesOf(dataDir), []);
});

test('start: a full disk with an existing database, which is intact once there is space', async (t) => {
  const folder = await findSmallDisk(t, 160);
  if (folder === null) return;
  const dataDir = join(folder, 'data');
  const first = await startService(t, { env: { DATA_DIR: dataDir, THREADS: '1' } });
  await request(first, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann', balance: 700 });
  assert.deepEqual(await first.stop(), { code: 0, signal: null }, first.output());
  const ballast = join(folder, 'ballast');
  const { bavail, bsize } = await statfs(folder);
  await writeFile(ballast, Buffer.alloc(bavail * bsize));
  const program = await serve(t, { DATA_DIR: dataDir });
  await endsWith(program, 1, `The disk that holds ${dataDir} is full: free some space and start again`);
  assert.deepEqual(await processesOf(dataDir), []);

  await writeFile(ballast, '');
  const second = await startService(t, { env: { DATA_DIR: dataDir, THREADS: '1' } });
  assert.equal((await request(second, 'GET', '/accounts/ANN')).body['balance'], 700);
  assert.deepEqual(await second.stop(), { code: 0, signal: null }, second.output());
});

async function serve(scope: Scope, env: Record<string, string>): Promise<Program> {
  return await startProgram(scope, { args: ['serve'], env: { PORT: '0', THREADS: '1', ...env } });
}

/** Asserts that it ended with this code, and printed this one sentence only. */
async function endsWith(program: Program, code: number, beginning: string): Promise<void> {
  assert.deepEqual(await program.exited, { code, signal: null }, program.output());
  assert.equal(program.stdout(), '');
  // Progress is logged, as lines of JSON.
  const reported = program.output().replace(/^\{"level":30,.*\n/gm, '');
  assert.ok(reported.startsWith(beginning), program.output());
  assert.match(reported, /^[^\n]*\.\n$/);
  assert.doesNotMatch(program.output(), /Geheim/);
}

/** Makes a database without any table, and drops it when the scope ends. */
async function createEmptyDatabase(scope: Scope, owner: string): Promise<string> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  await withAdmin(SERVER.admin, (client) =>
    client.query(`create database ${name} template template0 owner ${client.escapeIdentifier(owner)}`),
  );
  onEnd(scope, async () => {
    await withAdmin(SERVER.admin, (client) => client.query(`drop database if exists ${name} with (force)`));
  });
  return name;
}

async function connectionsTo(database: string): Promise<unknown[]> {
  return await withAdmin(SERVER.admin, async (client) => {
    const { rows } = await client.query(
      `select application_name from pg_stat_activity where datname = $1::text and application_name like 'gopherpay%'`,
      [database],
    );
    return rows;
  });
}

/** A folder on a disk of its own; null where none can be mounted, if that may be so. */
async function findSmallDisk(t: TestContext, mebibytes: number): Promise<string | null> {
  const impediment = await tryDisk();
  if (impediment === null) return await mountSmallDisk(t, mebibytes);
  t.diagnostic(`NOT RUN: ${impediment}`);
  assert.ok(MAY_BE_MISSING, `${impediment} CHAOS_FAULTS_MAY_BE_MISSING=1 lets the tests pass without it.`);
  return null;
}

/** The processes of this machine that have the folder on their command line. */
async function processesOf(folder: string): Promise<string[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const commandLines = await Promise.all(
    ids.map(async (id) => await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')),
  );
  return commandLines.filter((commandLine) => commandLine.includes(folder));
}
