// --ledger on report, statement and load: which books a command reads, and its error for a missing ledger.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { SHOP, writeLedger } from '../support/sample-ledgers.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeFolder, type Program, startProgram, startService } from '../support/service.ts';

let database: TestDatabase;

before(async (t) => {
  database = await createDatabase(t);
  const client = await database.connect();
  await writeLedger(client);
  await writeLedger(client, SHOP);
});

async function run(t: TestContext, args: string[], folder?: string): Promise<Program & { code: number | null }> {
  const program = await startProgram(t, { database, args, ...(folder === undefined ? {} : { folder }) });
  const { code } = await program.exited;
  return { ...program, code };
}

/** What the second ledger's file would be in main: its name, and its share of the money. */
function translate(csv: string, money: readonly number[]): string {
  return csv
    .split('\n')
    .map((line) =>
      line
        .split(',')
        .map((cell, index) =>
          money.includes(index) && /^-?\d+$/.test(cell) ? String(Number(cell) / SHOP.factor) : cell,
        )
        .join(','),
    )
    .join('\n')
    .replaceAll('shop', 'main');
}

test('report: --ledger reads the books of that ledger, into its own folder', async (t) => {
  const folder = await makeFolder(t);
  for (const ledger of ['main', 'shop']) {
    const { code, output } = await run(t, ['report', '--user=BOB', `--ledger=${ledger}`], folder);
    assert.equal(code, 0, output());
  }
  assert.deepEqual((await readdir(join(folder, 'reports'))).toSorted(), ['BOB.csv', 'shop']);
  const main = await readFile(join(folder, 'reports', 'BOB.csv'), 'utf8');
  const shop = await readFile(join(folder, 'reports', 'shop', 'BOB.csv'), 'utf8');
  assert.ok(main.split('\n').length > 20);
  // No description of this account has a comma, so that a line is its cells.
  const lines = (text: string) => text.split('\n').filter((line) => !line.includes('"'));
  assert.deepEqual(lines(translate(shop, [3, 12, 13])), lines(main));
  assert.doesNotMatch(main, /shop/);
  const own = await run(t, ['report', '--user=BOB', '--output=-'], folder);
  assert.equal(own.stdout(), main);
});

test('statement: --ledger reads the books of that ledger, into its own folder', async (t) => {
  const folder = await makeFolder(t);
  for (const ledger of ['main', 'shop']) {
    const args = ['statement', '--account=ANN', '--month=2026-01', '--format=json', `--ledger=${ledger}`];
    const { code, output } = await run(t, args, folder);
    assert.equal(code, 0, output());
  }
  assert.deepEqual((await readdir(join(folder, 'reports'))).toSorted(), ['ANN-2026-01.json', 'shop']);
  const read = async (path: string) => JSON.parse(await readFile(join(folder, 'reports', path), 'utf8'));
  const main = await read('ANN-2026-01.json');
  const shop = await read('shop/ANN-2026-01.json');
  assert.equal(shop.closing_balance, SHOP.factor * main.closing_balance);
  assert.equal(shop.entries.length, main.entries.length);
});

for (const args of [
  ['report', '--user=ANN'],
  ['statement', '--account=ANN', '--month=2026-01'],
]) {
  test(`${args[0]}: an unknown ledger exits with 2, and nothing is written`, async (t) => {
    const folder = await makeFolder(t);
    const { code, output } = await run(t, [...args, '--ledger=none'], folder);
    assert.equal(code, 2);
    assert.equal(output(), 'There is no ledger "none"; the ledgers are main, shop.\n');
    assert.deepEqual(await readdir(folder), []);
    const malformed = await run(t, [...args, '--ledger=No'], folder);
    assert.equal(malformed.code, 2);
    assert.match(
      malformed.output(),
      /^The option --ledger is wrong: it must be the name of a ledger, such as main\.\n$/,
    );
  });
}

test('load: every path has the ledger that --ledger names', async (t) => {
  const paths = new Set<string>();
  const ids: string[] = [];
  const send = (response: ServerResponse, status: number, body?: unknown) =>
    response
      .writeHead(status, { 'content-type': 'application/json' })
      .end(body === undefined ? '' : JSON.stringify(body));
  const service = createServer((request, response) => {
    request.resume();
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://service');
    const [, prefix = '', path = ''] = /^(\/ledgers\/shop)(\/.*)$/.exec(pathname) ?? [];
    // The version of the service is of no ledger.
    if (pathname !== '/openapi.json') paths.add(prefix);
    if (path === '/accounts') send(response, 201, {});
    else if (request.method === 'DELETE') send(response, 204);
    else if (path.startsWith('/accounts/')) send(response, 200, { balance: 0, status: 'open' });
    else if (path === '/balances') send(response, 200, { journal_number: 0, currencies: [] });
    else if (path === '/transfers') {
      const id = `transfer-${ids.length}`;
      ids.push(id);
      send(response, 202, { id, status: 'pending' });
    } else {
      const after = Number(searchParams.get('after'));
      const settled = ids.slice(after).map((id) => ({ id }));
      const next = after + settled.length;
      send(response, 200, { items: next === after ? [] : [{ journal_number: next, transfers: settled }], next });
    }
  });
  service.listen(0, '127.0.0.1');
  await once(service, 'listening');
  t.after(() => service.close());
  const address = service.address();
  assert.ok(typeof address === 'object' && address !== null);
  const url = `http://127.0.0.1:${address.port}`;
  const options = ['--duration=1', '--connections=2', '--accounts=2', '--json', '--yes', '--ledger=shop'];
  const { code, output, stdout } = await run(t, ['load', `--url=${url}`, ...options]);
  assert.equal(code, 0, output());
  assert.equal(JSON.parse(stdout()).settled, ids.length);
  assert.deepEqual([...paths], ['/ledgers/shop']);
});

test('load: an unknown ledger exits with 2, before anything is written', async (t) => {
  const own = await createDatabase(t);
  const service = await startService(t, { database: own, env: { THREADS: '1' } });
  const { code, output } = await run(t, ['load', `--url=${service.url}`, '--yes', '--ledger=none']);
  assert.equal(code, 2);
  assert.equal(output(), 'There is no ledger "none"; the ledgers are main.\n');
  assert.deepEqual(await own.query('select from accounts'), []);
});
