// gopherpay migrate, and the start of the service as a role that does not own the tables.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client } from 'pg';
import { openEmbeddedServer } from '../../src/db/embedded/server.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { createDatabase, renderDatabaseUrl, type TestDatabase } from '../support/database.ts';
import { ADDRESS_VARIABLE, parseServerAddress, withAdmin } from '../support/server.ts';
import { until } from '../support/until.ts';
import { awaitFinal, makeFolder, type Program, request, startProgram, startService } from '../support/service.ts';

const SERVER = parseServerAddress(process.env[ADDRESS_VARIABLE]);
const WARNING = 'database role owns the tables';

test('migrate: creates the tables and grants the rights, and the service and its reports run without the owner', async (t) => {
  const urls = await createEmptyDatabase(t);
  const roles = [`--runtime-role=${SERVER.runtime.user}`, `--reader-role=${SERVER.reader.user}`];
  const owner = { DATABASE_OWNER_URL: urls.owner };
  const granted = `, rights of the service granted to ${SERVER.runtime.user}, rights to read granted to ${SERVER.reader.user}\n`;
  assert.match(await migrate(t, roles, owner), new RegExp(`^[1-9]\\d* migrations applied${granted}$`));
  // Without the options, the users of the other two settings.
  const all = { ...owner, DATABASE_URL: urls.runtime, DATABASE_READER_URL: urls.reader };
  assert.equal(await migrate(t, [], all), `0 migrations applied${granted}`);

  const service = await startService(t, { env: { DATABASE_URL: urls.runtime, THREADS: '1', HEARTBEAT_MS: '200' } });
  await useEverything(service);
  assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
  assert.deepEqual(
    service.logs().filter(({ level, msg }) => Number(level) >= 40 && !String(msg).startsWith('no keys: ')),
    [],
  );
  const audit = await startProgram(t, { args: ['audit'], env: { DATABASE_READER_URL: urls.reader } });
  assert.deepEqual(await audit.exited, { code: 0, signal: null }, audit.output());
});

test('serve: with DATABASE_OWNER_URL it migrates as the owner, and then works as its own role', async (t) => {
  const urls = await createEmptyDatabase(t);
  const env = { DATABASE_URL: urls.runtime, DATABASE_OWNER_URL: urls.owner, DATABASE_READER_URL: urls.reader };
  const service = await startService(t, { env: { ...env, THREADS: '1' } });
  const users = await withAdmin(SERVER.admin, async (client) => {
    const { rows } = await client.query<{ usename: string }>(
      `select distinct usename from pg_stat_activity where datname = $1::text and usename is not null`,
      [new URL(urls.runtime).pathname.slice(1)],
    );
    return rows.map(({ usename }) => usename);
  });
  assert.deepEqual(users, [SERVER.runtime.user]);
  assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
  assert.ok(!service.output().includes(WARNING), service.output());
  const audit = await startProgram(t, { args: ['audit'], env: { DATABASE_READER_URL: urls.reader } });
  assert.deepEqual(await audit.exited, { code: 0, signal: null }, audit.output());
});

test('serve: one role for everything works, with a warning', async (t) => {
  const urls = await createEmptyDatabase(t);
  const service = await startService(t, { env: { DATABASE_URL: urls.owner, THREADS: '1' } });
  assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
  assert.equal(service.logs().filter(({ msg }) => msg === WARNING).length, 1, service.output());
  assert.equal(await migrate(t, [], { DATABASE_URL: urls.owner }), '0 migrations applied\n');
});

test('serve: a role that does not own the tables runs no DDL', async (t) => {
  const database = await createDatabase(t);
  await database.query(`
    create function refuse_ddl() returns event_trigger language plpgsql as $$ begin raise 'DDL: %', tg_tag; end $$;
    create event trigger refuse_ddl on ddl_command_start execute function refuse_ddl()`);
  const service = await startService(t, { database, env: { THREADS: '1' } });
  assert.equal((await request(service, 'GET', '/readyz')).status, 200);
});

test('serve: a database that is not up to date is refused to a role that may not migrate', async (t) => {
  const database = await createDatabase(t);
  await database.query('delete from migrations');
  const program = await startProgram(t, { database, args: ['serve'], env: { PORT: '0' } });
  assert.equal(
    await sentenceOf(program),
    'The database lacks tables or rights of this version, and the role may not add them (it does not own them): run "gopherpay migrate" as the role that owns the database, which DATABASE_OWNER_URL names.\n',
  );
});

test('serve: a role without any rights is refused', async (t) => {
  const database = await createDatabase(t);
  const url = await createRole(t, database, 'login');
  const program = await startProgram(t, { database: { url }, args: ['serve'], env: { PORT: '0' } });
  assert.match(await sentenceOf(program), /\(permission denied for table migrations\): run "gopherpay migrate" as the/);
  const audit = await startProgram(t, { database: { url }, args: ['audit'] });
  assert.match(await sentenceOf(audit), /^The database refuses this to the role \(permission denied for .*migrate/);
});

test('serve: DATABASE_OWNER_URL alone does not select the embedded database', async (t) => {
  for (const name of ['DATABASE_OWNER_URL', 'DATABASE_READER_URL']) {
    const program = await startProgram(t, { args: ['serve'], env: { PORT: '0', [name]: 'postgres://db/books' } });
    assert.match(await sentenceOf(program), /^The setting DATABASE_URL is missing: add it/);
  }
});

test('migrate: a role that does not exist is named, with the statement that creates it', async (t) => {
  const database = await createDatabase(t);
  const env = { DATABASE_OWNER_URL: renderDatabaseUrl(database.owner) };
  const program = await startProgram(t, { args: ['migrate', '--runtime-role=no such'], env });
  assert.equal(
    await sentenceOf(program),
    `The database server has no role "no such": run "create role "no such" login password '…'" as its administrator, and then this command again.\n`,
  );
});

const EXCESSES = [
  { attributes: 'superuser', excess: 'is a superuser' },
  { attributes: 'createrole', excess: 'may create roles' },
  { attributes: `in role ${SERVER.owner.user}`, excess: `is a member of ${SERVER.owner.user}` },
  { attributes: 'in role pg_write_all_data', excess: 'is a member of pg_write_all_data' },
];
for (const { attributes, excess } of EXCESSES) {
  test(`migrate: a role that ${excess} is refused as the role of the service`, async (t) => {
    const database = await createDatabase(t);
    const role = new URL(await createRole(t, database, `login ${attributes}`)).username;
    const env = { DATABASE_OWNER_URL: renderDatabaseUrl(database.owner) };
    const program = await startProgram(t, { args: ['migrate', `--runtime-role=${role}`], env });
    const sentence = await sentenceOf(program);
    assert.ok(
      sentence.startsWith(`The rights of the role "${role}" cannot be limited, because it ${excess}: `),
      sentence,
    );
  });
}

test('migrate: the owner is refused as the role of the service', async (t) => {
  const database = await createDatabase(t);
  const env = { DATABASE_OWNER_URL: renderDatabaseUrl(database.owner) };
  const program = await startProgram(t, { args: ['migrate', `--runtime-role=${database.owner.user}`], env });
  assert.match(await sentenceOf(program), /because it is the owner: /);
});

test('embedded: a data folder without the roles of the service and the reports gets them at the next start', async (t) => {
  const folder = await makeFolder(t);
  const env = { THREADS: '1' };
  await (await startService(t, { folder, env })).stop();
  const server = await openEmbeddedServer(join(folder, '.gopherpay'));
  const client = new Client({ ...server.roles.owner, user: 'postgres' });
  await client.connect();
  const roles = [server.roles.runtime.user, server.roles.reader.user];
  for (const role of roles) await client.query(`drop owned by ${role}; drop role ${role}`);
  await client.end();
  await server.release();

  const audit = async () => await startProgram(t, { folder, args: ['audit'] });
  assert.match(await sentenceOf(await audit()), /^The database .*"gopherpay migrate"/);
  await (await startService(t, { folder, env })).stop();
  const second = await audit();
  assert.deepEqual(await second.exited, { code: 0, signal: null }, second.output());
});

/** Every statement of the service that writes, but those of recovery. */
async function useEverything(service: { url: string }): Promise<void> {
  const send = async (path: string, body?: unknown) => {
    const answer = await request(service, 'POST', path, body, { Prefer: 'wait=10' });
    assert.ok(answer.status === 200 || answer.status === 201, `${path}: ${answer.text}`);
    return String(answer.body['id']);
  };
  const move = { from_account: 'ANN', to_account: 'BOB', amount: 10 };
  await send('/accounts', { account_number: 'ANN', name: 'Ann', balance: 1000 });
  await send('/accounts', { account_number: 'BOB', name: 'Bob' });
  await send(`/transfers/${await send('/transfers', move)}/reversals`);
  await send(`/holds/${await send('/holds', move)}/capture`, { amount: 3 });
  await send(`/holds/${await send('/holds', move)}/void`);
  const expiring = await send('/holds', { ...move, expires_in: 1 });
  await send('/transfers?dry_run=true', move);
  for (const body of [{ name: 'Robert', metadata: { a: 'b' } }, {}, { overdraft_limit: 5 }]) {
    assert.equal((await request(service, 'PATCH', '/accounts/BOB', body)).status, 200);
  }
  await send('/ledgers', { name: 'shop' });
  await send('/ledgers/shop/accounts', { account_number: 'ANN', name: 'Ann', balance: 5 });
  const pending = await request(service, 'POST', '/transfers', move);
  assert.equal(pending.status, 202);
  assert.equal((await awaitFinal(service, String(pending.body['id'])))['status'], 'completed');
  const past = `/accounts/ANN/balance?at=${new Date(Date.now() - 1).toISOString()}`;
  assert.equal((await request(service, 'GET', past)).status, 200);
  await until(async () => (await request(service, 'GET', `/holds/${expiring}`)).body['state'] === 'expired', {
    what: 'the hold to expire',
  });
}

async function migrate(scope: Scope, args: string[], env: Record<string, string>): Promise<string> {
  const program = await startProgram(scope, { args: ['migrate', ...args], env });
  assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
  return program.output();
}

/** The one sentence with which a program failed; progress is logged as lines of JSON. */
async function sentenceOf(program: Program): Promise<string> {
  assert.deepEqual(await program.exited, { code: 1, signal: null }, program.output());
  return program.output().replace(/^\{"level":30,.*\n/gm, '');
}

/** Makes a role, which is dropped when the scope ends, and returns how it reaches the database. */
async function createRole(scope: Scope, database: TestDatabase, attributes: string): Promise<string> {
  const user = `test_${randomBytes(8).toString('hex')}`;
  await withAdmin(SERVER.admin, async (client) => {
    // Where the server asks for passwords, the role has that of the service.
    const { password } = database.settings;
    const withPassword = password === undefined ? '' : `password ${client.escapeLiteral(password)}`;
    await client.query(`create role ${user} ${attributes} ${withPassword}`);
  });
  onEnd(scope, async () => {
    await withAdmin(SERVER.admin, async (client) => {
      await client.query(`drop role ${user}`);
    });
  });
  return renderDatabaseUrl({ ...database.settings, user });
}

/** Makes a database without tables, which is dropped when the scope ends; how each role reaches it. */
async function createEmptyDatabase(scope: Scope): Promise<Record<'owner' | 'runtime' | 'reader', string>> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  await withAdmin(SERVER.admin, async (client) => {
    await client.query(`create database ${name} template template0 owner ${SERVER.owner.user}`);
  });
  onEnd(scope, async () => {
    await withAdmin(SERVER.admin, async (client) => {
      await client.query(`drop database if exists ${name} with (force)`);
    });
  });
  const urlOf = (user: 'owner' | 'runtime' | 'reader') => renderDatabaseUrl({ ...SERVER[user], database: name });
  return { owner: urlOf('owner'), runtime: urlOf('runtime'), reader: urlOf('reader') };
}
