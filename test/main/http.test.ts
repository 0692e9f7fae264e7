// Goal: what RFC 9110 and 9112 ask of a server, and monitors, proxies and libraries rely on: HEAD, OPTIONS, forms of the
// target, unknown methods, and headers that every answer has.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { before, test, type TestContext } from 'node:test';
import { request as send } from 'undici';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { request, type Service, startService } from '../support/service.ts';

let service: Service;
let hold: string;

before(async (t) => {
  const database = await createDatabase(t);
  service = await startService(t, {
    database,
    env: { THREADS: '1', STATEMENT_STREAMS_MAX: '1', EVENT_STREAMS_MAX: '1' },
  });
  await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann' });
  const order = { from_account: '@external', to_account: 'ANN', amount: 5 };
  hold = String((await request(service, 'POST', '/holds', order, { prefer: 'wait=10' })).body['id']);
});

const month = (): string => new Date().toISOString().slice(0, 7);
const PATHS = [
  '/healthz',
  '/openapi.json',
  '/accounts',
  '/accounts/ANN',
  '/accounts/NOSUCH',
  '/nothing',
  '/accounts?limit=x',
];

for (const path of PATHS) {
  test(`http: HEAD ${path} is answered like GET, without the body`, async () => {
    const head = await send(new URL(path, service.url), { method: 'HEAD' });
    assert.equal(await head.body.text(), '');
    const get = await request(service, 'GET', path);
    assert.equal(head.statusCode, get.status);
    const differing = ['date', 'x-request-id', 'connection', 'keep-alive'];
    for (const [name, value] of Object.entries(get.headers)) {
      // A problem quotes its request id, which is as long as any other.
      if (!differing.includes(name)) assert.equal(head.headers[name], value, name);
    }
  });
}

test('http: HEAD on a stream is answered at once and releases its slot', async () => {
  const statement = `/accounts/ANN/statements/${month()}`;
  for (const [path, accept] of [
    [statement, 'text/html'],
    ['/events', 'text/event-stream'],
  ] as const) {
    for (let round = 0; round < 3; round += 1) {
      const head = await send(new URL(path, service.url), { method: 'HEAD', headers: { accept } });
      assert.equal(head.statusCode, 200);
      assert.equal(head.headers['content-type']?.toString().split(';')[0], accept);
      assert.equal(await head.body.text(), '');
    }
  }
  assert.equal((await request(service, 'GET', statement)).status, 200);
});

test('http: HEAD is allowed only where GET is', async () => {
  const head = await send(new URL(`/holds/${hold}/void`, service.url), { method: 'HEAD' });
  assert.deepEqual([head.statusCode, head.headers['allow']], [405, 'POST, OPTIONS']);
});

test('http: OPTIONS lists the methods of a path, and those of the service', async (t) => {
  for (const [path, allow] of [
    ['/accounts', 'POST, GET, HEAD, OPTIONS'],
    ['/accounts/ANN', 'GET, HEAD, PATCH, DELETE, OPTIONS'],
  ] as const) {
    const answer = await send(new URL(path, service.url), { method: 'OPTIONS' });
    assert.deepEqual([answer.statusCode, answer.headers['allow']], [204, allow]);
  }
  const all = await raw(t, 'OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  assert.match(all, /^HTTP\/1\.1 204 /);
  for (const method of ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE', 'OPTIONS']) {
    assert.match(all, new RegExp(`\r\nAllow: [^\r]*\\b${method}\\b`));
  }
  assert.equal((await send(new URL('/nothing', service.url), { method: 'OPTIONS' })).statusCode, 404);
});

test('http: an absolute-form target is served, and its host outranks the header', async (t) => {
  const get = async (target: string, host: string): Promise<string> =>
    (await raw(t, `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).split('\r\n')[0] ?? '';
  assert.match(await get('http://127.0.0.1/healthz', 'x'), / 200 /);
  assert.match(await get('HTTPS://[::1]:80/accounts?limit=1', 'x'), / 200 /);
  assert.match(await get('http://x?limit=1', 'x'), / 404 /);
  assert.match(await get('http://x/healthz', 'attacker.example'), / 200 /);
  assert.match(await get('http://attacker.example/healthz', 'x'), / 421 /);
});

test('http: an unknown method is 501, and a known one that the path does not have is 405', async (t) => {
  for (const [method, status] of [
    ['FOO', 501],
    ['get', 501],
    ['GETX', 501],
    ['X-1', 501],
    ['PUT', 405],
    ['TRACE', 405],
    ['QUERY', 405],
  ] as const) {
    const answer = await raw(t, `${method} /accounts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), method);
  }
});

test('http: an unknown method after pipelined requests is answered in order', async (t) => {
  const get = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';
  const answer = await raw(t, `${get}${get}FOO /accounts HTTP/1.1\r\nHost: x\r\n\r\n`);
  assert.deepEqual(answer.match(/(?<=HTTP\/1\.1 )\d+/g), ['200', '200', '501']);
});

test('http: a body that may be left out may come in no chunks, and without a type', async (t) => {
  const head = (more: string): string =>
    `POST /holds/${hold}/void?dry_run=true HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${more}\r\n`;
  for (const more of [
    '',
    'Content-Length: 0\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n',
  ]) {
    const answer = await raw(t, `${head(more)}${more.includes('chunked') ? '0\r\n\r\n' : ''}`);
    assert.match(answer, /^HTTP\/1\.1 200 /, more);
  }
  assert.match(await raw(t, `${head('Transfer-Encoding: chunked\r\n')}2\r\n{}\r\n0\r\n\r\n`), /^HTTP\/1\.1 415 /);
});

const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
};

test('http: every answer forbids browsers to cache, sniff, frame and embed it', async (t) => {
  const paths = [...PATHS, '/readyz', '/metrics', `/accounts/ANN/statements/${month()}`];
  const pages = ['csv', 'html'].map((format) => `/accounts/ANN/statements/${month()}?format=${format}`);
  for (const path of [...paths, ...pages]) {
    const { headers } = await request(service, 'GET', path);
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) assert.equal(headers[name], value, `${path} ${name}`);
    assert.match(String(headers['content-security-policy']), /^default-src 'none';.*frame-ancestors 'none'$/, path);
  }
  const malformed = await raw(t, 'hello\r\n\r\n');
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
    assert.match(malformed, new RegExp(`\r\n${name}: ${value}\r\n`, 'i'));
  }
  assert.match(malformed, /frame-ancestors 'none'\r\n/);
});

for (const email of [
  'ann@xn--bcher-kva.example',
  'ann@mail.xn--p1ai',
  'r&d@example.com',
  'a/b=c+d@example.com',
  "o'neil@example.co.uk",
  'a.b-c_d!#$%*?^`{|}~@example.com',
]) {
  test(`http: the e-mail address ${email} is accepted`, async () => {
    const changed = await request(service, 'PATCH', '/accounts/ANN', { email });
    assert.deepEqual([changed.status, changed.body['email']], [200, email], changed.text);
  });
}

test('http: text keeps joiners, marks and characters of all scripts', async () => {
  for (const name of ['👩‍👩‍👧‍👦', 'می‌خواهم', 'שלום', 'ក\u200bខ', 'e\u0301', '🏴\u{e0067}\u{e0062}\u{e007f}', 'a\u00a0b']) {
    const changed = await request(service, 'PATCH', '/accounts/ANN', { name, metadata: { name } });
    assert.deepEqual([changed.status, changed.body['name']], [200, name], changed.text);
    const found = await request<{ items: unknown[] }>(
      service,
      'GET',
      `/accounts?metadata=name:${encodeURIComponent(name)}`,
    );
    assert.equal(found.body.items.length, 1, found.text);
  }
});

test('http: the metadata filter refuses impossible values', async () => {
  for (const character of ['\u0085', '\u2028', '\u202e', '\ufeff', '\uffff', '\u{1ffff}']) {
    const answer = await request(service, 'GET', `/accounts?metadata=key:${encodeURIComponent(`a${character}`)}`);
    assert.equal(answer.status, 400, answer.text);
  }
});

test('http: account numbers of dots and others are opened if a path can name them', async () => {
  for (const number of ['...', '.a', 'a.', '-', '_', 'a', 'L'.repeat(34)]) {
    const opened = await request(service, 'POST', '/accounts', { account_number: number, name: 'x' });
    assert.equal(opened.status, 201, opened.text);
    assert.equal((await request(service, 'GET', String(opened.headers['location']))).status, 200);
  }
});

/** Sends bytes on a connection of its own, and returns all received bytes until the service closes it. */
async function raw(t: TestContext, bytes: string): Promise<string> {
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
  onEnd(t, () => {
    socket.destroy();
  });
  socket.write(bytes, 'latin1');
  let received = '';
  for await (const chunk of socket.setEncoding('latin1')) received += String(chunk);
  return received;
}
