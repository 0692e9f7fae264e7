// Goal: what all tests with a database or a service rely on works.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onEnd } from './support/cleanup.ts';
import { createDatabase, renderDatabaseUrl } from './support/database.ts';
import { checkPromises } from './support/promises/check.ts';
import { parseServerKind, startServer } from './support/server.ts';
import { awaitFinal, request, startService } from './support/service.ts';
import { until } from './support/until.ts';

test('database: the role of the service does not own the tables, and neither role is a superuser', async (t) => {
  const database = await createDatabase(t);
  const { user } = database.settings;
  const rows = await database.query(
    `select rolname, rolsuper, tableowner = rolname as owns
     from pg_roles cross join pg_tables
     where tablename = 'transfers' and rolname in ($1::text, tableowner)
     order by owns`,
    [user],
  );
  assert.deepEqual(rows, [
    { rolname: user, rolsuper: false, owns: false },
    { rolname: database.owner.user, rolsuper: false, owns: true },
  ]);
  assert.match(database.url, /^postgresql:\/\//);
});

test('database: a socket is named in the query of a URL', () => {
  const settings = { host: '/tmp/a folder/socket', port: 5432, user: 'gopherpay', database: 'books' };
  const url = renderDatabaseUrl(settings);
  assert.equal(url, 'postgresql://gopherpay@localhost:5432/books?host=%2Ftmp%2Fa+folder%2Fsocket');
});

test('server: a crash breaks every connection and loses nothing that was committed', async (t) => {
  const own = await startServer(
    parseServerKind(process.env['TEST_DATABASE']),
    process.env['TEST_POSTGRES_IMAGE'] ?? 'postgres:18',
  );
  onEnd(t, () => own.stop());
  const books = await createDatabase(t, own);
  const connection = await books.connect();
  await books.query(`insert into accounts (ledger_id, account_number, currency) values (1, 'ANN', 'EUR')`);
  const broken = new Promise<void>((resolve) => {
    connection.once('end', resolve);
  });
  await own.crash();
  // The server breaks one connection after the other: the crashed session may see it before this one does.
  await broken;
  await assert.rejects(connection.query('select 1'));
  const numbers = await until(() => books.query('select account_number from accounts').catch(() => null), {
    what: 'its recovery',
  });
  assert.deepEqual(numbers, [{ account_number: 'ANN' }]);
});

test('service: a process has its environment, output and cleanup', async (t) => {
  const books = await createDatabase(t);
  const service = await startService(t, { database: books, env: { LOG_LEVEL: 'debug' } });
  await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann', currency: 'EUR', balance: 1000 });
  await request(service, 'POST', '/accounts', { account_number: 'BOB', name: 'Bob', currency: 'EUR' });
  const accepted = await request(service, 'POST', '/transfers', {
    from_account: 'ANN',
    to_account: 'BOB',
    amount: 300,
  });
  assert.equal(accepted.status, 202, accepted.text);
  const id = String(accepted.body['id']);
  assert.equal((await awaitFinal(service, id))['status'], 'completed');
  assert.deepEqual(await service.stop(), { code: 0, signal: null });
  assert.ok(service.logs().length > 0, 'Its log is JSON.');
  await checkPromises(books, { accepted: [id], nothingPending: true });
});

test('service: a start that fails is reported with what it printed', async (t) => {
  await assert.rejects(
    startService(t, { env: { THREADS: 'many' } }),
    /^Error: The service ended before it was ready\. It printed:\n.*THREADS/,
  );
});

test('until: times out with an error that names the condition', async () => {
  let asked = 0;
  assert.equal(await until(() => (++asked === 3 ? 'an answer' : undefined), { what: 'an answer' }), 'an answer');
  await assert.rejects(
    until(() => false, { timeoutMs: 30, what: 'a balance of 7' }),
    { message: 'Timed out after 30 ms waiting for a balance of 7.' },
  );
});
