// Goal: accounts are found by parts of a name, as people write it, and a key finds only what it may read.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeKey, type TestKey } from '../support/keys.ts';
import { request, type Service, startService } from '../support/service.ts';

const PEOPLE: Readonly<Record<string, string>> = {
  A1: 'Ann Smith',
  A2: 'ANNA-MARIA O’Brien',
  A3: 'Bob Smithers',
  A4: 'Jürgen Müller',
  A5: 'Smith & Sons, Ltd. 100%_',
  A6: 'Annette Ann Smith',
  B1: '王小明',
  B2: '🧀',
  B3: 'Straße',
};

let database: TestDatabase;
let service: Service;
let key: TestKey;
let limited: TestKey;
let other: TestKey;

before(async (t) => {
  database = await createDatabase(t);
  key = await makeKey(database);
  limited = await makeKey(database, { limits: { accountPrefix: 'B' } });
  other = await makeKey(database, { scopes: ['accounts:write'] });
  service = await startService(t, { database, env: { THREADS: '2' } });
  const accounts = Object.entries(PEOPLE).map(([number, name]) => ({ account_number: number, name }));
  const { status, text } = await request(service, 'POST', '/accounts', { accounts }, key.headers);
  assert.equal(status, 201, text);
  await request(service, 'PATCH', '/accounts/A3', { status: 'frozen', metadata: { tier: 'gold' } }, key.headers);
  await request(service, 'POST', '/ledgers', { name: 'shop' }, key.headers);
  await request(service, 'POST', '/ledgers/shop/accounts', { account_number: 'S1', name: 'Ann Smith' }, key.headers);
});

async function list(query: Record<string, string>, path = '/accounts', by = key) {
  const { status, body, text } = await request(
    service,
    'GET',
    `${path}?${new URLSearchParams(query).toString()}`,
    undefined,
    by.headers,
  );
  assert.ok(status === 200 && Array.isArray(body['items']), text);
  const numbers = body['items'].map(({ account_number: number }: Record<string, unknown>) => number);
  return { numbers, next: body['next'] };
}

for (const [name, numbers] of [
  ['smith', ['A1', 'A3', 'A5', 'A6']],
  ['Smith ann', ['A1', 'A6']],
  ['ann', ['A1', 'A2', 'A6']],
  ['ann anne', ['A6']],
  ['o’brien', ['A2']],
  ["O'BRIEN maria", ['A2']],
  ['muller', ['A4']],
  ['mu\u0308ll', ['A4']],
  ['strasse', ['B3']],
  ['王', ['B1']],
  ['100%', ['A5']],
  ['smith%', ['A1', 'A3', 'A5', 'A6']],
  ['sm_th', []],
  ['s%h', []],
  ['mith', []],
  ['nothing', []],
  ['The world', []],
] as const) {
  test(`names: "${name}" finds ${numbers.join(', ') || 'no account'}`, async () => {
    assert.deepEqual((await list({ name })).numbers, numbers);
    assert.deepEqual((await list({ name, order: 'desc' })).numbers, numbers.toReversed());
  });
}

test('names: pages follow each other in both directions', async () => {
  for (const order of ['asc', 'desc']) {
    for (const limit of ['1', '2', '3']) {
      const found: unknown[] = [];
      let after: Record<string, string> = {};
      for (;;) {
        const { numbers, next } = await list({ name: 'smith', order, limit, ...after });
        found.push(...numbers);
        if (typeof next !== 'string') break;
        after = { after: next };
      }
      const all = ['A1', 'A3', 'A5', 'A6'];
      assert.deepEqual(found, order === 'asc' ? all : all.toReversed());
    }
  }
});

test('names: other filters, and the ledger, narrow what is found', async () => {
  assert.deepEqual((await list({ name: 'smith', status: 'frozen' })).numbers, ['A3']);
  assert.deepEqual((await list({ name: 'smith', metadata: 'tier:gold' })).numbers, ['A3']);
  assert.deepEqual((await list({ name: 'smith', currency: 'EUR' })).numbers, []);
  assert.deepEqual((await list({ name: 'smith' }, '/ledgers/shop/accounts')).numbers, ['S1']);
});

test('names: a key finds only accounts that it may read', async () => {
  assert.deepEqual((await list({ name: 'smith' }, '/accounts', limited)).numbers, []);
  assert.deepEqual((await list({ name: 'strasse' }, '/accounts', limited)).numbers, ['B3']);
  const { status } = await request(service, 'GET', '/accounts?name=ann', undefined, other.headers);
  assert.equal(status, 403);
});

test('names: text without letters and digits finds none, and a very long one is refused', async () => {
  for (const name of ['', ' ', '%', '🧀', '\u0000', 'x'.repeat(201)]) {
    const path = `/accounts?${new URLSearchParams({ name }).toString()}`;
    const { status, body } = await request(service, 'GET', path, undefined, key.headers);
    if (name.length > 200) assert.deepEqual([status, body['code']], [400, 'invalid_request']);
    else assert.deepEqual([status, body['items']], [200, []], name);
  }
});

test('names: a name of many or of long words can be opened, changed and found', async () => {
  const words = Array.from({ length: 66 }, (_, index) => String(10 + index)).join(' ');
  for (const name of [words, 'x'.repeat(200), '\uFDFA'.repeat(200), '𐐀'.repeat(200), '\u0390'.repeat(200)]) {
    const opened = await request(service, 'POST', '/accounts', { name }, key.headers);
    assert.equal(opened.status, 201, opened.text);
    const path = `/accounts/${String(opened.body['account_number'])}`;
    const changed = await request(service, 'PATCH', path, { name: `${name.slice(0, 150)} end` }, key.headers);
    assert.equal(changed.status, 200, changed.text);
    const { numbers } = await list({ name: name.slice(0, 20) });
    assert.ok(numbers.includes(opened.body['account_number']), name);
  }
});

test('names: no log line has a name that was searched for', async () => {
  await list({ name: 'smithers' });
  await request(service, 'GET', '/accounts?name=smithers&limit=x', undefined, key.headers);
  assert.doesNotMatch(service.output(), /smith/i);
});
