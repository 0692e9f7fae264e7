// A server with stock settings, by itself and behind PgBouncer. Skipped only if these are not installed; .ci/run
// installs them and runs this file.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { findInstalled } from '../support/installed.ts';
import { hasPooler, startPooler } from '../support/pooler.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { request, startProgram, startService } from '../support/service.ts';
import { KEYED, open, shown, withOptions } from './sessions.ts';

let stock: TestServer | null = null;

before(async (scope) => {
  if ((await findInstalled()) === null) return;
  const server = await startServer('installed', '');
  onEnd(scope, () => server.stop());
  stock = server;
});

test('session: nothing is compiled on a server with stock settings', async (t) => {
  if (stock === null) return t.skip('PostgreSQL is not installed on this machine.');
  const database = await createDatabase(t, stock);
  const connection = await open(t, database.settings, { keyed: true });
  const explain = async (): Promise<string> => {
    const { rows } = await connection.query<Record<string, string>>(
      'explain analyze select closed_until from journal_head',
    );
    return rows.flatMap((row) => Object.values(row)).join('\n');
  };
  assert.doesNotMatch(await explain(), /JIT/);
  // The setting alone makes the difference, where the server can compile at all.
  const { rows } = await connection.query<{ jit: boolean }>(
    `select pg_jit_available() as jit from set_config('jit', 'on', false)`,
  );
  if (rows[0]?.jit) assert.match(await explain(), /JIT/);
  else t.diagnostic('The installed PostgreSQL cannot compile.');
});

for (const lines of [[], ['server_round_robin = 1'], ['default_pool_size = 1'], ['server_reset_query_always = 1']]) {
  const kind = ['pool_mode = transaction', ...lines].join(', ');
  test(`pooler: PgBouncer with ${kind} is refused at the start`, async (t) => {
    if (stock === null || !hasPooler()) return t.skip('PgBouncer is not installed on this machine.');
    const url = await startPooler(t, await createDatabase(t, stock), ['pool_mode = transaction', ...lines]);
    const program = await startProgram(t, { args: ['serve'], database: { url }, env: { PORT: '0', THREADS: '2' } });
    assert.deepEqual(await program.exited, { code: 1, signal: null }, program.output());
    assert.match(program.output(), /^A pooler in front of the database [^\n]+ set pool_mode=session [^\n]+\.\n$/);
    const audit = await startProgram(t, { args: ['audit'], database: { url } });
    assert.deepEqual(await audit.exited, { code: 1, signal: null }, audit.output());
  });
}

for (const lines of [[], ['ignore_startup_parameters = options,extra_float_digits'], ['server_round_robin = 1']]) {
  const kind = ['pool_mode = session', ...lines].join(', ');
  test(`pooler: PgBouncer with ${kind} works`, async (t) => {
    if (stock === null || !hasPooler()) return t.skip('PgBouncer is not installed on this machine.');
    const database = await createDatabase(t, stock);
    await database.query(`alter database ${database.name} set timezone = 'Asia/Tokyo'`);
    const url = withOptions(await startPooler(t, database, ['pool_mode = session', ...lines]), {
      search_path: 'public',
    });
    const connection = await open(t, { connectionString: url }, { keyed: true });
    assert.deepEqual(await shown(connection, { ...KEYED, search_path: '' }), { ...KEYED, search_path: 'public' });
    const service = await startService(t, { database: { url }, env: { THREADS: '2' } });
    const opened = await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann', balance: 7 });
    assert.equal(opened.status, 201, opened.text);
    assert.ok(Math.abs(Date.parse(String(opened.body['created_at'])) - Date.now()) < 60_000, opened.text);
    assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
    const audit = await startProgram(t, { args: ['audit'], database: { url } });
    assert.deepEqual(await audit.exited, { code: 0, signal: null }, audit.output());
  });
}
