// Ledgers over HTTP: they are created, listed and named in paths, and none shows the rows of another. The two ledgers
// of these tests have the same accounts, ids, request ids and keys; the second one has three times the money.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { IDS, JOURNAL_ROWS, MAIN, SHOP, writeLedger } from '../support/sample-ledgers.ts';
import { idOf } from '../support/ledger-writer.ts';
import { findAll } from '../support/audit.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { type Answer, request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { eventPage, follow } from './follower.ts';

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  const client = await database.connect();
  await writeLedger(client);
  await writeLedger(client, SHOP);
  // Pending transfers stay as they are: their process seems to be alive.
  await client.query(`update heartbeats set written_at = now()`);
  service = await startService(t, { database, env: { THREADS: '1', ORPHANED_AFTER_MS: '60000' } });
  onEnd(t, async () => {
    await service.stop();
    await checkPromises(database);
    const connection = await connect(database.admin, READING_TIMEOUTS, { applicationName: 'audit' });
    const { discrepancies } = await findAll(connection);
    await disconnect(connection);
    assert.deepEqual(discrepancies, []);
  });
});

const HOLD = IDS.holdOpen;
const MONTH = '2026-01';

/** Routes that read a ledger: for each the requests that show all kinds of its rows. */
const READS: Record<string, readonly string[]> = {
  'GET /accounts': ['/accounts', '/accounts?limit=2', '/accounts?metadata=tier:platinum'],
  'GET /accounts/{account_number}': ['/accounts/ANN', '/accounts/@external?currency=EUR', '/accounts/OLD'],
  'GET /accounts/{account_number}/entries': [
    '/accounts/ANN/entries',
    '/accounts/BOB/entries?order=oldest&limit=3',
    '/accounts/@external/entries?currency=USD',
  ],
  'GET /accounts/{account_number}/balance': [
    '/accounts/ANN/balance',
    '/accounts/ANN/balance?at=2026-01-01T00:00:09Z',
    '/accounts/ANN/balance?at=2026-02-01T00:00:00Z',
  ],
  'GET /accounts/{account_number}/statements/{month}': [
    `/accounts/ANN/statements/${MONTH}`,
    `/accounts/ANN/statements/2026-02`,
    `/accounts/@external/statements/${MONTH}?currency=USD`,
  ],
  'GET /transfers': [
    '/transfers?limit=1000',
    '/transfers?limit=7',
    '/transfers?account=ANN&limit=1000',
    '/transfers?account=BOB&currency=USD&status=completed',
    '/transfers?account=@external&currency=EUR',
    '/transfers?status=pending',
    '/transfers?status=failed',
    '/transfers?status=pending&currency=USD',
    '/transfers?request_id=rent-1',
    `/transfers?request_id=${idOf(5)}`,
    `/transfers?group_id=${IDS.group}`,
    `/transfers?group_id=${IDS.groupPending}`,
    `/transfers?parent_id=${IDS.rent}`,
    '/transfers?metadata=flat:7',
    '/transfers?kind=reversal&order=oldest',
    '/transfers?failure_code=insufficient_funds',
    '/transfers?account=ANN&amount_min=1&amount_max=100&description=Rent',
    '/transfers?since=2026-01-01T00:00:08Z&until=2026-01-01T00:00:12Z',
    '/transfers?account=ANN&since=2026-01-01T00:00:08Z&until=2026-01-01T00:00:12Z',
  ],
  'GET /transfers/{id}': [`/transfers/${IDS.rent}`, `/transfers/${idOf(200)}`],
  'GET /holds': ['/holds', '/holds?order=oldest', '/holds?account=ANN', '/holds?account=ANN&state=open'],
  'GET /holds/{id}': [`/holds/${HOLD}`, `/holds/${IDS.holdPartly}`],
  'GET /balances': ['/balances', '/balances?at=2026-01-01T00:00:09Z', '/balances?at=2026-02-01T00:00:00Z'],
  'GET /approvals': ['/approvals', '/approvals?state=pending&limit=1'],
  'GET /approvals/{id}': [`/approvals/${idOf(950)}`],
  'GET /audit-log': ['/audit-log', '/audit-log?refused=false&limit=1'],
  'GET /events': ['/events?limit=1000', '/events?after=8&limit=3'],
  'GET /journal': ['/journal?limit=1000', '/journal?order=oldest&limit=3'],
};
/** Routes that write to a ledger. */
const WRITES = [
  'POST /accounts',
  'PATCH /accounts/{account_number}',
  'DELETE /accounts/{account_number}',
  'DELETE /accounts/{account_number}/personal-data',
  'POST /transfers',
  'POST /transfers/{id}/reversals',
  'POST /holds',
  'POST /holds/{id}/capture',
  'POST /holds/{id}/void',
  'POST /approvals/{id}',
];
/** Routes of webhooks: webhooks.test.ts shows that they keep to their ledger. */
const WEBHOOKS = [
  'POST /webhooks',
  'GET /webhooks',
  'GET /webhooks/{id}',
  'PATCH /webhooks/{id}',
  'DELETE /webhooks/{id}',
  'POST /webhooks/{id}/rotate-secret',
  'GET /webhooks/{id}/deliveries',
  'POST /webhooks/{id}/deliveries/{number}/redeliver',
];
/** clock.test.ts shows that it keeps to its ledger. */
const CLOCK = ['POST /clock'];
/** Its records have amounts as text, so journal.test.ts shows that it keeps to its ledger. */
const RECORDS = ['GET /journal/{number}'];
/** Routes outside ledgers. */
const GLOBAL = [
  'GET /ledgers',
  'POST /ledgers',
  'GET /ledgers/{ledger}',
  'GET /healthz',
  'GET /readyz',
  'GET /metrics',
  'GET /access',
  'GET /activity',
  'GET /openapi.json',
];

const MONEY = new Set(
  `amount balance held overdraft_limit available captured released remaining opening_balance closing_balance total_in
   total_out positive negative sum`.split(/\s+/),
);
/** They cover the name of the ledger, or what differs between the two. */
const HASHES = new Set(['hash', 'previous_hash', 'digest']);

/** What the same request would show of the other ledger: with its name, and its share of the money. */
function translate(value: unknown, key: string): unknown {
  if (Array.isArray(value)) return value.map((each) => translate(each, key));
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).filter(([name]) => !HASHES.has(name));
    return Object.fromEntries(fields.map(([name, field]) => [name, translate(field, name)]));
  }
  if (typeof value === 'number' && MONEY.has(key)) return value / SHOP.factor;
  return typeof value === 'string' ? value.replaceAll(SHOP.name, MAIN.name) : value;
}

function withoutHashes(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (key, field: unknown) => (HASHES.has(key) ? undefined : field)));
}

test('ledgers: these tests classify every route as reading a ledger, writing to one, or neither', async () => {
  const { body } = await request<{ paths: Record<string, Record<string, unknown>> }>(service, 'GET', '/openapi.json');
  const routes = Object.entries(body.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(
    routes.toSorted(),
    [...Object.keys(READS), ...WRITES, ...WEBHOOKS, ...CLOCK, ...RECORDS, ...GLOBAL].toSorted(),
  );
});

for (const [route, paths] of Object.entries(READS)) {
  for (const path of paths) {
    test(`ledgers: ${path} (${route}) shows all of its ledger, and nothing of another`, async () => {
      const main = await readAll(path);
      assert.deepEqual(await readAll(`/ledgers/main${path}`), main);
      const shop = await readAll(`/ledgers/shop${path}`);
      assert.deepEqual(
        shop.map((page) => translate(page, '')),
        main.map(withoutHashes),
      );
      assert.doesNotMatch(JSON.stringify(main), /\bshop\b/);
      assert.doesNotMatch(JSON.stringify(shop), /\bof main\b|\bin main\b/);
    });
  }
}

type Page = { items?: { name?: string }[]; next?: string | number | null };

/** The pages of a list to its end, or the one answer. */
async function readAll(path: string): Promise<unknown[]> {
  const pages: unknown[] = [];
  let next: string | number | null = '';
  for (let count = 0; next !== null && count < 50; count += 1) {
    const after: string = next === '' ? '' : `${path.includes('?') ? '&' : '?'}after=${next}`;
    const first: string = next === '' ? path : path.replace(/after=\d+&/, '');
    const answer: Answer<Page> = await request<Page>(service, 'GET', `${first}${after}`);
    assert.equal(answer.status, 200, `${path} ${answer.text}`);
    pages.push(answer.body);
    const { items, next: following = null } = answer.body;
    // The feed has no end.
    next = items?.length === 0 ? null : following;
  }
  return pages;
}

test('ledgers: the data of one ledger is not in another', async () => {
  const created = await request(service, 'POST', '/ledgers', { name: 'bare' });
  assert.equal(created.status, 201, created.text);
  for (const path of ['/accounts', '/transfers?limit=1000', '/events', `/transfers?group_id=${IDS.group}`]) {
    assert.deepEqual(await request(service, 'GET', `/ledgers/bare${path}`).then(({ body }) => body['items']), [], path);
  }
  const { body } = await request(service, 'GET', '/ledgers/bare/balances');
  assert.deepEqual(body, { object: 'trial_balance', at: null, journal_number: 0, settled_at: null, currencies: [] });
  const missing = [
    ['GET', '/accounts/ANN', 'account_not_found'],
    ['GET', '/accounts/ANN/entries', 'account_not_found'],
    ['GET', '/accounts/ANN/balance', 'account_not_found'],
    ['GET', `/accounts/ANN/statements/${MONTH}`, 'account_not_found'],
    ['PATCH', '/accounts/ANN', 'account_not_found'],
    ['DELETE', '/accounts/ANN', 'account_not_found'],
    ['GET', `/transfers/${IDS.rent}`, 'transfer_not_found'],
    ['POST', `/transfers/${IDS.rent}/reversals`, 'transfer_not_found'],
    ['GET', `/holds/${HOLD}`, 'hold_not_found'],
    ['POST', `/holds/${HOLD}/capture`, 'hold_not_found'],
    ['POST', `/holds/${HOLD}/void`, 'hold_not_found'],
  ] as const;
  for (const [method, path, code] of missing) {
    const answer = await request(service, method, `/ledgers/bare${path}`, method === 'PATCH' ? {} : undefined);
    assert.deepEqual([answer.status, answer.body['code']], [404, code], `${method} ${path}`);
  }
});

test('ledgers: a change of an account is made, and sealed, in its own ledger', async () => {
  const before = { main: await request(service, 'GET', '/accounts/ANN'), ends: await ends() };
  const changed = await request(service, 'PATCH', '/ledgers/shop/accounts/ANN', { name: 'Anna of shop' });
  assert.deepEqual([changed.status, changed.body['name']], [200, 'Anna of shop'], changed.text);
  assert.deepEqual((await request(service, 'GET', '/accounts/ANN')).body, before.main.body);
  const refused = await request(service, 'DELETE', '/ledgers/shop/accounts/ANN');
  assert.equal(refused.body['code'], 'account_not_empty');

  for (const prefix of ['', '/ledgers/shop']) {
    const opened = await request(service, 'POST', `${prefix}/accounts`, { account_number: 'SPARE', name: 'Spare' });
    assert.equal(opened.status, 201, opened.text);
  }
  assert.equal((await request(service, 'DELETE', '/ledgers/shop/accounts/SPARE')).status, 204);
  assert.equal((await request(service, 'GET', '/ledgers/shop/accounts/SPARE')).body['status'], 'closed');
  assert.equal((await request(service, 'GET', '/accounts/SPARE')).body['status'], 'open');
  const after = await ends();
  assert.deepEqual([after[0] - before.ends[0], after[1] - before.ends[1]], [1, 3]);
});

async function ends(): Promise<[main: number, shop: number]> {
  const [main, shop] = await database.query<{ number: bigint }>(
    'select number from journal_ends where ledger_id in (1, 2) order by ledger_id',
  );
  return [Number(main?.number), Number(shop?.number)];
}

test('ledgers: the feed of a ledger has its own numbers, and no event of another', async (t) => {
  const [, end] = await ends();
  const shop = follow(t, service, { after: end, ledger: 'shop' });
  const bare = follow(t, service, { after: 0, ledger: 'main' });
  await until(() => shop.isOpen() && bare.isOpen(), { what: 'the streams' });
  await request(service, 'PATCH', '/accounts/BOB', { name: 'Bob in main' });
  const patched = await request(service, 'PATCH', '/ledgers/shop/accounts/CID', { name: 'Cid in shop' });
  assert.equal(patched.status, 200, patched.text);
  await until(() => shop.events.length > 0 && bare.events.length > JOURNAL_ROWS, { what: 'the events' });
  assert.deepEqual(
    shop.events.map(({ journal_number: number, account_changes: changes }) => [number, changes]),
    [[end + 1, [{ type: 'account.updated', account_number: 'CID', currency: 'USD', change_number: 4 }]]],
  );
  const { items } = eventPage.parse((await request(service, 'GET', `/ledgers/shop/events?after=${end}`)).body);
  assert.deepEqual(items, shop.events);
  const beyond = await request(service, 'GET', `/ledgers/shop/events?after=${end + 100}`);
  assert.equal(beyond.status, 400, beyond.text);
});

test('ledgers: an answer about the past closes the books of its ledger only', async () => {
  const closed = async () =>
    await database.query<{ closed_until: string }>(
      'select closed_until::text from journal_head where ledger_id in (1, 2) order by ledger_id',
    );
  // After the earlier settlements: the books are closed up to there anyway.
  await sleep(1100);
  const [before] = await closed();
  const { headers } = await request(service, 'GET', '/healthz');
  const at = new Date(String(headers['date'])).toISOString();
  const answer = await request(service, 'GET', `/ledgers/shop/balances?at=${at}`);
  assert.equal(answer.status, 200, answer.text);
  const [main, shop] = await closed();
  assert.deepEqual(main, before);
  assert.ok(new Date(String(shop?.closed_until)).getTime() >= new Date(at).getTime());
});

test('ledgers: a ledger is created once, shown, and listed in order of name', async (t) => {
  const own = await startOwn(t);
  const created = await request(own, 'POST', '/ledgers', { name: 'eu-west_1' });
  assert.equal(created.status, 201, created.text);
  assert.deepEqual(Object.keys(created.body), ['object', 'name', 'created_at', 'clock', 'now']);
  assert.equal(created.headers['location'], '/ledgers/eu-west_1');
  assert.deepEqual((await request(own, 'GET', '/ledgers/eu-west_1')).body, created.body);
  const again = await request(own, 'POST', '/ledgers', { name: 'eu-west_1' });
  assert.deepEqual([again.status, again.body['code']], [409, 'ledger_exists']);
  assert.equal((await request(own, 'POST', '/ledgers', { name: 'main' })).body['code'], 'ledger_exists');
  for (const name of ['b', 'a', '9']) await request(own, 'POST', '/ledgers', { name });
  const names: (string | undefined)[] = [];
  let next: string | number | null = '';
  while (next !== null) {
    const { body }: Answer<Page> = await request<Page>(
      own,
      'GET',
      `/ledgers?limit=2${next === '' ? '' : `&after=${next}`}`,
    );
    assert.ok((body.items ?? []).length <= 2);
    for (const { name } of body.items ?? []) names.push(name);
    next = body.next ?? null;
  }
  assert.deepEqual(names, ['9', 'a', 'b', 'eu-west_1', 'main']);
  assert.equal((await request(own, 'GET', '/ledgers?after=No')).body['code'], 'invalid_request');
  assert.deepEqual((await request(own, 'GET', '/ledgers/eu-west_1/accounts')).body, {
    object: 'list',
    items: [],
    next: null,
  });
});

test('ledgers: an invalid name is refused', async () => {
  for (const name of ['', 'Shop', '-a', '_a', 'a'.repeat(64), 'a b', 'ä', 7, null, undefined]) {
    const answer = await request(service, 'POST', '/ledgers', { name });
    assert.deepEqual([answer.status, answer.body['code']], [400, 'invalid_request'], String(name));
  }
  assert.equal((await request(service, 'POST', '/ledgers', { name: 'x', more: 1 })).status, 400);
  assert.equal((await request(service, 'POST', '/ledgers', { name: `x${'y'.repeat(62)}` })).status, 201);
});

test('ledgers: a key is answered as the first time, and refused with another name', async (t) => {
  const own = await startOwn(t);
  const key = { 'idempotency-key': 'make-shop' };
  const first = await request(own, 'POST', '/ledgers', { name: 'shop' }, key);
  const again = await request(own, 'POST', '/ledgers', { name: 'shop' }, key);
  assert.deepEqual([again.status, again.body], [201, first.body]);
  assert.equal(first.headers['idempotency-replayed'], undefined);
  assert.equal(again.headers['idempotency-replayed'], 'true');
  const other = await request(own, 'POST', '/ledgers', { name: 'shop-2' }, key);
  assert.deepEqual([other.status, other.body['code'], other.body['ledger']], [422, 'idempotency_key_reused', 'shop']);
  const otherKey = await request(own, 'POST', '/ledgers', { name: 'shop' }, { 'idempotency-key': 'other' });
  assert.equal(otherKey.body['code'], 'ledger_exists');
  const malformed = await request(own, 'POST', '/ledgers', { name: 'shop-3' }, { 'idempotency-key': 'a b' });
  assert.equal(malformed.body['code'], 'invalid_request');
  assert.equal((await request(own, 'GET', '/ledgers/shop-2')).status, 404);
});

test('ledgers: ledgers created concurrently have ids and heads of their own', async (t) => {
  const own = await startOwn(t);
  const names = Array.from({ length: 20 }, (_, index) => `l${index}`);
  const answers = await Promise.all(
    [...names, ...names].map(async (name) => await request(own, 'POST', '/ledgers', { name })),
  );
  const statuses = answers.map(({ status }) => status);
  assert.equal(statuses.filter((status) => status === 201).length, 20, String(statuses));
  assert.equal(statuses.filter((status) => status === 409).length, 20);
  const rows = await own.database.query<{ id: number }>(
    'select id from ledgers join journal_head on journal_head.ledger_id = ledgers.id order by id',
  );
  assert.deepEqual(
    rows.map(({ id }) => id),
    Array.from({ length: 21 }, (_, index) => index + 1),
  );
});

test('ledgers: their number is bounded', async (t) => {
  const own = await startOwn(t);
  await own.database.query(`insert into ledgers (id, name) values (100000, 'last')`);
  await own.database.query('insert into journal_head (ledger_id) values (100000)');
  const refused = await request(own, 'POST', '/ledgers', { name: 'more' });
  assert.deepEqual([refused.status, refused.body['code']], [409, 'too_many_ledgers']);
});

test('ledgers: a missing ledger is answered with ledger_not_found before the body is read', async () => {
  const refused = async (answer: Promise<Answer<Record<string, unknown>>>) => {
    const { status, body } = await answer;
    return [status, body['code']];
  };
  for (const name of ['none', 'None', 'a%2Fb', 'a'.repeat(64), '%20', '..%2f', '@external']) {
    assert.deepEqual(
      await refused(request(service, 'GET', `/ledgers/${name}/accounts`)),
      [404, 'ledger_not_found'],
      name,
    );
  }
  assert.deepEqual(await refused(request(service, 'GET', '/ledgers/none')), [404, 'ledger_not_found']);
  assert.deepEqual(await refused(request(service, 'POST', '/ledgers/none/transfers', 'no JSON')), [
    404,
    'ledger_not_found',
  ]);
  assert.deepEqual(await refused(request(service, 'GET', '/ledgers/%zz/accounts')), [400, 'invalid_request']);
});

test('ledgers: routes outside ledgers have no path under a ledger', async () => {
  for (const path of [
    '/healthz',
    '/readyz',
    '/metrics',
    '/openapi.json',
    '/ledgers',
    '/ledgers/shop',
    '/ledgers/shop/accounts',
    '/',
    '',
  ]) {
    const { status, body } = await request(service, 'GET', `/ledgers/shop${path === '' ? '/x' : path}`);
    assert.deepEqual([status, body['code']], [404, 'not_found'], path);
  }
  const { headers, status, body } = await request(service, 'PUT', '/ledgers/shop/accounts');
  assert.deepEqual([status, body['code'], headers['allow']], [405, 'method_not_allowed', 'POST, GET, HEAD, OPTIONS']);
  assert.equal((await request(service, 'DELETE', '/ledgers/shop')).body['code'], 'method_not_allowed');
});

test('ledgers: the OpenAPI document names the ledger in a server variable, and not in the paths', async () => {
  type Document = {
    servers: { url: string; variables?: Record<string, { default: string }> }[];
    paths: Record<string, Record<string, { servers?: { url: string }[] }>>;
  };
  const { body } = await request<Document>(service, 'GET', '/openapi.json');
  assert.deepEqual(
    body.servers.map(({ url, variables }) => [url, variables?.['ledger']?.default]),
    [
      ['/', undefined],
      ['/ledgers/{ledger}', 'main'],
    ],
  );
  for (const [path, methods] of Object.entries(body.paths)) {
    for (const [method, { servers }] of Object.entries(methods)) {
      const isGlobal = GLOBAL.includes(`${method.toUpperCase()} ${path}`);
      assert.deepEqual(servers, isGlobal ? [{ url: '/' }] : undefined, path);
    }
  }
});

test('ledgers: the log names the ledger of each request', async () => {
  await request(service, 'GET', '/ledgers/shop/accounts/ANN', undefined, { 'x-request-id': 'in-shop' });
  await request(service, 'GET', '/accounts/ANN', undefined, { 'x-request-id': 'in-main' });
  await request(service, 'GET', '/healthz', undefined, { 'x-request-id': 'in-none' });
  const ledgerOf = async (id: string) =>
    (await until(() => service.logs().find((line) => line['request_id'] === id), { what: 'the line' }))['ledger'];
  assert.deepEqual(
    [await ledgerOf('in-shop'), await ledgerOf('in-main'), await ledgerOf('in-none')],
    ['shop', 'main', undefined],
  );
});

async function startOwn(scope: Parameters<typeof createDatabase>[0]): Promise<Service & { database: TestDatabase }> {
  const own = await createDatabase(scope);
  const started = await startService(scope, { database: own, env: { THREADS: '1' } });
  return { ...started, database: own };
}
