import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { renderTable } from '../../src/cli/load/render.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type Scope, SCOPES } from '../../src/domain/access.ts';
import { makeKey, type TestKey } from '../support/keys.ts';
import { checkPromises } from '../support/promises/check.ts';
import { MAIN, makeFolder, type Program, request, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

test('load: a broken feed is followed again, and transfers settled meanwhile are counted', async (t) => {
  const ids: string[] = [];
  let broken = 0;
  const send = (response: ServerResponse, status: number, body: unknown) =>
    response
      .writeHead(status, { 'content-type': 'application/json' })
      .end(body === undefined ? '' : JSON.stringify(body));
  const service = createServer((request, response) => {
    request.resume();
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://service');
    if (pathname === '/accounts') send(response, 201, {});
    else if (request.method === 'DELETE') send(response, 204, undefined);
    else if (pathname.startsWith('/accounts/')) send(response, 200, { balance: 0, status: 'open' });
    else if (pathname === '/balances') send(response, 200, { journal_number: 0, currencies: [] });
    else if (pathname === '/transfers') {
      const id = `transfer-${ids.length}`;
      ids.push(id);
      send(response, 202, { id, status: 'pending' });
    } else if (broken < 3) {
      broken += 1;
      request.socket.destroy();
    } else {
      const after = Number(searchParams.get('after'));
      const settled = ids.slice(after).map((id) => ({ id }));
      send(response, 200, {
        items: settled.length === 0 ? [] : [{ journal_number: after + settled.length, transfers: settled }],
        next: after + settled.length,
      });
    }
  });
  service.listen(0, '127.0.0.1');
  await once(service, 'listening');
  t.after(() => service.close());
  const address = service.address();
  assert.ok(typeof address === 'object' && address !== null);
  const url = `http://127.0.0.1:${address.port}`;
  const options = ['--url', url, '--duration', '1', '--connections', '2', '--accounts', '2', '--json', '--yes'];
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, 'load', ...options]);
  const { accepted, settled } = JSON.parse(stdout);
  assert.equal(broken, 3);
  assert.equal(accepted, ids.length);
  assert.equal(settled, accepted);
});

test('load: the table keeps names and values apart, however long a name is', () => {
  const counts = {
    offered: 9,
    accepted: 7,
    refused: 0,
    failed: 2,
    settled: 7,
    settledAsFailed: 0,
    acceptedPerSecond: 7,
    settledPerSecond: 7,
  };
  const errors = { database_unavailable: 2 };
  const table = renderTable({ seconds: 1, ...counts, acceptMs: null, refuseMs: null, finalMs: null, errors });
  assert.match(table, /^database_unavailable  2 requests$/m);
  assert.match(table, /^failed                2$/m);
});

test('load: opens its own accounts, sweeps their money and closes them', async (t) => {
  const { database, url } = await startBooks(t);
  const program = await startLoad(t, url, ['--yes', '--json', '--duration=1', '--accounts=7', '--skew=1']);
  assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
  const { accepted, settled, swept, left, prefix } = JSON.parse(program.stdout());
  assert.ok(accepted > 0);
  assert.equal(settled, accepted);
  assert.deepEqual(left, []);
  const accounts = await assertSwept(database);
  assert.deepEqual(
    accounts,
    Array.from({ length: 7 }, (_, index) => `${prefix}-${index}`),
  );
  const [funded] = await database.query<{ sum: string; max: bigint }>(
    `select sum(amount)::text as sum, max(amount) as max from transfers where description = 'Opening balance' and amount <> 12345`,
  );
  assert.equal(Number(funded?.sum), swept, 'All money from @external was returned.');
  assert.ok(Number(funded?.max) < 10_000_000);
  const failed = await database.query(`select from transfers where status = 'failed'`);
  assert.equal(failed.length, 0, 'The funds were enough.');
  await checkPromises(database, { nothingPending: true });
});

test('load: a run stopped by Ctrl-C shows its summary and sweeps the money', async (t) => {
  const { database, url } = await startBooks(t);
  const program = await startLoad(t, url, ['--yes', '--duration=600', '--accounts=20']);
  await until(() => /\n3 s .*accepted [1-9]/.test(program.output()), { what: 'the first line about the load' });
  process.kill(program.pid, 'SIGINT');
  assert.deepEqual(await program.exited, { code: 130, signal: null }, program.output());
  assert.match(program.stdout(), /^offered +\d+ transfers in .*\naccepted +[1-9]/);
  assert.match(program.output(), /Stopped by SIGINT\.\n$/);
  assert.equal((await assertSwept(database)).length, 20);
  await checkPromises(database, { nothingPending: true });
});

test('load: a run stopped while it opens accounts sweeps the money', async (t) => {
  const { database, url } = await startBooks(t);
  const program = await startLoad(t, url, ['--yes', '--accounts=100000']);
  await until(async () => (await countAccounts(database)) > 10, { what: 'the first accounts' });
  process.kill(program.pid, 'SIGTERM');
  assert.deepEqual(await program.exited, { code: 143, signal: null }, program.output());
  assert.equal(program.stdout(), '');
  assert.ok((await assertSwept(database)).length < 100_000);
});

test('load: requires --yes without a terminal, and writes nothing otherwise', async (t) => {
  const { database, url } = await startBooks(t);
  const program = await startLoad(t, url, ['--accounts=2']);
  assert.deepEqual(await program.exited, { code: 2, signal: null });
  assert.match(
    program.output(),
    /^A load test needs --yes where it cannot ask\. It opens accounts in the books of http.*\n$/,
  );
  assert.equal(await countAccounts(database), 0);
});

test('load: an unreachable service is not reported as an unreachable database', async (t) => {
  const away = await startLoad(t, 'http://127.0.0.1:1/', ['--yes']);
  assert.deepEqual(await away.exited, { code: 4, signal: null });
  assert.match(
    away.output(),
    /^The service at http:\/\/127\.0\.0\.1:1 is out of reach \(.*ECONNREFUSED.*\): check that it runs \("npm start" starts one\), and check --url\.\n$/,
  );

  const other = createServer((_request, response) => void response.end('<p>Hello'));
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.after(() => other.close());
  const address = other.address();
  assert.ok(typeof address === 'object' && address !== null);
  const stranger = await startLoad(t, `http://127.0.0.1:${address.port}`, ['--yes']);
  assert.deepEqual(await stranger.exited, { code: 1, signal: null });
  assert.match(stranger.output(), /is not GopherPay: check --url\.\n$/);
});

test('load: every request carries the key of --key-file', async (t) => {
  const { database, url } = await startBooks(t);
  const key = await makeKey(database);
  await untilClosed(url);
  const path = await writeKey(t, `${key.text}\n`);
  const program = await startLoad(t, url, ['--yes', '--json', '--duration=1', '--accounts=7', `--key-file=${path}`]);
  assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
  const { accepted, settled, failed } = JSON.parse(program.stdout());
  assert.ok(accepted > 0);
  assert.deepEqual({ settled, failed }, { settled: accepted, failed: 0 });
  assert.equal((await assertSwept(database)).length, 7);
  const keys = await database.query(
    `select distinct ordered_by from transfers where from_account like 'LOAD-%' or to_account like 'LOAD-%'`,
  );
  assert.deepEqual(keys, [{ ordered_by: key.id }]);
  assert.ok(!program.output().includes(key.text), 'The key is not printed.');
});

test('load: a service with keys needs one, and the sentence says how to create it', async (t) => {
  const { database, url } = await startBooks(t);
  await makeKey(database);
  await untilClosed(url);
  const without = await startLoad(t, url, ['--yes', '--accounts=2']);
  assert.deepEqual(await without.exited, { code: 2, signal: null });
  assert.match(
    without.output(),
    /^The service needs a key: create one with `gopherpay keys create --name=load --scopes=[a-z:,]+` and pass --key-file\.\n$/,
  );
  const unknown = await startLoad(t, url, ['--yes', `--key-file=${await writeKey(t, 'gp_unknown')}`]);
  assert.deepEqual(await unknown.exited, { code: 1, signal: null });
  assert.match(unknown.output(), /^The service refuses the key in --key-file: The key is unknown, .*\n$/);
  assert.equal(await countAccounts(database), 0);
});

test('load: a key with too few scopes is refused before anything is written', async (t) => {
  const { database, url } = await startBooks(t);
  // With other scopes than those of the sentence, which are the ones that the test needs.
  const needed: readonly Scope[] = [
    'accounts:read',
    'accounts:write',
    'accounts:admin',
    'transfers:write',
    'funding:write',
    'events:read',
    'statements:read',
  ];
  for (const scope of needed) {
    const key = await makeKey(database, { scopes: SCOPES.filter((each) => each !== scope) });
    await untilKnown(url, key);
    const program = await startLoad(t, url, ['--yes', `--key-file=${await writeKey(t, key.text)}`]);
    assert.deepEqual(await program.exited, { code: 1, signal: null });
    const sentence = `The key in --key-file lacks the scope ${scope}: a load test needs --scopes=${needed.join(',')}.\n`;
    assert.equal(program.output(), sentence);
  }
  const narrow = await makeKey(database, { limits: { accountPrefix: 'SHOP-' } });
  await untilKnown(url, narrow);
  const program = await startLoad(t, url, ['--yes', `--key-file=${await writeKey(t, narrow.text)}`]);
  assert.deepEqual(await program.exited, { code: 1, signal: null });
  assert.match(program.output(), /^The key in --key-file cannot be used for a load test: The key is limited to .*\n$/);
  assert.equal(await countAccounts(database), 0);
});

test('load: a key file that cannot be used is reported with its path', async (t) => {
  const path = await writeKey(t, 'one\ntwo\n');
  const two = await startLoad(t, 'http://127.0.0.1:1/', ['--yes', `--key-file=${path}`]);
  assert.deepEqual(await two.exited, { code: 2, signal: null });
  assert.equal(two.output(), `${path} is not a key: --key-file names a file with one key, in one line.\n`);
  const missing = await startLoad(t, 'http://127.0.0.1:1/', ['--yes', `--key-file=${path}.missing`]);
  assert.deepEqual(await missing.exited, { code: 2, signal: null });
  assert.match(missing.output(), /^The file of --key-file cannot be read: ENOENT.*\.missing'\.\n$/);
});

async function writeKey(t: TestContext, text: string): Promise<string> {
  const path = join(await makeFolder(t), 'load.key');
  await writeFile(path, text);
  return path;
}

async function untilClosed(url: string): Promise<void> {
  await until(async () => (await request({ url }, 'GET', '/accounts')).status === 401, { what: 'the first key' });
}

async function untilKnown(url: string, { headers }: TestKey): Promise<void> {
  const isKnown = async () => (await request({ url }, 'GET', '/accounts/x', undefined, headers)).status !== 401;
  await until(isKnown, { what: 'the key to be known' });
}

/** A service, and books in which another account has money already. */
async function startBooks(t: TestContext): Promise<{ database: TestDatabase; url: string }> {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '2' } });
  const body = { account_number: 'ANN', name: 'Ann', balance: 12_345 };
  assert.equal((await request(service, 'POST', '/accounts', body)).status, 201);
  return { database, url: service.url };
}

async function startLoad(t: TestContext, url: string, args: string[]): Promise<Program> {
  return await startProgram(t, { args: ['load', `--url=${url}`, '--connections=4', ...args] });
}

async function countAccounts(database: TestDatabase): Promise<number> {
  return (await database.query(`select from accounts where account_number like 'LOAD-%'`)).length;
}

/** Asserts that only ANN and @external have money, and returns the numbers of the test's accounts. */
async function assertSwept(database: TestDatabase): Promise<string[]> {
  const rows = await database.query<{ account_number: string; balance: bigint; status: string }>(
    'select account_number, balance, status from accounts order by length(account_number), account_number',
  );
  const [ann, external, ...tested] = rows;
  assert.deepEqual(ann, { account_number: 'ANN', balance: 12_345n, status: 'open' });
  assert.deepEqual(external, { account_number: '@external', balance: -12_345n, status: 'open' });
  for (const { account_number: number, balance, status } of tested) {
    assert.match(number, /^LOAD-/);
    assert.deepEqual({ balance, status }, { balance: 0n, status: 'closed' }, number);
  }
  return tested.map(({ account_number: number }) => number);
}
