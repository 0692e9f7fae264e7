// Goal: a web page of another site can neither read the books nor move money, and the owner's own page can.
// Method: the requests that a browser sends for such pages, with the headers that it adds by itself.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { awaitFinal, request, type Service, startService } from '../support/service.ts';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const TRANSFER = { from_account: '@external', to_account: 'ANN', amount: 5 };

let database: TestDatabase;
let service: Service;
/** The host and port under which the service is reached. */
let host: string;
let hold: string;

before(async (t) => {
  database = await createDatabase(t);
  const env = { THREADS: '1', ALLOWED_HOSTS: 'Pay.example.com', LOG_LEVEL: 'warn' };
  service = await startService(t, { database, env });
  host = new URL(service.url).host;
  const opened = await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann' });
  assert.equal(opened.status, 201, opened.text);
  const made = await request(service, 'POST', '/holds', TRANSFER, { prefer: 'wait=10' });
  hold = String(made.body['id']);
  await awaitFinal(service, hold);
});

for (const name of [
  '127.0.0.1',
  '127.8.9.10:80',
  '192.0.2.7:8080',
  '[::1]:8080',
  'localhost',
  'LOCALHOST:99',
  'localhost.',
  'books.localhost:8080',
  'gopherpay',
  '',
  'pay.example.com',
  'PAY.example.COM:443',
  'pay.example.com.',
]) {
  test(`browser: a request to the host "${name}" is answered`, async () => {
    const answer = await request(service, 'GET', '/healthz', undefined, { host: name });
    assert.equal(answer.status, 200, answer.text);
  });
}

for (const name of [
  'attacker.example',
  'attacker.example:8080',
  'localhost.attacker.example',
  'localhost.example',
  'notlocalhost.x',
  '127.0.0.1.attacker.example',
  '127.0.0.1.nip.io:8080',
  '1.2.3.4.5',
  'xpay.example.com',
  'sub.pay.example.com',
]) {
  test(`browser: a request to the host "${name}" is refused, reads included`, async () => {
    for (const [method, path] of [
      ['GET', '/accounts'],
      ['GET', '/nothing'],
      ['POST', '/transfers'],
    ] as const) {
      const answer = await request(service, method, path, method === 'POST' ? TRANSFER : undefined, { host: name });
      assert.deepEqual([answer.status, answer.body['code']], [421, 'host_not_allowed'], answer.text);
      assert.match(String(answer.body['detail']), /ALLOWED_HOSTS/);
    }
  });
}

for (const name of ['a b', 'x@y', 'x:y', 'http://x', 'a/b', 'x:123456']) {
  test(`browser: the host "${name}" is not well formed`, async () => {
    const answer = await request(service, 'GET', '/healthz', undefined, { host: name });
    assert.deepEqual([answer.status, answer.body['code']], [400, 'invalid_request']);
  });
}

const orders = () =>
  ({
    transfer: ['/transfers', TRANSFER],
    reversal: [`/transfers/${hold}/reversals`, undefined],
    capture: [`/holds/${hold}/capture`, undefined],
    void: [`/holds/${hold}/void`, {}],
  }) as const;

const FOREIGN: Record<string, Record<string, string>> = {
  'a form of another site': { ...FORM, origin: 'http://attacker.example', 'sec-fetch-site': 'cross-site' },
  'a form in a sandbox': { ...FORM, origin: 'null' },
  'a form without any content type': { origin: 'http://attacker.example' },
  'a page that hides its origin': { origin: 'null', 'content-type': 'application/json' },
  'a page on another port of this machine': { origin: 'http://127.0.0.1:1', 'sec-fetch-site': 'same-site' },
  'a page under another name of this machine': { origin: 'http://localhost:1' },
  'a page of an extension': { origin: 'chrome-extension://abc' },
  'a page of a host that begins alike': { origin: 'http://127.0.0.1.attacker.example' },
  'a page that a browser marks as foreign only': { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' },
  'a page that a browser marks as of the same site': { 'sec-fetch-site': 'same-site' },
  'a link, followed by POST': {
    'sec-fetch-site': 'cross-site',
    'sec-fetch-mode': 'navigate',
    'sec-fetch-dest': 'document',
  },
  'an origin that is empty': { origin: '' },
};

for (const [page, headers] of Object.entries(FOREIGN)) {
  test(`browser: ${page} cannot order anything`, async () => {
    for (const [path, body] of Object.values(orders())) {
      const answer = await request(service, 'POST', path, body, headers);
      assert.deepEqual([answer.status, answer.body['code']], [403, 'foreign_origin'], path);
    }
    for (const [method, body] of [
      ['PATCH', { name: 'Mallory' }],
      ['DELETE', undefined],
    ] as const) {
      const answer = await request(service, method, '/accounts/ANN', body, headers);
      assert.deepEqual([answer.status, answer.body['code']], [403, 'foreign_origin'], method);
    }
  });
}

test('browser: a page of another origin cannot read, and no answer allows it to', async () => {
  for (const headers of [
    { origin: 'http://attacker.example', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'script' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
    { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors', accept: 'text/event-stream' },
  ]) {
    for (const path of ['/accounts', '/events']) {
      const answer = await request(service, 'GET', path, undefined, headers);
      assert.equal(answer.status, 403, answer.text);
      assert.deepEqual(
        Object.keys(answer.headers).filter((name) => name.startsWith('access-control')),
        [],
      );
    }
  }
});

test('browser: a link from another site to a document may be followed', async () => {
  const headers = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
  assert.equal((await request(service, 'GET', '/accounts/ANN', undefined, headers)).status, 200);
});

test('browser: a form cannot declare JSON, so any other type is refused on an empty body, too', async () => {
  for (const type of ['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'text/plain', '']) {
    for (const path of [`/transfers/${hold}/reversals`, `/holds/${hold}/capture`, `/holds/${hold}/void`]) {
      const answer = await request(service, 'POST', path, undefined, { 'content-type': type });
      assert.deepEqual([answer.status, answer.body['code']], [415, 'unsupported_media_type'], `${path} ${type}`);
    }
    const closed = await request(service, 'DELETE', '/accounts/ANN', undefined, { 'content-type': type });
    assert.equal(closed.status, 415, closed.text);
  }
});

test("browser: the service's own origin may order, as may one behind a proxy", async () => {
  const own = { origin: `http://${host}`, 'sec-fetch-site': 'same-origin' };
  const origins = [
    own,
    { 'sec-fetch-site': 'none' },
    { origin: 'https://pay.example.com', host: 'pay.example.com' },
    { origin: 'https://pay.example.com', host: 'pay.example.com:443' },
    { origin: 'https://pay.example.com', 'sec-fetch-site': 'same-origin' },
    { origin: 'http://books.localhost', host: 'books.localhost:80' },
  ];
  for (const headers of origins) {
    const answer = await request(service, 'POST', '/transfers', TRANSFER, headers);
    assert.equal(answer.status, 202, answer.text);
  }
  const captured = await request(service, 'POST', `/holds/${hold}/capture`, undefined, { ...own, prefer: 'wait=10' });
  assert.equal(captured.body['status'], 'completed', captured.text);
});

test('browser: the account is unchanged afterwards', async () => {
  const { body } = await request(service, 'GET', '/accounts/ANN');
  assert.deepEqual([body['name'], body['status']], ['Ann', 'open']);
  await checkPromises(database);
});
