// Goal: pages of the origins in CORS_ORIGINS use the service from a browser, and all others are refused as before.
// Method: the requests that a browser sends for such pages, with the headers that it adds by itself.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { request as send } from 'undici';
import { z } from 'zod';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeKey, type TestKey } from '../support/keys.ts';
import { request, type Service, startService } from '../support/service.ts';

const APP = 'https://app.example.com';
const LOCAL = 'http://localhost:3000';
const CROSS_SITE = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors' };
const ASK = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' };

let database: TestDatabase;
let service: Service;
let key: TestKey;
/** A key that may send one request in a second. */
let limited: TestKey;

before(async (t) => {
  database = await createDatabase(t);
  key = await makeKey(database);
  limited = await makeKey(database, { limits: { requestsPerSecond: 1 } });
  const env = { THREADS: '1', CORS_ORIGINS: `${APP}, ${LOCAL}`, LOG_LEVEL: 'warn' };
  service = await startService(t, { database, env });
});

const page = (origin: string) => ({ ...CROSS_SITE, origin });

async function ask(origin: string, path = '/transfers', more: Record<string, string> = {}, url = service.url) {
  const answer = await send(new URL(path, url), {
    method: 'OPTIONS',
    headers: { ...page(origin), ...ASK, ...more },
  });
  await answer.body.dump();
  return { status: answer.statusCode, headers: answer.headers };
}

/** The names of the headers about other origins. */
function permissions(headers: Record<string, unknown>): string[] {
  return Object.keys(headers).filter((name) => name.startsWith('access-control'));
}

test('cors: a browser that asks for an allowed origin is answered without a key, on every path', async () => {
  for (const path of ['/transfers', '/ledgers/shop/accounts/ANN', '/no/such/path', '/healthz']) {
    const { status, headers } = await ask(APP, path);
    assert.equal(status, 204, path);
    assert.equal(headers['access-control-allow-origin'], APP);
    assert.equal(headers['access-control-allow-methods'], 'GET, HEAD, POST, PATCH, DELETE');
    assert.equal(headers['access-control-max-age'], '7200');
    assert.equal(headers['vary'], 'Origin');
    assert.equal(headers['access-control-allow-credentials'], undefined);
  }
});

test('cors: a browser that asks for any other origin is refused', async () => {
  for (const origin of [
    'https://attacker.example',
    'null',
    '',
    '*',
    'http://app.example.com',
    'https://app.example.com:8443',
    'https://app.example.com.attacker.example',
    'https://x.app.example.com',
    'https://APP.example.com',
    'http://localhost:3001',
  ]) {
    const { status, headers } = await ask(origin);
    assert.deepEqual([status, permissions(headers)], [403, []], origin);
    const read = await request(service, 'GET', '/accounts', undefined, { ...page(origin), ...key.headers });
    assert.deepEqual([read.body['code'], permissions(read.headers)], ['foreign_origin', []], origin);
  }
});

test('cors: a page of an allowed origin opens an account, orders and reads', async () => {
  const headers = { ...page(APP), ...key.headers };
  const opened = await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann' }, headers);
  assert.deepEqual([opened.status, opened.headers['access-control-allow-origin']], [201, APP], opened.text);
  const order = { from_account: '@external', to_account: 'ANN', amount: 5 };
  const ordered = await request(service, 'POST', '/transfers', order, { ...headers, prefer: 'wait=10' });
  assert.deepEqual([ordered.status, ordered.headers['access-control-allow-origin']], [200, APP], ordered.text);
  const read = await request(service, 'GET', '/accounts/ANN', undefined, { ...headers, origin: LOCAL });
  assert.deepEqual([read.body['balance'], read.headers['access-control-allow-origin']], [5, LOCAL]);
});

test('cors: a page reads problems, too', async () => {
  const codes = new Set<unknown>();
  for (const [method, path, headers] of [
    ['GET', '/accounts', {}],
    ['GET', '/no/such/path', key.headers],
    ['POST', '/transfers', key.headers],
    ['GET', '/accounts', limited.headers],
    ['GET', '/accounts', limited.headers],
  ] as const) {
    const body = method === 'POST' ? '{' : undefined;
    const answer = await request(service, method, path, body, { ...page(APP), ...headers });
    codes.add(answer.body['code']);
    assert.equal(answer.headers['access-control-allow-origin'], APP, answer.text);
    assert.match(String(answer.headers['access-control-expose-headers']), /\bRetry-After\b.*\bX-Request-ID\b/);
  }
  assert.ok(
    codes.isSupersetOf(new Set(['unauthorized', 'not_found', 'malformed_json', 'rate_limited'])),
    [...codes].join(),
  );
});

test('cors: a page reads the feed as a stream, and a statement in any form', async () => {
  const headers = { ...page(APP), ...key.headers };
  const stream = await send(new URL('/events', service.url), { headers: { ...headers, accept: 'text/event-stream' } });
  assert.deepEqual([stream.statusCode, stream.headers['access-control-allow-origin']], [200, APP]);
  stream.body.destroy();
  const path = `/accounts/ANN/statements/${new Date().toISOString().slice(0, 7)}`;
  const statement = await request(service, 'GET', path, undefined, { ...headers, accept: 'text/csv' });
  assert.deepEqual(
    [statement.status, statement.headers['access-control-allow-origin'], statement.headers['vary']],
    [200, APP, 'Accept, Origin'],
  );
});

test('cors: scripts may send and read every header in the OpenAPI document', async () => {
  const { body } = await request(service, 'GET', '/openapi.json', undefined, page(APP));
  const { components, paths } = z
    .looseObject({
      components: z.looseObject({ headers: z.record(z.string(), z.unknown()) }),
      paths: z.record(
        z.string(),
        z.record(
          z.string(),
          z.looseObject({ parameters: z.array(z.looseObject({ name: z.string(), in: z.string() })) }),
        ),
      ),
    })
    .parse(body);
  const sent = Object.values(paths)
    .flatMap((methods) => Object.values(methods))
    .flatMap(({ parameters }) => parameters)
    .filter((parameter) => parameter.in === 'header')
    .map(({ name }) => name);
  const { headers } = await ask(APP);
  const allowed = String(headers['access-control-allow-headers']).split(', ');
  const exposed = String(headers['access-control-expose-headers']).split(', ');
  assert.deepEqual(
    [...new Set(sent)].filter((name) => !allowed.includes(name)),
    [],
  );
  assert.deepEqual(
    Object.keys(components.headers).filter((name) => !exposed.includes(name)),
    [],
  );
  assert.ok(allowed.includes('Authorization') && allowed.includes('Content-Type'));
});

test('cors: an allowed origin does not make another host name allowed', async () => {
  const { status } = await ask(APP, '/accounts', { host: 'attacker.example' });
  assert.equal(status, 421);
  const headers = { ...page(APP), ...key.headers, host: 'app.example.com' };
  assert.equal((await request(service, 'GET', '/accounts', undefined, headers)).status, 421);
});

test('cors: a request without Origin that a browser marks as foreign stays refused', async () => {
  const headers = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', ...key.headers };
  assert.equal((await request(service, 'GET', '/accounts', undefined, headers)).body['code'], 'foreign_origin');
});

test('cors: a form of an allowed origin cannot order', async () => {
  const headers = { ...page(APP), ...key.headers, 'content-type': 'application/x-www-form-urlencoded' };
  assert.equal((await request(service, 'POST', '/transfers', 'amount=1', headers)).status, 415);
});

test('cors: every answer varies by origin, also for callers without one', async () => {
  const { headers } = await request(service, 'GET', '/healthz');
  assert.deepEqual([headers['vary'], permissions(headers)], ['Origin', []]);
});

test('cors: without keys, of the allowed origins only those of this machine may use the service', async (t) => {
  const empty = await createDatabase(t);
  const origins = [LOCAL, 'http://127.0.0.1:3000', 'http://[::1]:3000', 'https://app.localhost'];
  const env = { THREADS: '1', CORS_ORIGINS: [APP, ...origins].join(' '), LOG_LEVEL: 'warn' };
  const open = await startService(t, { database: empty, env });
  for (const origin of origins) {
    const read = await request(open, 'GET', '/accounts', undefined, page(origin));
    assert.deepEqual([read.status, read.headers['access-control-allow-origin']], [200, origin]);
  }
  for (const [method, path] of [
    ['GET', '/accounts'],
    ['DELETE', '/accounts/ANN'],
  ] as const) {
    const refused = await request(open, method, path, undefined, page(APP));
    assert.deepEqual([refused.status, refused.body['code']], [403, 'foreign_origin']);
    assert.match(String(refused.body['detail']), /create a key/);
  }
});
