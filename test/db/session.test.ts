// Every session has the settings that the code requires, for any settings of the URL, the role or the database.
// Settings that cannot work are refused.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Client } from 'pg';
import {
  connect,
  createPool,
  type DatabaseSettings,
  disconnect,
  READING_TIMEOUTS,
} from '../../src/db/connection/connect.ts';
import { retryPolicyOf, SessionError } from '../../src/db/connection/errors.ts';
import { migrate } from '../../src/db/ledger/migrate.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { createDatabase, renderDatabaseUrl, type TestDatabase } from '../support/database.ts';
import { ADDRESS_VARIABLE, parseServerAddress, withAdmin } from '../support/server.ts';
import { request, startProgram, startService } from '../support/service.ts';
import { FREE, KEYED, open, shown, timeouts, withOptions } from './sessions.ts';

const SERVER = parseServerAddress(process.env[ADDRESS_VARIABLE]);
/** Values that a role, a database or a URL may well have, each of which would change an answer, its speed or its durability. */
const ADVERSE: Readonly<Record<string, string>> = {
  timezone: 'America/New_York',
  datestyle: 'SQL, DMY',
  intervalstyle: 'iso_8601',
  bytea_output: 'escape',
  extra_float_digits: '-10',
  array_nulls: 'off',
  transform_null_equals: 'on',
  row_security: 'on',
  gin_fuzzy_search_limit: '1',
  jit: 'on',
  synchronous_commit: 'off',
  default_transaction_isolation: 'serializable',
  default_transaction_deferrable: 'on',
  statement_timeout: '30s',
  lock_timeout: '30s',
  idle_in_transaction_session_timeout: '30s',
  idle_session_timeout: '30s',
  enable_indexscan: 'off',
  enable_nestloop: 'off',
  plan_cache_mode: 'force_custom_plan',
  client_connection_check_interval: '0',
  client_min_messages: 'error',
};

for (const origin of ['database', 'role', 'URL'] as const) {
  test(`session: settings of the ${origin} do not replace those that the code relies on`, async (t) => {
    const database = await createDatabase(t);
    const settings = await setAdversely(t, database, origin);
    for (const options of [{ keyed: false }, { keyed: true }, { keyed: true, pipeline: true }]) {
      const connection = await open(t, settings, options);
      assert.deepEqual(await shown(connection, KEYED), options.keyed ? KEYED : FREE);
    }
    const pool = createPool(settings, timeouts, 2);
    onEnd(t, () => pool.end());
    for (const found of await Promise.all(Array.from({ length: 5 }, async () => await shown(pool, FREE)))) {
      assert.deepEqual(found, FREE);
    }
  });
}

test('session: a statement with timeout 0 is unbounded, regardless of the role', async (t) => {
  const database = await createDatabase(t);
  const settings = await setAdversely(t, database, 'database');
  const connection = await connect(settings, READING_TIMEOUTS, { applicationName: 'test', readOnly: true });
  onEnd(t, () => disconnect(connection));
  const bounds = {
    statement_timeout: '0',
    idle_in_transaction_session_timeout: '0',
    default_transaction_read_only: 'on',
  };
  assert.deepEqual(await shown(connection, bounds), bounds);
});

test('session: a stricter synchronous_commit of the role or the URL is kept', async (t) => {
  const database = await createDatabase(t);
  const strict = { synchronous_commit: 'remote_apply' };
  const named = await open(t, { connectionString: withOptions(database.url, strict) });
  assert.deepEqual(await shown(named, strict), strict);
  await database.query(`alter database ${database.name} set synchronous_commit = remote_apply`);
  assert.deepEqual(await shown(await open(t, database.settings), strict), strict);
});

test('session: other settings of the URL are kept, however they are written', async (t) => {
  const database = await createDatabase(t);
  const url = new URL(database.url);
  url.searchParams.set('options', String.raw`-c search_path=books,\ "My\ Books" -cwork-mem=7MB --Application.Tag=a\\b`);
  const connection = await open(t, { connectionString: url.href });
  const own = { search_path: 'books, "My Books"', work_mem: '7MB', 'application.tag': 'a\\b' };
  assert.deepEqual(await shown(connection, own), own);
});

test('session: URL parameters that pg interprets itself change nothing', async (t) => {
  const database = await createDatabase(t);
  const url = `${database.url}${database.url.includes('?') ? '&' : '?'}statement_timeout=1&query_timeout=1&binary=true&replication=database&client_encoding=LATIN1&max=1&application_name=mine`;
  const connection = await open(t, { connectionString: url });
  const result = await connection.query<{ one: number; name: string }>(
    `select 1 as one, current_setting('application_name') as name from pg_sleep(0.05)`,
  );
  assert.deepEqual(result.rows, [{ one: 1, name: 'test' }]);
  assert.deepEqual(await shown(connection, FREE), FREE);
});

test('session: an option of the URL that the server refuses is named in a sentence', async (t) => {
  const database = await createDatabase(t);
  await assert.rejects(open(t, { connectionString: withOptions(database.url, { serach_path: 'books' }) }), {
    name: 'Error',
    message:
      'The server refuses a setting of the session (unrecognized configuration parameter "serach_path"): correct the options of DATABASE_URL, or let the role set it.',
  });
});

test('session: a URL that names a missing schema is refused', async (t) => {
  const database = await createDatabase(t);
  const connectionString = `${database.url}${database.url.includes('?') ? '&' : '?'}schema=books`;
  await refuses(
    open(t, { connectionString }),
    /its parameter "schema" is not one of PostgreSQL's; name the schema with/,
  );
});

test('session: a database that does not store UTF8 is refused', async (t) => {
  const name = `test_${randomBytes(8).toString('hex')}`;
  await withAdmin(SERVER.admin, (client) =>
    client.query(`create database ${name} template template0 encoding 'SQL_ASCII' locale 'C' locale_provider libc`),
  );
  onEnd(t, async () => {
    await withAdmin(SERVER.admin, (client) => client.query(`drop database ${name} with (force)`));
  });
  await refuses(open(t, { ...SERVER.owner, database: name }), /^The database stores text as SQL_ASCII, and GopherPay/);
});

test('session: a read-only database is refused, except by what only reads', async (t) => {
  const database = await createDatabase(t);
  const writable = createPool(database.settings, timeouts, 1);
  onEnd(t, () => writable.end());
  await database.query(`alter database ${database.name} set default_transaction_read_only = on`);
  await refuses(open(t, database.settings), /^The database is read-only \(a standby, or default_transaction_read_only/);
  await refuses(open(t, database.settings, { keyed: true, pipeline: true }), /^The database is read-only/);
  await refuses(writable.query('select 1'), /^The database is read-only/);
  await open(t, database.settings, { readOnly: true });
  await database.query(`alter database ${database.name} reset default_transaction_read_only`);
  await writable.query('select 1');
});

test('session: disabled append-only triggers are refused', async (t) => {
  const database = await createDatabase(t);
  await database.query(`alter database ${database.name} set session_replication_role = replica`);
  await refuses(open(t, database.settings), /^The session runs without the triggers/);
});

test('session: migrations, service and audit work in any schema', async (t) => {
  const database = await createDatabase(t);
  const admin = await database.connect();
  await admin.query(`drop schema public cascade; create schema "Pay 1" authorization ${SERVER.owner.user}`);
  await refuses(
    migrate({ connectionString: withOptions(renderDatabaseUrl(database.owner), { search_path: 'nowhere' }) }),
    /^The search_path nowhere names no schema of the database/,
  );
  const url = withOptions(database.url, { search_path: '"Pay 1"' });
  const ownerUrl = withOptions(renderDatabaseUrl(database.owner), { search_path: '"Pay 1"' });
  await Promise.all([migrate({ connectionString: ownerUrl }), migrate({ connectionString: ownerUrl })]);
  const env = { THREADS: '1', DATABASE_OWNER_URL: ownerUrl };
  const service = await startService(t, { database: { url }, env });
  for (const account_number of ['ANN', 'BOB']) {
    await request(service, 'POST', '/accounts', { account_number, name: account_number, currency: 'EUR', balance: 5 });
  }
  const payment = { from_account: 'ANN', to_account: 'BOB', amount: 2 };
  const paid = await request(service, 'POST', '/transfers', payment, { Prefer: 'wait=10' });
  assert.equal(paid.body['status'], 'completed', paid.text);
  assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
  const audit = await startProgram(t, { args: ['audit'], database: { url } });
  assert.deepEqual(await audit.exited, { code: 0, signal: null }, audit.output());
  const schemas = await admin.query<{ schemaname: string }>(
    `select distinct schemaname from pg_tables where tableowner = '${SERVER.owner.user}'`,
  );
  assert.deepEqual(schemas.rows, [{ schemaname: 'Pay 1' }]);
});

test('session: books are found in their schema after another schema precedes it', async (t) => {
  const database = await createDatabase(t);
  const admin = await database.connect();
  await admin.query(`create schema ${SERVER.owner.user} authorization ${SERVER.owner.user}`);
  await migrate(database.owner, { roles: { runtime: SERVER.runtime.user, reader: null } });
  const { rows } = await admin.query(`select schemaname from pg_tables where tablename = 'migrations'`);
  assert.deepEqual(rows, [{ schemaname: 'public' }]);
});

/** Applies the adverse settings to the database, its role, or its URL, and returns how to connect. */
async function setAdversely(
  t: Scope,
  { name, admin, settings, url }: TestDatabase,
  origin: 'database' | 'role' | 'URL',
): Promise<DatabaseSettings> {
  if (origin === 'URL') return { connectionString: withOptions(url, ADVERSE) };
  const client = new Client({ ...admin, database: 'postgres' });
  await client.connect();
  onEnd(t, () => client.end());
  const target = origin === 'database' ? `database ${name}` : `role ${SERVER.runtime.user} in database ${name}`;
  for (const [setting, value] of Object.entries({ ...ADVERSE, standard_conforming_strings: 'off' })) {
    await client.query(`alter ${target} set ${setting} = ${setting === 'datestyle' ? value : `'${value}'`}`);
  }
  return settings;
}

/** It fails with a sentence of ours, after which a new connection may be tried. */
async function refuses(attempt: Promise<unknown>, sentence: RegExp): Promise<void> {
  await assert.rejects(attempt, (error: Error) => {
    assert.match(error.message, sentence);
    assert.ok(error.message.endsWith('.'), error.message);
    if (error instanceof SessionError) assert.equal(retryPolicyOf(error), 'new connection');
    return true;
  });
}
