// Goal: every wrong request gets a clear answer at once, nothing is stored, and the service continues. Here: headers,
// paths, methods and queries. Method: one wrong request at a time; after each the content of the database must be
// unchanged.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { request } from '../support/service.ts';
import {
  ACCOUNT,
  checkHealth,
  checkRaw,
  checkRawAny,
  post,
  refused,
  sendRaw,
  sendRawAll,
  service,
  show,
  snapshot,
  start,
  TRANSFER,
  WITH_BODY,
  withQuery,
} from './bad-input.ts';

before(start);

// Types, encodings and other headers.

for (const type of [
  'text/plain',
  'application/x-www-form-urlencoded',
  'application/json; charset=utf-16',
  'application/jsonx',
  '',
  'json',
]) {
  test(`bad input: a body of the type "${type}" is refused`, async () => {
    const headers = { 'content-type': type };
    for (const [method, path] of WITH_BODY) await refused('unsupported_media_type', method, path, '{}', headers);
  });
}

test('bad input: a body without a type, or with an encoding, is refused', async (t) => {
  const body = JSON.stringify(TRANSFER);
  checkRaw(await sendRaw(t, [post(body, '')]), 'unsupported_media_type');
  for (const encoding of ['gzip', 'identity', 'br']) {
    await refused('unsupported_media_type', 'POST', '/transfers', body, { 'content-encoding': encoding });
  }
});

for (const name of ['Host', 'Authorization', 'Content-Type', 'Idempotency-Key', 'X-Request-ID', 'Prefer']) {
  test(`bad input: a duplicate header ${name} is refused, even with the same value`, async (t) => {
    const untouched = await snapshot();
    const value = name === 'Content-Type' ? 'application/json' : 'x';
    const once = name === 'Host' || name === 'Content-Type' ? '' : `${name}: ${value}\r\n`;
    const twice = `Content-Type: application/json\r\n${once}${name.toUpperCase()}: ${value}\r\n`;
    checkRaw(await sendRaw(t, [post(JSON.stringify(TRANSFER), twice)]), 'invalid_request');
    assert.deepEqual(await snapshot(), untouched);
  });
}

for (const key of ['', 'a key', 'k'.repeat(256), 'schl\u00fcssel', 'a\tb']) {
  test(`bad input: the Idempotency-Key ${show(key)} is refused`, async (t) => {
    const untouched = await snapshot();
    const headers = `Content-Type: application/json\r\nIdempotency-Key: ${key}\r\n`;
    checkRaw(await sendRaw(t, [post(JSON.stringify(TRANSFER), headers)]), 'invalid_request');
    assert.deepEqual(await snapshot(), untouched);
  });
}

test('bad input: the last of very many headers is read', async (t) => {
  const untouched = await snapshot();
  const headers = `${'a:\r\n'.repeat(2500)}Content-Type: application/json\r\nIdempotency-Key: a key\r\n`;
  checkRaw(await sendRaw(t, [post(JSON.stringify(TRANSFER), headers)]), 'invalid_request');
  assert.deepEqual(await snapshot(), untouched);
});

test('bad input: an expectation other than 100-continue cannot be met', async (t) => {
  const untouched = await snapshot();
  const headers = 'Content-Type: application/json\r\nExpect: something\r\nX-Request-ID: mine\r\n';
  const answer = await sendRaw(t, [post(JSON.stringify(TRANSFER), headers)]);
  checkRaw(answer, 'expectation_failed');
  assert.equal(answer.headers.get('x-request-id'), 'mine');
  assert.deepEqual(await snapshot(), untouched);
});

test('bad input: Expect: 100-continue is answered with 100', async (t) => {
  const body = '{"phone":"456"}';
  const head = `PATCH /accounts/ANN HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`;
  const answers = await sendRawAll(t, [head, body], 2);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [100, 200],
  );
});

test('bad input: an upgrade is ignored, and the request is answered', async (t) => {
  const answer = await sendRaw(t, [
    'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  ]);
  assert.deepEqual([answer.status, answer.text], [200, '{"status":"alive"}']);
});

test('bad input: a request id that is not well formed is replaced', async () => {
  for (const requested of ['a b', '-a', 'a'.repeat(129), 'a"b', '']) {
    const answer = await request(service, 'GET', '/healthz', undefined, { 'x-request-id': requested });
    assert.equal(answer.status, 200);
    assert.match(String(answer.headers['x-request-id']), /^[0-9a-f-]{36}$/, requested);
  }
});

// Paths and methods.

const NOWHERE = [
  '/',
  '/nothing',
  '/accounts/',
  '/transfers/',
  '//accounts',
  '/accounts//',
  '/accounts/ANN/',
  '/accounts/ANN/balance/x',
];
for (const path of [
  ...NOWHERE,
  '/ACCOUNTS',
  '/__proto__',
  '/constructor',
  '/accounts/ANN/constructor',
  '/%61ccounts',
  '/accounts#x',
]) {
  test(`bad input: ${path} is not found`, async (t) => {
    checkRaw(await sendRaw(t, [`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`]), 'not_found');
    // Browsers get the console at /, so it has methods.
    const code = path === '/' ? 'method_not_allowed' : 'not_found';
    checkRaw(await sendRaw(t, [`DELETE ${path} HTTP/1.1\r\nHost: x\r\n\r\n`]), code);
  });
}

for (const number of [
  'NOSUCH',
  '%00',
  'ANN%00',
  'a%2Fb',
  '%2e%2e',
  '..',
  '%F0%9F%A7%80',
  'a'.repeat(35),
  'x'.repeat(5000),
  '__proto__',
  'ann',
  'ANN%20',
  "'%20or%20true--",
]) {
  test(`bad input: the account ${show(number)} is not found`, async (t) => {
    const untouched = await snapshot();
    const get = async (path: string) => sendRaw(t, [`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`]);
    for (const path of ['', '/entries', '/balance', '/balance?at=2026-01-01T00:00:00Z']) {
      checkRaw(await get(`/accounts/${number}${path}`), 'account_not_found');
    }
    checkRaw(await sendRaw(t, [`DELETE /accounts/${number} HTTP/1.1\r\nHost: x\r\n\r\n`]), 'account_not_found');
    const change = `PATCH /accounts/${number} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"name":"x"}`;
    checkRaw(await sendRaw(t, [change]), 'account_not_found');
    assert.deepEqual(await snapshot(), untouched);
  });
}

test('bad input: @external cannot be changed or closed', async () => {
  await refused('account_not_found', 'PATCH', '/accounts/@external', { name: 'Mine' });
  await refused('account_not_found', 'PATCH', '/accounts/%40external', { overdraft_limit: 5 });
  await refused('account_not_found', 'DELETE', '/accounts/@external');
});

for (const id of [
  'x',
  '%00',
  '0192f0c4-0000-7000-8000-00000000000',
  '0192f0c400007000800000000000000f',
  '0192f0c4-0000-7000-8000-00000000000f',
  '{0192f0c4-0000-7000-8000-00000000000f}',
]) {
  test(`bad input: the transfer ${id} is not found`, async () => {
    await refused('transfer_not_found', 'GET', `/transfers/${encodeURI(id)}`);
  });
}

for (const segment of ['%', '%4', '%ZZ', '%FF', '%C0%AF', '%ED%A0%80', '%E0%A4%A']) {
  test(`bad input: a path with ${segment} is not correctly encoded`, async (t) => {
    for (const path of [`/accounts/${segment}`, `/accounts/${segment}/entries`, `/transfers/${segment}`]) {
      checkRaw(await sendRaw(t, [`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`]), 'invalid_request');
    }
  });
}

const ALLOWED: Record<string, string[]> = {
  '/accounts': ['POST', 'GET'],
  '/accounts/ANN': ['GET', 'PATCH', 'DELETE'],
  '/accounts/ANN/entries': ['GET'],
  '/accounts/ANN/balance': ['GET'],
  '/transfers': ['POST', 'GET'],
  '/transfers/0192f0c4-0000-7000-8000-00000000000f': ['GET'],
  '/healthz': ['GET'],
  '/readyz': ['GET'],
  '/metrics': ['GET'],
  '/openapi.json': ['GET'],
};

for (const [path, allowed] of Object.entries(ALLOWED)) {
  const listed = [...allowed, ...(allowed.includes('GET') ? ['HEAD'] : []), 'OPTIONS'];
  test(`bad input: ${path} has ${listed.join(', ')} and no other method`, async (t) => {
    const untouched = await snapshot();
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND']) {
      if (allowed.includes(method)) continue;
      const answer = await sendRaw(t, [`${method} ${path} HTTP/1.1\r\nHost: x\r\n\r\n`]);
      checkRaw(answer, 'method_not_allowed');
      assert.deepEqual(answer.headers.get('allow')?.split(', ').toSorted(), listed.toSorted());
    }
    assert.deepEqual(await snapshot(), untouched);
  });
}

for (const target of ['http://u@x/healthz', 'ftp://x/', 'http://', 'healthz', 'x:80']) {
  test(`bad input: the request target ${target} is refused`, async (t) => {
    const refusal = ['invalid_request', 'malformed_http'] as const;
    checkRawAny(await sendRaw(t, [`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`]), refusal);
    checkRawAny(await sendRaw(t, [`OPTIONS ${target} HTTP/1.1\r\nHost: x\r\n\r\n`]), refusal);
  });
}

test('bad input: a tunnel is refused', async (t) => {
  for (const target of ['example.com:443', '/transfers', '*']) {
    checkRaw(await sendRaw(t, [`CONNECT ${target} HTTP/1.1\r\nHost: x\r\n\r\n`]), 'method_not_implemented');
  }
});

// Queries.

const LISTS = ['/accounts', '/transfers', '/transfers?account=ANN', '/accounts/ANN/entries'];
for (const limit of [
  '0',
  '-1',
  '1001',
  '99999999999999999999',
  'abc',
  '',
  '1.5',
  '1e2',
  '0x10',
  '%2010',
  '+10',
  'Infinity',
  '%00',
  '10&limit=10',
]) {
  test(`bad input: the limit "${limit}" is refused`, async () => {
    for (const path of LISTS) await refused('invalid_request', 'GET', withQuery(path, `limit=${limit}`));
  });
}

const CURSORS = [
  '',
  'x',
  '%00',
  '%00:USD',
  ':USD',
  'ANN',
  'ANN:usd',
  'ANN:USD:',
  'ANN%0A:USD',
  '-1',
  '1.5',
  '1e3',
  '9'.repeat(19),
  'e30',
  'bnVsbA',
  'W10',
  '%FF',
  'x'.repeat(201),
];
for (const after of CURSORS) {
  test(`bad input: the cursor "${show(after)}" is refused`, async () => {
    for (const path of LISTS) await refused('invalid_request', 'GET', withQuery(path, `after=${after}`));
  });
}

const ID = '0192f0c4-0000-7000-8000-00000000000f';
const SETTLED = { stage: 'settled', number: '1', position: 1, entry: '1' };
const FORGED: unknown[] = [
  null,
  [],
  {},
  { stage: 'pending' },
  { stage: 'pending', id: 'x' },
  { stage: 'pending', id: [ID] },
  { stage: 'pending', id: `${ID}\u0000` },
  { stage: 'other', id: ID },
  { ...SETTLED, number: '9223372036854775808' },
  { ...SETTLED, number: '-1' },
  { ...SETTLED, number: ['1'] },
  { ...SETTLED, number: 1 },
  { ...SETTLED, number: undefined },
  { ...SETTLED, position: 2_147_483_648 },
  { ...SETTLED, position: -1 },
  { ...SETTLED, position: '1' },
  { ...SETTLED, position: 1.5 },
  { ...SETTLED, entry: '9999999999999999999' },
  { ...SETTLED, entry: undefined },
  { ...SETTLED, entry: { toString: 'x' } },
];
for (const cursor of FORGED) {
  test(`bad input: the forged cursor ${JSON.stringify(cursor)} is refused`, async () => {
    const after = Buffer.from(JSON.stringify(cursor)).toString('base64url');
    for (const path of ['/transfers', '/transfers?account=ANN', '/transfers?status=failed']) {
      await refused('invalid_request', 'GET', withQuery(path, `after=${after}`));
    }
  });
}

const INSTANTS = [
  '',
  'now',
  '2026',
  '2026-01-01',
  '2026-01-01 00:00:00Z',
  '2026-01-01T00:00:00',
  '2026-01-01T00:00Z',
  '1767225600',
  'infinity',
  '%00',
  '2026-13-01T00:00:00Z',
  '2026-00-01T00:00:00Z',
  '2026-02-29T00:00:00Z',
  '2026-04-31T00:00:00Z',
  '2026-01-01T24:00:00Z',
  '2026-01-01T00:60:00Z',
  '2026-06-30T23:59:60Z',
  '2026-01-01T00:00:00+24:00',
  '2026-01-01T00:00:00+02:60',
  '2026-01-01T00:00:00+2',
  // Written as an instant is, and still none that PostgreSQL knows.
  '0000-01-01T00:00:00Z',
  '2026-01-01T00:00:00+23:59',
  '2026-01-01T00:00:00-16:00',
  '2026-01-01T00:00:00+16:00',
  '-2026-01-01T00:00:00Z',
  '12026-01-01T00:00:00Z',
  `2026-01-01T00:00:00.${'1'.repeat(2000)}Z`,
];
for (const instant of INSTANTS) {
  test(`bad input: ${show(instant)} is no instant`, async () => {
    const value = instant.replaceAll('+', '%2B').replaceAll(' ', '%20');
    await refused('invalid_request', 'GET', `/accounts/ANN/balance?at=${value}`);
    await refused('invalid_request', 'GET', `/transfers?since=${value}`);
    await refused('invalid_request', 'GET', `/transfers?account=ANN&until=${value}`);
  });
}

for (const instant of [
  '0001-01-01T00:00:00Z',
  '0001-01-01T00:00:00+15:59',
  '9999-12-31T23:59:59.999999Z',
  '9999-12-31T23:59:59-15:59',
  '2024-02-29T00:00:00-00:00',
]) {
  test(`bad input: the unusual instant ${instant} is accepted`, async () => {
    const value = instant.replaceAll('+', '%2B');
    for (const path of [
      `/accounts/ANN/balance?at=${value}`,
      `/transfers?since=${value}`,
      `/transfers?account=ANN&until=${value}`,
    ]) {
      const answer = await request(service, 'GET', path);
      // A balance of the future is not known yet.
      const isRefused = path.includes('at=9999');
      assert.equal(answer.status, isRefused ? 409 : 200, answer.text);
    }
  });
}

const QUERIES = [
  '/accounts?limt=5',
  '/accounts?limit=5&limit=5',
  '/accounts?account=ANN',
  '/healthz?x',
  '/metrics?x=1',
  '/openapi.json?x=1',
  '/readyz?=',
  '/transfers?status=done',
  '/transfers?status=',
  '/transfers?status=Pending',
  '/transfers?status=failed&status=failed',
  '/transfers?account=',
  '/transfers?account=a%20b',
  '/transfers?account=@external',
  '/transfers?account=ANN%00',
  `/transfers?account=${'a'.repeat(35)}`,
  '/transfers?currency=usd',
  '/transfers?currency=XYZ',
  '/accounts/ANN?currency=usd',
  '/accounts/ANN/entries?currency=USD%00',
  '/transfers?request_id=',
  '/transfers?request_id=%00',
  '/transfers?request_id=a%20b',
  '/transfers?request_id=%ZZ',
  '/transfers?request_id=%FF',
  `/transfers?request_id=${'a'.repeat(129)}`,
  '/accounts/ANN/entries?order=best',
  '/accounts/ANN/entries?order=',
  '/accounts/ANN/balance?at',
  '/accounts/ANN?x=1',
  `/transfers/${ID}?x=1`,
  '/transfers?account=ANN&account=BOB',
  '/transfers?account=ANN;account=BOB',
];
for (const path of QUERIES) {
  test(`bad input: the query of ${show(path)} is refused`, async () => {
    await refused('invalid_request', 'GET', path);
  });
}

test('bad input: queries of requests that write are validated, too', async () => {
  await refused('invalid_request', 'POST', '/transfers?dry_run=yes', TRANSFER);
  await refused('invalid_request', 'POST', '/transfers?dry_rnu=true', TRANSFER);
  await refused('invalid_request', 'POST', '/accounts?dry_run=true', ACCOUNT);
  await refused('invalid_request', 'PATCH', '/accounts/ANN?dry_run=true', { name: 'Another' });
  await refused('invalid_request', 'DELETE', '/accounts/ANN?dry_run=true');
});

test('bad input: the service is alive afterwards, and logs no error', checkHealth);
