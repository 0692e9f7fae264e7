// Only the settings count: no variable of the environment that PostgreSQL's own clients read changes anything.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startPostgres } from '../support/postgres.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { makeFolder, request, startService } from '../support/service.ts';
import { FREE, open, shown } from './sessions.ts';

test('environment: variables of PostgreSQL change nothing', async (t) => {
  const database = await createDatabase(t);
  setEnvironment(t, {
    PGHOST: '/nowhere',
    PGPORT: '1',
    PGUSER: 'stranger',
    PGDATABASE: 'elsewhere',
    PGPASSWORD: 'wrong',
    PGOPTIONS: '-c default_transaction_read_only=on -c search_path=nowhere',
    PGAPPNAME: 'stranger',
    PGSSLMODE: 'require',
    PGSSLNEGOTIATION: 'direct',
    PGCLIENT_ENCODING: 'LATIN1',
    PGCLIENTENCODING: 'LATIN1',
    PGBINARY: 'true',
    PGREPLICATION: 'database',
    PGCONNECT_TIMEOUT: '1',
    PGTZ: 'Asia/Tokyo',
    PGDATESTYLE: 'German',
  });
  const expected = { ...FREE, application_name: 'test', search_path: '"$user", public' };
  for (const settings of [database.settings, { connectionString: database.url }]) {
    assert.deepEqual(await shown(await open(t, settings), expected), expected);
  }
});

test('environment: a password comes from the settings only', async (t) => {
  const folder = await makeFolder(t);
  const server = await startPostgres(t, join(folder, 'data'));
  await server.askPassword('ada', 'right');
  const passwords = join(folder, 'pgpass');
  await writeFile(passwords, '*:*:*:*:right\n', { mode: 0o600 });
  setEnvironment(t, { PGPASSWORD: 'right', PGPASSFILE: passwords });
  const address = { host: server.admin.host, port: server.admin.port, user: 'ada', database: 'postgres' };
  await assert.rejects(open(t, address), {
    message: 'The database asks for a password and the settings have none: add it to DATABASE_URL, or set DB_PASSWORD.',
  });
  await open(t, { ...address, password: 'right' });
});

test('environment: the environment does not reach the embedded server', async (t) => {
  const env = {
    PGSSLMODE: 'require',
    PGOPTIONS: '-c default_transaction_read_only=on',
    PGHOST: '/nowhere',
    PGPORT: '1',
    PGUSER: 'stranger',
    PGDATABASE: 'elsewhere',
    PGDATA: '/nowhere',
    PGTZ: 'Asia/Tokyo',
    TZ: 'Asia/Tokyo',
    LC_ALL: 'tr_TR.UTF-8',
    NODE_PG_FORCE_NATIVE: '1',
  };
  const service = await startService(t, { env: { ...env, THREADS: '1' } });
  const opened = await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann', balance: 700 });
  assert.equal(opened.status, 201, opened.text);
  assert.ok(Math.abs(Date.parse(String(opened.body['created_at'])) - Date.now()) < 60_000, opened.text);
  assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
});

function setEnvironment(t: TestContext, variables: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(variables)) process.env[name] = value;
  onEnd(t, () => {
    for (const name of Object.keys(variables)) delete process.env[name];
  });
}
