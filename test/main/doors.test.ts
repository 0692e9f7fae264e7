// Who may use the service: keys, their scopes, their ledgers and their limits, over HTTP.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Scope, SCOPES } from '../../src/domain/access.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { keyOf, makeKey, revoke, type TestKey } from '../support/keys.ts';
import { checkPromises } from '../support/promises/check.ts';
import { reset } from '../support/reset.ts';
import { type Answer, request, type Service, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { Issuer } from '../support/issuer.ts';

/** The scope of each route; open: none is needed. */
const SCOPE_OF: Readonly<Record<string, Scope | 'any' | 'open'>> = {
  'POST /accounts': 'accounts:write',
  'GET /accounts': 'accounts:read',
  'GET /accounts/{account_number}': 'accounts:read',
  'PATCH /accounts/{account_number}': 'accounts:write',
  'DELETE /accounts/{account_number}': 'accounts:admin',
  'DELETE /accounts/{account_number}/personal-data': 'accounts:admin',
  'GET /accounts/{account_number}/entries': 'accounts:read',
  'GET /accounts/{account_number}/balance': 'accounts:read',
  'GET /accounts/{account_number}/statements/{month}': 'statements:read',
  'GET /balances': 'statements:read',
  'POST /transfers': 'transfers:write',
  'GET /transfers': 'transfers:read',
  'GET /transfers/{id}': 'transfers:read',
  'POST /transfers/{id}/reversals': 'reversals:write',
  'POST /holds': 'holds:write',
  'GET /holds': 'transfers:read',
  'GET /holds/{id}': 'transfers:read',
  'POST /holds/{id}/capture': 'holds:write',
  'POST /holds/{id}/void': 'holds:write',
  'GET /approvals': 'transfers:read',
  'GET /approvals/{id}': 'transfers:read',
  'POST /approvals/{id}': 'funding:write',
  'GET /audit-log': 'statements:read',
  'GET /events': 'events:read',
  'POST /webhooks': 'webhooks:write',
  'GET /webhooks': 'webhooks:read',
  'GET /webhooks/{id}': 'webhooks:read',
  'PATCH /webhooks/{id}': 'webhooks:write',
  'DELETE /webhooks/{id}': 'webhooks:write',
  'POST /webhooks/{id}/rotate-secret': 'webhooks:write',
  'GET /webhooks/{id}/deliveries': 'webhooks:read',
  'POST /webhooks/{id}/deliveries/{number}/redeliver': 'webhooks:write',
  'POST /ledgers': 'ledgers:admin',
  'GET /ledgers': 'ledgers:admin',
  'GET /ledgers/{ledger}': 'accounts:read',
  'POST /clock': 'ledgers:admin',
  'GET /metrics': 'metrics:read',
  'GET /journal': 'events:read',
  'GET /journal/{number}': 'events:read',
  'GET /activity': 'metrics:read',
  'GET /access': 'any',
  'GET /healthz': 'open',
  'GET /readyz': 'open',
  'GET /openapi.json': 'open',
};

const ID = '01a215bb-257a-7d72-8929-6b781d8cb553';

let database: TestDatabase;
let service: Service;
let admin: TestKey;

before(async (t) => {
  database = await createDatabase(t);
  admin = await makeKey(database);
  service = await startService(t, { database, env: { THREADS: '2', LOG_LEVEL: 'warn' } });
  for (const account_number of ['ANN', 'BOB', 'SHOP-1', 'SHOP-2']) {
    const account = { account_number, name: account_number, currency: 'USD', balance: 1000 };
    assert.equal((await send(admin, 'POST', '/accounts', account)).status, 201);
  }
});

async function send(
  key: TestKey,
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer<Record<string, unknown>>> {
  return await request(service, method, path, body, { ...key.headers, ...headers });
}

/** A key that the running service knows. */
async function freshKey(options: Parameters<typeof makeKey>[1] = {}): Promise<TestKey> {
  const key = await makeKey(database, options);
  await until(async () => (await send(key, 'GET', '/transfers/none')).status !== 401, { what: 'the key to be known' });
  return key;
}

const codeOf = ({ status, body }: Answer<Record<string, unknown>>) => `${status} ${String(body['code'])}`;

/** A request of each route, which may be refused for its content but not for its form. */
function exampleOf(route: string): { method: 'GET' | 'POST' | 'PATCH' | 'DELETE'; path: string; body?: unknown } {
  const [method = '', pattern = ''] = route.split(' ');
  const path = pattern
    .replace('{account_number}', 'NOSUCH')
    .replace('{month}', '2026-01')
    .replace('{id}', ID)
    .replace('{number}', '1')
    .replace('{ledger}', 'nosuch');
  if (method === 'GET' || method === 'DELETE') return { method, path };
  assert.ok(method === 'POST' || method === 'PATCH');
  return { method, path, body: {} };
}

test('doors: every route needs the scope of the table, and the table has every route', async () => {
  type Operation = { security: Record<string, string[]>[]; 'x-scope'?: string };
  const { body } = await request<{ paths: Record<string, Record<string, Operation>> }>(service, 'GET', '/openapi.json');
  const described = Object.fromEntries(
    Object.entries(body.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { security, 'x-scope': scope }]) => {
        const needed = scope ?? (security.length > 0 ? 'any' : 'open');
        assert.deepEqual(security, needed === 'open' ? [] : [{ key: [] }, { basic: [] }]);
        return [`${method.toUpperCase()} ${path}`, needed];
      }),
    ),
  );
  assert.deepEqual(described, SCOPE_OF);
});

test('doors: a key with exactly the scope of a route may use it, one with all others may not', async () => {
  const only = new Map<Scope, TestKey>();
  const without = new Map<Scope, TestKey>();
  for (const scope of SCOPES) {
    only.set(scope, await makeKey(database, { scopes: [scope] }));
    without.set(scope, await freshKey({ scopes: SCOPES.filter((other) => other !== scope) }));
  }
  for (const [route, scope] of Object.entries(SCOPE_OF)) {
    const { method, path, body } = exampleOf(route);
    const anonymous = await request(service, method, path, body);
    if (scope === 'open') {
      assert.equal(anonymous.status, 200, route);
      continue;
    }
    assert.equal(codeOf(anonymous), '401 unauthorized', route);
    if (scope === 'any') {
      for (const key of only.values()) assert.equal((await send(key, method, path, body)).status, 200, route);
      continue;
    }
    const [having, lacking] = [only.get(scope), without.get(scope)];
    assert.ok(having && lacking);
    const allowed = await send(having, method, path, body);
    assert.ok(![401, 403].includes(allowed.status), `${route}: ${allowed.text}`);
    const refused = await send(lacking, method, path, body);
    assert.equal(codeOf(refused), '403 insufficient_scope', route);
    assert.match(String(refused.headers['www-authenticate']), new RegExp(`scope="${scope}"`));
  }
});

test('doors: a request without a valid key is refused with 401, whatever its form', async () => {
  const { id, text } = admin;
  const other = keyOf(id, 'A'.repeat(43));
  const wrong: Record<string, string>[] = [
    {},
    { authorization: '' },
    { authorization: 'Bearer' },
    { authorization: `Bearer ${text}x` },
    { authorization: `Bearer  ${text.slice(0, -1)}` },
    { authorization: `Bearer ${text} ${text}` },
    { authorization: `Bearer ${text},${text}` },
    { authorization: text },
    { authorization: `Token ${text}` },
    { authorization: `Basic ${text}` },
    { authorization: `Basic ${Buffer.from(`:${text}`).toString('base64')}` },
    { authorization: `Bearer ${text.toUpperCase()}` },
    other.headers,
    keyOf('aaaaaaaaaaaa', text.split('_').slice(2).join('_')).headers,
    { authorization: 'Bearer eyJhbGciOiJub25lIn0.e30.' },
    { cookie: `authorization=${text}` },
    { 'x-api-key': text },
  ];
  for (const headers of wrong) {
    const answer = await request(service, 'GET', '/accounts/ANN', undefined, headers);
    assert.equal(codeOf(answer), '401 unauthorized', JSON.stringify(headers));
    assert.match(String(answer.headers['www-authenticate']), /^Bearer realm="gopherpay"/);
  }
  const inQuery = await request(service, 'GET', `/accounts/ANN?key=${text}`);
  assert.equal(inQuery.status, 401);
});

test('doors: a key is accepted as Bearer, and as the user name of Basic', async () => {
  const basic = (credentials: string) => ({ authorization: `Basic ${Buffer.from(credentials).toString('base64')}` });
  for (const headers of [
    admin.headers,
    { authorization: `bearer ${admin.text}` },
    basic(`${admin.text}:`),
    basic(`${admin.text}:ignored`),
    basic(admin.text),
  ]) {
    assert.equal((await request(service, 'GET', '/accounts/ANN', undefined, headers)).status, 200);
  }
});

test('doors: moving money from or to @external needs funding:write as well', async () => {
  const mover = await freshKey({ scopes: SCOPES.filter((scope) => scope !== 'funding:write') });
  const insufficient = async (path: string, body: unknown) => {
    const answer = await send(mover, 'POST', path, body, { prefer: 'wait=10' });
    assert.equal(codeOf(answer), '403 insufficient_scope', `${path} ${answer.text}`);
    assert.match(String(answer.headers['www-authenticate']), /scope="funding:write"/);
  };
  const funding = { from_account: '@external', to_account: 'ANN', amount: 5, currency: 'USD' };
  const between = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
  await insufficient('/transfers', funding);
  await insufficient('/transfers?dry_run=true', funding);
  await insufficient('/transfers', { from_account: 'ANN', to_account: '@external', amount: 5 });
  await insufficient('/transfers', { transfers: [between, funding] });
  await insufficient('/holds', { from_account: 'ANN', to_account: '@external', amount: 5 });
  await insufficient('/accounts', { name: 'Rich', balance: 5 });
  await insufficient('/accounts', { accounts: [{ name: 'Poor' }, { name: 'Rich', balance: 5 }] });
  const paid = await send(admin, 'POST', '/transfers', funding, { prefer: 'wait=10' });
  await insufficient(`/transfers/${String(paid.body['id'])}/reversals`, {});
  const held = await send(
    admin,
    'POST',
    '/holds',
    { from_account: 'ANN', to_account: '@external', amount: 5 },
    { prefer: 'wait=10' },
  );
  await insufficient(`/holds/${String(held.body['id'])}/capture`, {});
  assert.equal((await send(mover, 'POST', `/holds/${String(held.body['id'])}/void`, {})).status, 202);
  assert.equal((await send(mover, 'POST', '/transfers', between, { prefer: 'wait=10' })).status, 200);
  assert.equal((await send(mover, 'POST', '/accounts', { name: 'Poor' })).status, 201);
});

test('doors: an overdraft limit, a status and a closing need accounts:admin', async () => {
  const clerk = await freshKey({ scopes: ['accounts:read', 'accounts:write'] });
  const refused = [
    await send(clerk, 'PATCH', '/accounts/BOB', { overdraft_limit: 5 }),
    await send(clerk, 'PATCH', '/accounts/BOB', { status: 'frozen' }),
    await send(clerk, 'PATCH', '/accounts/BOB', { status: 'open' }),
    await send(clerk, 'DELETE', '/accounts/BOB'),
    await send(clerk, 'POST', '/accounts', { name: 'Deep', overdraft_limit: 1 }),
    await send(clerk, 'POST', '/accounts', { accounts: [{ name: 'Deep', overdraft_limit: 1 }] }),
  ];
  assert.deepEqual(
    refused.map(codeOf),
    Array.from({ length: 6 }, () => '403 insufficient_scope'),
  );
  assert.equal((await send(clerk, 'PATCH', '/accounts/BOB', { name: 'Bobby' })).status, 200);
  const writer = await freshKey({ scopes: ['accounts:write'] });
  const blind = await send(writer, 'PATCH', '/accounts/BOB', {});
  assert.deepEqual([blind.status, blind.text], [204, ''], 'It shows nothing that the key may not read.');
});

test('doors: a replayed opening shows a key without accounts:read what it sent', async () => {
  const writer = await freshKey({ scopes: ['accounts:write'] });
  const body = { account_number: 'REPLAYED', name: 'Rae', metadata: { shop: '7' } };
  for (const sent of [body, { accounts: [{ ...body, account_number: 'REPLAYED-2' }] }]) {
    const headers = { 'idempotency-key': `open-${'accounts' in sent ? 'list' : 'one'}` };
    const opened = await send(writer, 'POST', '/accounts', sent, headers);
    const number = 'accounts' in sent ? 'REPLAYED-2' : 'REPLAYED';
    const change = { email: 'rae@example.com', metadata: {}, status: 'receive_only' };
    assert.equal((await send(admin, 'PATCH', `/accounts/${number}`, change)).status, 200);
    const funding = { from_account: '@external', to_account: number, amount: 7 };
    assert.equal((await send(admin, 'POST', '/transfers', funding, { prefer: 'wait=10' })).status, 200);
    const replayed = await send(writer, 'POST', '/accounts', sent, headers);
    assert.equal(replayed.headers['idempotency-replayed'], 'true');
    assert.deepEqual(replayed.body, opened.body);
    const shown = await send(admin, 'POST', '/accounts', sent, headers);
    assert.match(shown.text, /"email":"rae@example.com".*"balance":7,/);
  }
});

test('doors: a key of one ledger reaches that ledger only, and uses it by default', async () => {
  assert.equal((await send(admin, 'POST', '/ledgers', { name: 'acme' })).status, 201);
  const [acme] = await database.query<{ id: number; name: string }>(`select id, name from ledgers where name = 'acme'`);
  assert.ok(acme);
  const key = await freshKey({ ledger: acme });
  const opened = await send(key, 'POST', '/accounts', { account_number: 'OWN', name: 'Own', balance: 5 });
  assert.equal(opened.status, 201);
  assert.equal((await send(key, 'GET', '/ledgers/acme/accounts/OWN')).status, 200);
  assert.equal((await send(admin, 'GET', '/ledgers/acme/accounts/OWN')).status, 200);
  const created = await send(admin, 'GET', '/ledgers/acme/audit-log?refused=false');
  assert.match(created.text, new RegExp(`"action":"ledger.created","actor":"${admin.id}","subject":"acme"`));
  assert.equal((await send(admin, 'GET', '/accounts/OWN')).status, 404);
  assert.equal((await send(key, 'GET', '/accounts/ANN')).status, 404);
  assert.equal((await send(key, 'GET', '/ledgers/acme')).status, 200);
  for (const [method, path, body] of [
    ['GET', '/ledgers/main/accounts/ANN'],
    ['GET', '/ledgers/nosuch/accounts/ANN'],
    ['POST', '/ledgers/main/transfers', { from_account: 'ANN', to_account: 'BOB', amount: 1 }],
    ['GET', '/ledgers'],
    ['GET', '/ledgers/main'],
    ['POST', '/ledgers', { name: 'more' }],
    ['GET', '/metrics'],
  ] as const) {
    assert.equal(codeOf(await send(key, method, path, body)), '403 not_allowed', path);
  }
});

test('doors: a refusal is in the log of the ledger of its key, also before that ledger was used', async (t) => {
  assert.equal((await send(admin, 'POST', '/ledgers', { name: 'beta' })).status, 201);
  const [beta] = await database.query<{ id: number; name: string }>(`select id, name from ledgers where name = 'beta'`);
  assert.ok(beta);
  const key = await makeKey(database, { ledger: beta, scopes: [] });
  const own = await startService(t, { database, env: { THREADS: '1', LOG_LEVEL: 'warn' } });
  assert.equal((await request(own, 'GET', '/accounts', undefined, key.headers)).status, 403);
  const [refusal] = await until(
    async () => {
      const found = await database.query(`select ledger_id from audit_log where actor = $1`, [key.id]);
      return found.length > 0 ? found : undefined;
    },
    { what: 'the refusal in the audit log' },
  );
  assert.deepEqual(refusal, { ledger_id: beta.id });
});

test('doors: a key for some accounts sees and uses only these', async () => {
  const shop = await freshKey({ limits: { accountPrefix: 'SHOP-' } });
  const move = (from_account: string, to_account: string) =>
    send(shop, 'POST', '/transfers', { from_account, to_account, amount: 1 }, { prefer: 'wait=10' });
  assert.equal((await move('SHOP-1', 'SHOP-2')).status, 200);
  assert.equal((await move('@external', 'SHOP-2')).status, 200);
  for (const [from, to] of [
    ['SHOP-1', 'ANN'],
    ['ANN', 'SHOP-1'],
    ['ANN', 'BOB'],
  ] as const) {
    assert.equal(codeOf(await move(from, to)), '403 not_allowed');
  }
  const foreign = await send(admin, 'POST', '/transfers', { from_account: 'ANN', to_account: 'BOB', amount: 1 });
  const foreignId = String(foreign.body['id']);
  const hold = await send(
    admin,
    'POST',
    '/holds',
    { from_account: 'ANN', to_account: 'BOB', amount: 1 },
    { prefer: 'wait=10' },
  );
  const holdId = String(hold.body['id']);
  const refused: [string, 'GET' | 'POST' | 'PATCH' | 'DELETE', string, unknown?][] = [
    ['403 not_allowed', 'GET', '/accounts/ANN'],
    ['403 not_allowed', 'GET', '/accounts/ANN/entries'],
    ['403 not_allowed', 'GET', '/accounts/ANN/balance'],
    ['403 not_allowed', 'GET', '/accounts/ANN/statements/2026-01'],
    ['403 not_allowed', 'GET', '/accounts/@external?currency=USD'],
    ['403 not_allowed', 'PATCH', '/accounts/ANN', { name: 'Mine' }],
    ['403 not_allowed', 'DELETE', '/accounts/ANN'],
    ['403 not_allowed', 'POST', '/accounts', { account_number: 'OTHER', name: 'Other' }],
    ['403 not_allowed', 'POST', '/accounts', { accounts: [{ account_number: 'SHOP-8', name: '8' }, { name: '9' }] }],
    ['403 not_allowed', 'GET', '/transfers'],
    ['403 not_allowed', 'GET', '/transfers?account=ANN'],
    ['403 not_allowed', 'GET', `/transfers?request_id=${foreignId}`],
    ['403 not_allowed', 'GET', '/holds'],
    ['403 not_allowed', 'GET', '/holds?state=pending'],
    ['403 not_allowed', 'GET', '/holds?account=ANN'],
    ['403 not_allowed', 'GET', '/balances'],
    ['403 not_allowed', 'GET', '/events'],
    ['403 not_allowed', 'GET', '/audit-log'],
    ['403 not_allowed', 'GET', '/approvals'],
    ['404 transfer_not_found', 'GET', `/transfers/${foreignId}`],
    ['404 transfer_not_found', 'POST', `/transfers/${foreignId}/reversals`, {}],
    ['404 hold_not_found', 'GET', `/holds/${holdId}`],
    ['404 hold_not_found', 'POST', `/holds/${holdId}/capture`, {}],
    ['404 hold_not_found', 'POST', `/holds/${holdId}/void`, {}],
  ];
  for (const [expected, method, path, body] of refused) {
    assert.equal(codeOf(await send(shop, method, path, body)), expected, `${method} ${path}`);
  }
  const list = await send(shop, 'GET', '/accounts');
  const items: unknown = list.body['items'];
  assert.ok(Array.isArray(items));
  assert.deepEqual(
    items.map((item: { account_number: string }) => item.account_number),
    ['SHOP-1', 'SHOP-2'],
  );
  assert.equal((await send(shop, 'GET', '/transfers?account=SHOP-1')).status, 200);
  assert.equal((await send(shop, 'GET', '/holds?account=SHOP-1')).status, 200);
});

test('doors: a key is bound by the amount of a transfer and of a day', async () => {
  const key = await freshKey({ limits: { amountMax: 10n, dailyAmountMax: 25n } });
  const move = (amount: number, headers = {}) =>
    send(key, 'POST', '/transfers', { from_account: 'ANN', to_account: 'BOB', amount }, headers);
  assert.equal(codeOf(await move(11)), '403 not_allowed');
  const once = { 'idempotency-key': 'once-a-day' };
  assert.equal((await move(10, once)).status, 202);
  assert.ok((await move(10, once)).status < 300, 'A replay counts once.');
  assert.equal((await move(10)).status, 202);
  assert.equal(codeOf(await move(6)), '403 daily_limit_reached');
  assert.ok((await move(10, once)).status < 300, 'An earlier request is answered again.');
  assert.equal((await move(5)).status, 202);
  assert.equal(codeOf(await move(1)), '403 daily_limit_reached');
  // What remains of a hold counts as its amount.
  const held = await send(
    admin,
    'POST',
    '/holds',
    { from_account: 'ANN', to_account: 'BOB', amount: 11 },
    { prefer: 'wait=10' },
  );
  assert.equal(codeOf(await send(key, 'POST', `/holds/${String(held.body['id'])}/capture`, {})), '403 not_allowed');
});

test('doors: opening balances count for the amount of a day', async () => {
  const key = await freshKey({ limits: { dailyAmountMax: 25n } });
  const openAccount = (account_number: string, balance: number, headers = {}) =>
    send(key, 'POST', '/accounts', { account_number, name: 'Ann', balance }, headers);
  const once = { 'idempotency-key': 'open-once-a-day' };
  assert.equal((await openAccount('DAY-1', 20, once)).status, 201);
  assert.equal(codeOf(await openAccount('DAY-2', 6)), '403 daily_limit_reached');
  assert.equal((await openAccount('DAY-1', 20, once)).status, 201, 'An earlier request is answered again.');
  assert.equal(codeOf(await openAccount('DAY-1', 5)), '409 account_exists', 'A refused request counts nothing.');
  const list = { accounts: [5, 1].map((balance) => ({ name: 'Ann', balance })) };
  assert.equal(codeOf(await send(key, 'POST', '/accounts', list)), '403 daily_limit_reached');
  assert.equal((await openAccount('DAY-3', 5)).status, 201);
  assert.equal(codeOf(await openAccount('DAY-4', 1)), '403 daily_limit_reached');
});

test('doors: a key has the requests per second that it was given, and its answers say how many are left', async () => {
  const slow = await freshKey({ limits: { requestsPerSecond: 3 } });
  const answers = await Promise.all(Array.from({ length: 40 }, async () => await send(slow, 'GET', '/accounts/ANN')));
  const served = answers.filter(({ status }) => status === 200);
  const limited = answers.filter(({ status }) => status === 429);
  assert.ok(served.length >= 1 && limited.length >= 1, answers.map(({ status }) => status).join());
  assert.equal(served[0]?.headers['ratelimit-policy'], '"requests";q=3;w=1');
  assert.match(String(served[0]?.headers['ratelimit']), /^"requests";r=\d;t=\d$/);
  const [first] = limited;
  assert.equal(first?.body['code'], 'rate_limited');
  assert.equal(first?.headers['retry-after'], '1');
  assert.equal(first?.headers['ratelimit-policy'], '"requests";q=3;w=1');
});

test('doors: a revoked key is refused within two seconds, while it is used, and its streams end', async () => {
  const key = await freshKey();
  const answers: { startedAt: number; status: number }[] = [];
  const use = { ended: false };
  const using = (async () => {
    while (!use.ended) {
      const startedAt = performance.now();
      const { status } = await send(key, 'POST', '/transfers', { from_account: 'ANN', to_account: 'BOB', amount: 1 });
      answers.push({ startedAt, status });
    }
  })();
  const stream = await fetch(`${service.url}/events`, { headers: { ...key.headers, accept: 'text/event-stream' } });
  assert.equal(stream.status, 200);
  const ended = (async () => {
    for await (const _ of stream.body ?? []);
  })().then(
    () => performance.now(),
    () => performance.now(),
  );
  await until(() => answers.some(({ status }) => status === 202), { what: 'a use of the key' });
  await revoke(database, key);
  const revokedAt = performance.now();
  await until(() => answers.at(-1)?.status === 401, { what: 'a refusal' });
  assert.ok((await ended) - revokedAt < 10_000);
  use.ended = true;
  await using;
  const late = answers.filter(({ startedAt, status }) => status !== 401 && startedAt > revokedAt + 2000);
  assert.deepEqual(late, []);
  const refusedAt = answers.findIndex(({ status }) => status === 401);
  assert.ok(
    answers.slice(refusedAt).every(({ status }) => status === 401),
    'It stays refused.',
  );
});

test('doors: an expired key is refused, and a rotated one has two secrets until the overlap ends', async (t) => {
  const brief = await freshKey({ expiresIn: '3 seconds' });
  await until(async () => (await send(brief, 'GET', '/accounts/ANN')).status === 401, { what: 'the key to expire' });
  const key = await freshKey();
  const rotate = async (...more: string[]) => {
    const program = await startProgram(t, { database, args: ['keys', 'rotate', `--id=${key.id}`, ...more] });
    const { code } = await program.exited;
    assert.equal(code, 0, program.output());
    const text = program.stdout().trim();
    return { ...key, text, headers: { authorization: `Bearer ${text}` } };
  };
  const stream = await fetch(`${service.url}/events`, { headers: { ...key.headers, accept: 'text/event-stream' } });
  assert.equal(stream.status, 200);
  const ended = (async () => {
    for await (const _ of stream.body ?? []);
  })()
    .catch(() => {})
    .then(() => true);
  const second = await rotate('--overlap=1h');
  await until(async () => (await send(second, 'GET', '/accounts/ANN')).status === 200, { what: 'the new secret' });
  assert.equal((await send(key, 'GET', '/accounts/ANN')).status, 200);
  const third = await rotate('--overlap=0s');
  await until(async () => (await send(third, 'GET', '/accounts/ANN')).status === 200, { what: 'the third secret' });
  assert.equal((await send(second, 'GET', '/accounts/ANN')).status, 401);
  assert.equal((await send(key, 'GET', '/accounts/ANN')).status, 401);
  assert.ok(await Promise.race([ended, sleep(10_000, false)]), 'The stream of the first secret ends with it.');
});

test('doors: the journal and the answers name the key that ordered, and refusals are in the audit log', async () => {
  const key = await freshKey({ scopes: ['transfers:write', 'transfers:read', 'accounts:write'] });
  const moved = await send(
    key,
    'POST',
    '/transfers',
    { from_account: 'ANN', to_account: 'BOB', amount: 1 },
    { prefer: 'wait=10' },
  );
  assert.equal(moved.body['ordered_by'], key.id);
  assert.equal(moved.body['approved_by'], null);
  const shown = await send(admin, 'GET', `/transfers/${String(moved.body['id'])}`);
  assert.deepEqual(shown.body, moved.body);
  assert.equal((await send(key, 'PATCH', '/accounts/BOB', { name: 'Robert' })).status, 204);
  const changes = await database.query(
    `select ordered_by from account_changes where account_number = 'BOB' order by change_number desc limit 1`,
  );
  assert.deepEqual(changes, [{ ordered_by: key.id }]);
  assert.equal((await send(key, 'GET', '/events')).status, 403);
  type Entry = { actor: string | null; subject: string; action: string; details: { code?: string } };
  const refusal = await until(
    async () => {
      const { body } = await send(admin, 'GET', '/audit-log?refused=true');
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the fields are compared below
      return (body['items'] as Entry[]).find(({ actor, subject }) => actor === key.id && subject === 'GET /events');
    },
    { what: 'the refusal in the audit log' },
  );
  assert.equal(refusal.action, 'refused');
  assert.deepEqual(refusal.details, { code: 'insufficient_scope' });
  await checkPromises(database);
});

test('doors: without keys, the service serves its own machine, and refuses to start for others', async (t) => {
  const open = await createDatabase(t);
  const own = await startService(t, { database: open, env: { THREADS: '1' } });
  assert.equal((await request(own, 'POST', '/accounts', { name: 'Ann', balance: 5 })).status, 201);
  await until(() => own.logs().some(({ msg }) => String(msg).startsWith('no keys: ')), { what: 'the line in the log' });
  for (const headers of [{ 'x-forwarded-for': '203.0.113.9' }, { forwarded: 'for=203.0.113.9' }]) {
    const forwarded = await request(own, 'GET', '/accounts', undefined, headers);
    assert.equal(codeOf(forwarded), '401 unauthorized', 'A proxy brings callers of other machines.');
  }
  const program = await startProgram(t, { database: open, args: ['serve'], env: { HOST: '0.0.0.0', PORT: '0' } });
  const { code } = await program.exited;
  assert.equal(code, 1, program.output());
  assert.match(
    program.output(),
    /The service has no keys, and HOST "0\.0\.0\.0" would let other machines use it: create a key/,
  );
  const key = await makeKey(open, { scopes: ['accounts:read'] });
  const closed = await startService(t, { database: open, env: { HOST: '0.0.0.0', THREADS: '1', LOG_LEVEL: 'warn' } });
  const url = closed.url.replace('0.0.0.0', '127.0.0.1');
  assert.equal((await request({ url }, 'GET', '/accounts')).status, 401);
  assert.equal((await request({ url }, 'GET', '/accounts', undefined, key.headers)).status, 200);
  // The first key closes a service that has been open, too.
  await until(async () => (await request(own, 'GET', '/accounts')).status === 401, { what: 'the door to close' });
  await revoke(open, key);
  await until(async () => (await request({ url }, 'GET', '/accounts', undefined, key.headers)).status === 401, {
    what: 'the revocation',
  });
  assert.equal((await request(own, 'GET', '/accounts')).status, 401, 'Without a valid key, the doors stay closed.');
});

test('doors: a caller that leaves while its token is verified keeps no share of the connections', async (t) => {
  const issuer = await Issuer.start(t);
  const own = await startService(t, {
    database,
    env: { THREADS: '1', LOG_LEVEL: 'warn', JWT_ISSUER: issuer.url, JWT_AUDIENCE: 'pay', CONNECTIONS_MAX: '8' },
  });
  const token = await issuer.sign({ gopherpay_ledger: 'main' });
  const asked = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  issuer.respond.discovery = (_, response) => {
    asked.resolve();
    const document = { issuer: issuer.url, jwks_uri: `${issuer.url}/keys` };
    void go.promise.then(() => response.end(JSON.stringify(document)));
  };
  const { hostname, port } = new URL(own.url);
  const sockets = Array.from({ length: 4 }, () => {
    const socket = connect(Number(port), hostname);
    socket.write(`GET /transfers/${ID} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`);
    return socket;
  });
  await asked.promise;
  await Promise.all(
    sockets.map(async (socket) => {
      reset(socket);
      await once(socket, 'close');
    }),
  );
  // The service has seen that they left.
  assert.equal((await request(own, 'GET', '/healthz')).status, 200);
  go.resolve();
  const headers = { authorization: `Bearer ${token}`, connection: 'close' };
  const answers = await Promise.all(
    Array.from({ length: 3 }, async () => await request(own, 'GET', `/transfers/${ID}`, undefined, headers)),
  );
  assert.deepEqual(
    answers.map(({ status }) => status),
    [404, 404, 404],
  );
});
