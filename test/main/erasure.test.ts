// Erasing personal data, over HTTP and as an attacker sees it who has every row of the database.
import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { connect, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { findAll } from '../support/audit.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { decrypt } from '../support/personal-data.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, type Service, startService } from '../support/service.ts';

const PERSON = { name: 'Zebulon Quux', email: 'z@quux.example', phone: '+49 30 0004711', date_of_birth: '1987-06-05' };
const ERASED = { name: null, email: null, phone: null, date_of_birth: null, personal_data_erased: true };
const CANDIDATES = 10_000;
const key = (name: string) => ({ 'Idempotency-Key': name });

type Scene = { database: TestDatabase; service: Service };

async function setTheScene(t: TestContext): Promise<Scene> {
  const database = await createDatabase(t);
  return { database, service: await startService(t, { database, env: { THREADS: '2', LOG_LEVEL: 'warn' } }) };
}

async function send(
  { service }: Scene,
  ...sent: Parameters<typeof request> extends [unknown, ...infer Rest] ? Rest : never
) {
  const { status, body, headers, text } = await request(service, ...sent);
  return { status, body, code: body['code'], replayed: headers['idempotency-replayed'] === 'true', text };
}

async function open(
  scene: Scene,
  fields: Record<string, unknown>,
  headers: Record<string, string> = {},
): Promise<void> {
  const { status, text } = await send(scene, 'POST', '/accounts', { ...PERSON, ...fields }, headers);
  assert.equal(status, 201, text);
}

async function erase(scene: Scene, account: string): Promise<void> {
  const { status, text } = await send(scene, 'DELETE', `/accounts/${account}/personal-data`);
  assert.equal(status, 204, text);
}

/** The judge and the audit find nothing. */
async function assertWhole({ database }: Scene): Promise<void> {
  await checkPromises(database, { nothingPending: true });
  const connection = await connect(database.settings, READING_TIMEOUTS, { applicationName: 'test' });
  await connection.query('begin isolation level repeatable read, read only');
  const { discrepancies } = await findAll(connection);
  await disconnect(connection);
  assert.deepEqual(discrepancies, []);
}

/** Every row of every table but one, as text, as a superuser reads it. */
async function dump({ database }: Scene, except = ''): Promise<string> {
  const tables = await database.query<{ name: string }>(
    `select oid::regclass::text as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`,
  );
  assert.ok(tables.length > 10);
  const rows = await Promise.all(
    tables
      .filter(({ name }) => name !== except)
      .map(async ({ name }) => await database.query<{ row: string }>(`select ${name}::text as row from ${name}`)),
  );
  return rows
    .flat()
    .map(({ row }) => row)
    .join('\n');
}

test('erasure: the account stays, with its money and without its personal data', async (t) => {
  const scene = await setTheScene(t);
  await open(scene, { account_number: 'ZEB', balance: 500, metadata: { tier: 'gold' } });
  const before = (await send(scene, 'GET', '/accounts/ZEB')).body;
  assert.deepEqual({ ...before, ...PERSON }, before);
  await erase(scene, 'ZEB');
  const after = (await send(scene, 'GET', '/accounts/ZEB')).body;
  assert.deepEqual(after, { ...before, ...ERASED });
  const { body } = await send(scene, 'GET', '/accounts');
  assert.deepEqual(Array.isArray(body['items']) && body['items'][1], after);
  await assertWhole(scene);
});

test('erasure: is sealed once, however often it is requested', async (t) => {
  const scene = await setTheScene(t);
  await open(scene, { account_number: 'ZEB' });
  await Promise.all(Array.from({ length: 5 }, async () => await erase(scene, 'ZEB')));
  await erase(scene, 'ZEB');
  const changes = await scene.database.query(`select from account_changes where account_number = 'ZEB'`);
  assert.equal(changes.length, 2);
  await assertWhole(scene);
});

test('erasure: an account that is closed, or whose money moves, is erased like any other', async (t) => {
  const scene = await setTheScene(t);
  await open(scene, { account_number: 'ZEB', balance: 500 });
  await open(scene, { account_number: 'SHUT' });
  assert.equal((await send(scene, 'DELETE', '/accounts/SHUT')).status, 204);
  const paid = { from_account: 'ZEB', to_account: '@external', amount: 1 };
  const payments = Array.from(
    { length: 20 },
    async () => await send(scene, 'POST', '/transfers', paid, { Prefer: 'wait=10' }),
  );
  await Promise.all([...payments, erase(scene, 'ZEB'), erase(scene, 'SHUT')]);
  const closed = (await send(scene, 'GET', '/accounts/SHUT')).body;
  assert.deepEqual({ ...closed, ...ERASED, status: 'closed' }, closed);
  assert.equal((await send(scene, 'GET', '/accounts/ZEB')).body['balance'], 480);
  await assertWhole(scene);
});

test('erasure: @external and unknown accounts have no personal data', async (t) => {
  const scene = await setTheScene(t);
  await open(scene, { account_number: 'ZEB' });
  for (const account of ['@external', 'NOSUCH']) {
    const { status, code } = await send(scene, 'DELETE', `/accounts/${account}/personal-data`);
    assert.deepEqual([status, code], [404, 'account_not_found'], account);
  }
  assert.equal((await send(scene, 'GET', '/accounts/@external')).body['name'], 'The world outside');
});

test('erasure: an account of the same number in another ledger keeps its personal data', async (t) => {
  const scene = await setTheScene(t);
  await send(scene, 'POST', '/ledgers', { name: 'shop' });
  await open(scene, { account_number: 'ZEB' });
  await send(scene, 'POST', '/ledgers/shop/accounts', { account_number: 'ZEB', name: 'Zeb in the shop' });
  await erase(scene, 'ZEB');
  assert.equal((await send(scene, 'GET', '/accounts/ZEB')).body['name'], null);
  assert.equal((await send(scene, 'GET', '/ledgers/shop/accounts/ZEB')).body['name'], 'Zeb in the shop');
  await assertWhole(scene);
});

test('erasure: erased fields cannot be set again, and the others can', async (t) => {
  const scene = await setTheScene(t);
  await open(scene, { account_number: 'ZEB' });
  await erase(scene, 'ZEB');
  for (const change of [
    { name: 'Z' },
    { email: 'z@quux.example' },
    { phone: null },
    { date_of_birth: null, status: 'frozen' },
  ]) {
    const { status, code } = await send(scene, 'PATCH', '/accounts/ZEB', change);
    assert.deepEqual([status, code], [409, 'personal_data_erased'], JSON.stringify(change));
  }
  const { status, body } = await send(scene, 'PATCH', '/accounts/ZEB', { overdraft_limit: 7, status: 'frozen' });
  assert.deepEqual([status, { ...body, ...ERASED, overdraft_limit: 7, status: 'frozen' }], [200, body]);
  await assertWhole(scene);
});

test('erasure: a change that races with it is before it, or refused', async (t) => {
  const scene = await setTheScene(t);
  for (const account of ['A', 'B', 'C', 'D']) {
    await open(scene, { account_number: account });
    const changes = Array.from(
      { length: 6 },
      async (_, index) => await send(scene, 'PATCH', `/accounts/${account}`, { phone: `030 ${index}` }),
    );
    const [answers] = await Promise.all([Promise.all(changes), erase(scene, account)]);
    for (const { status, text } of answers) assert.ok(status === 200 || status === 409, text);
    const now = (await send(scene, 'GET', `/accounts/${account}`)).body;
    assert.deepEqual({ ...now, ...ERASED }, now);
  }
  await assertWhole(scene);
});

test('erasure: statements of an erased account have no name', async (t) => {
  const scene = await setTheScene(t);
  await open(scene, { account_number: 'ZEB', balance: 500 });
  const path = `/accounts/ZEB/statements/${new Date().toISOString().slice(0, 7)}`;
  assert.equal((await send(scene, 'GET', path)).body['name'], PERSON.name);
  await erase(scene, 'ZEB');
  const { body } = await send(scene, 'GET', path);
  assert.deepEqual([body['name'], body['closing_balance']], [null, 500]);
  const page = await fetch(`${scene.service.url}${path}`, { headers: { Accept: 'text/html' } });
  assert.match(await page.text(), /<p class="holder">Account <bdi>ZEB<\/bdi><\/p>/);
});

test('erasure: what is stored is decrypted with the key of the account only, and only words of names are stored in clear', async (t) => {
  const scene = await setTheScene(t);
  await open(scene, { account_number: 'ZEB', balance: 1 }, key('open-zeb'));
  await open(scene, { account_number: 'YVE', name: 'Yvonne', phone: null });
  await send(scene, 'PATCH', '/accounts/YVE', { email: 'yve@quux.example' });
  const words = await scene.database.query<{ word: string }>('select word from account_words order by word');
  assert.deepEqual(
    words.map(({ word }) => word),
    ['QUUX', 'YVONNE', 'ZEBULON'],
  );
  // Only the words of names are in clear, and only there.
  const everything = (await dump(scene, 'account_words')).toLowerCase();
  for (const word of ['quux', 'quux.example', '0004711', '1987-06-05', 'yvonne'])
    assert.ok(!everything.includes(word), word);
  const rows = await scene.database.query<{ account: string; personal_data: Buffer; key: Buffer }>(
    `select account_number as account, personal_data, key
     from accounts join personal_keys using (ledger_id, account_number, currency)
     order by account_number`,
  );
  const [yve, zeb] = rows;
  assert.ok(yve && zeb && rows.length === 2);
  const owner = { ledger: 1, currency: 'USD' };
  assert.deepEqual(decrypt({ ...owner, account: 'ZEB' }, zeb.personal_data, zeb.key), {
    name: PERSON.name,
    email: PERSON.email,
    phone: PERSON.phone,
    dateOfBirth: PERSON.date_of_birth,
  });
  assert.deepEqual(decrypt({ ...owner, account: 'YVE' }, yve.personal_data, yve.key), {
    name: 'Yvonne',
    email: 'yve@quux.example',
    dateOfBirth: PERSON.date_of_birth,
  });
  assert.throws(() => decrypt({ ...owner, account: 'ZEB' }, zeb.personal_data, yve.key));
  assert.throws(() => decrypt({ ...owner, account: 'YVE' }, zeb.personal_data, zeb.key));
});

test('erasure: personal data that was moved to another account, with its key or without, is not shown', async (t) => {
  const scene = await setTheScene(t);
  const swap = (column: string, table: string): string => `
    update ${table} set ${column} = other.${column}
    from ${table} as other
    where other.account_number <> ${table}.account_number and '@external' not in (other.account_number, ${table}.account_number)`;
  for (const account of ['ANN', 'BOB']) await open(scene, { account_number: account, name: account });
  await scene.database.query(swap('personal_data', 'accounts'));
  for (const path of ['/accounts/ANN', '/accounts/BOB', '/accounts']) {
    assert.deepEqual((await send(scene, 'GET', path)).code, 'internal_error', path);
  }
  await scene.database.query(swap('key', 'personal_keys'));
  assert.equal((await send(scene, 'GET', '/accounts/ANN')).code, 'internal_error');
  await scene.database.query(swap('personal_data', 'accounts'));
  await scene.database.query(swap('key', 'personal_keys'));
  assert.equal((await send(scene, 'GET', '/accounts/ANN')).body['name'], 'ANN');
});

/** The telephone numbers that an attacker tries; the right one is among them. */
const phones = Array.from({ length: CANDIDATES }, (_, index) => `+49 30 ${String(index).padStart(7, '0')}`);

/** The phone numbers that a fingerprint or seal in a dump confirms. The attacker knows everything else of the account. */
async function guess(scene: Scene, requested: Record<string, unknown>): Promise<string[]> {
  const everything = await dump(scene);
  const hashes = new Set(everything.match(/(?<=x)[0-9a-f]{64}\b/g));
  assert.ok(hashes.size > 5);
  const accounts = await scene.database.query<{ tail: string }>(
    `select concat_ws(chr(31), overdraft_limit, metadata::text, (extract(epoch from created_at) * 1000000)::bigint) as tail
     from accounts where account_number = 'ZEB'`,
  );
  const keys = (await scene.database.query<{ key: Buffer }>('select key from personal_keys')).map((row) => row.key);
  const { name, email, date_of_birth: dateOfBirth } = PERSON;
  return phones.filter((phone) => {
    const people = { ...requested, phone };
    const canonical = (content: unknown): string =>
      JSON.stringify(content, (_, value: unknown) =>
        typeof value === 'object' && value !== null && !Array.isArray(value)
          ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
          : value,
      );
    const fields = JSON.stringify([name, email, phone, dateOfBirth]);
    const text = JSON.stringify({ name, email, phone, dateOfBirth });
    const seal = ['ZEB', 'USD', 'open', name, email, phone, dateOfBirth, accounts[0]?.tail].join('\u001f');
    const guesses = [
      seal,
      canonical(['accounts', people]),
      canonical(['accounts', { accounts: [people] }]),
      fields,
      text,
    ];
    return (
      guesses.some((guessed) => hashes.has(createHash('sha256').update(guessed).digest('hex'))) ||
      keys.some((each) => hashes.has(createHmac('sha256', each).update(fields).digest('hex')))
    );
  });
}

test('erasure: every row of the database does not confirm a guessed telephone number afterwards', async (t) => {
  const scene = await setTheScene(t);
  const requested = {
    ...PERSON,
    account_number: 'ZEB',
    currency: 'USD',
    balance: 0,
    overdraft_limit: 0,
    metadata: {},
  };
  await open(scene, requested, key('open-zeb'));
  const [row] = await scene.database.query<{ personal_data: string; key: string }>(
    `select encode(personal_data, 'hex') as personal_data, encode(key, 'hex') as key
     from accounts join personal_keys using (ledger_id, account_number, currency)`,
  );
  assert.ok(row);
  // The attack works as long as there is a key.
  assert.deepEqual(await guess(scene, requested), [PERSON.phone]);
  await assertWhole(scene);
  await erase(scene, 'ZEB');
  assert.deepEqual(await guess(scene, requested), []);
  const everything = await dump(scene);
  assert.ok(!everything.includes(row.key) && !everything.includes(row.personal_data));
  await assertWhole(scene);
});

test('erasure: an erased account is not found by its names any more, and no table has a word of them', async (t) => {
  const scene = await setTheScene(t);
  const find = async (name: string) => {
    const { body, text } = await send(scene, 'GET', `/accounts?name=${name}`);
    assert.ok(Array.isArray(body['items']), text);
    return body['items'].length;
  };
  await open(scene, { account_number: 'ZEB' });
  await open(scene, { account_number: 'YVE', name: 'Yve Quux' });
  await send(scene, 'PATCH', '/accounts/ZEB', { name: 'Zebedee Corge' });
  assert.deepEqual([await find('zeb'), await find('zebulon'), await find('corge'), await find('quux')], [1, 0, 1, 1]);
  await erase(scene, 'ZEB');
  await erase(scene, 'YVE');
  assert.deepEqual([await find('zeb'), await find('corge'), await find('quux')], [0, 0, 0]);
  const everything = (await dump(scene)).toLowerCase();
  for (const word of ['zebulon', 'quux', 'zebedee', 'corge']) assert.ok(!everything.includes(word), word);
  await assertWhole(scene);
});

test('erasure: changes of a name that race with it leave no word behind', async (t) => {
  const scene = await setTheScene(t);
  for (const account of ['A', 'B', 'C', 'D']) {
    await open(scene, { account_number: account });
    const changes = Array.from(
      { length: 6 },
      async (_, index) => await send(scene, 'PATCH', `/accounts/${account}`, { name: `Zebulon ${index}` }),
    );
    await Promise.all([...changes, erase(scene, account)]);
  }
  assert.deepEqual(await scene.database.query('select word from account_words'), []);
});

test('erasure: the planner keeps no samples of keys and of what they encrypt', async (t) => {
  const scene = await setTheScene(t);
  for (let index = 0; index < 20; index += 1) await open(scene, { account_number: `Z${index}` });
  await scene.database.query('analyze');
  const sampled = await scene.database.query<{ name: string }>(
    `select attname as name from pg_stats where attname in ('key', 'personal_data', 'word', 'account_number')
       and tablename in ('accounts', 'personal_keys', 'account_words')`,
  );
  assert.deepEqual([...new Set(sampled.map(({ name }) => name))], ['account_number']);
});

test('erasure: a replayed opening is compared without the erased data', async (t) => {
  const scene = await setTheScene(t);
  const body = { ...PERSON, account_number: 'ZEB', balance: 5 };
  const replay = async (change: object) =>
    await send(scene, 'POST', '/accounts', { ...body, ...change }, key('open-zeb'));
  await open(scene, body, key('open-zeb'));
  assert.ok((await replay({})).replayed);
  assert.equal((await replay({ phone: '030 1' })).code, 'idempotency_key_reused');
  await erase(scene, 'ZEB');
  for (const change of [{}, { phone: '030 1' }]) {
    const { status, replayed, body: account } = await replay(change);
    assert.deepEqual([status, replayed, { ...account, ...ERASED }], [201, true, account]);
  }
  for (const change of [{ balance: 6 }, { account_number: 'YVE' }, { metadata: { a: 'b' } }]) {
    assert.equal((await replay(change)).code, 'idempotency_key_reused', JSON.stringify(change));
  }
  await assertWhole(scene);
});

test('erasure: a replayed opening of a list shows which account of it was erased', async (t) => {
  const scene = await setTheScene(t);
  const accounts = ['ANN', 'BOB'].map((number) => ({ ...PERSON, account_number: number, name: number, balance: 3 }));
  const replay = async (list: unknown[]) => await send(scene, 'POST', '/accounts', { accounts: list }, key('two'));
  assert.equal((await replay(accounts)).status, 201);
  const other = accounts.map((account) => ({ ...account, name: 'Zed' }));
  assert.equal((await replay(other)).code, 'idempotency_key_reused');
  assert.equal((await replay(accounts.toReversed())).code, 'idempotency_key_reused');
  await erase(scene, 'BOB');
  const { status, replayed, body } = await replay(accounts);
  assert.deepEqual([status, replayed], [201, true]);
  assert.ok(Array.isArray(body['accounts']));
  assert.deepEqual(
    body['accounts'].map(({ name, personal_data_erased: erased }: Record<string, unknown>) => [name, erased]),
    [
      ['ANN', undefined],
      [null, true],
    ],
  );
  await assertWhole(scene);
});
