// Webhooks over HTTP: endpoints are registered, shown, changed and deleted; receivers verify what arrives; secrets stay
// secret; processes share the work; and what a process had not delivered, the next one delivers.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeKey } from '../support/keys.ts';
import { type Receiver, type Received, startReceiver } from '../support/receiver.ts';
import { type Answer, request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const ENV = {
  THREADS: '2',
  LOG_LEVEL: 'debug',
  WEBHOOK_TARGETS: 'any',
  HEARTBEAT_MS: '200',
  ORPHANED_AFTER_MS: '5000',
};
const NO_SUCH = '01a215bb-257a-7d72-8929-6b781d8cb553';

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: ENV });
  for (const account_number of ['ANN', 'BOB', 'CAT']) {
    const opened = await request(service, 'POST', '/accounts', { account_number, name: 'Ada', balance: 1_000_000 });
    assert.equal(opened.status, 201, opened.text);
  }
});

async function call(
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
  status = method === 'POST' ? 201 : 200,
): Promise<Record<string, unknown>> {
  const answer = await request(service, method, path, body);
  assert.equal(answer.status, status, answer.text);
  return answer.body;
}

async function register(
  receiver: Receiver,
  more: Record<string, unknown> = {},
): Promise<{ id: string; secret: string }> {
  const { id, secret } = await call('POST', '/webhooks', { url: receiver.url, ...more });
  return { id: String(id), secret: String(secret) };
}

/** Orders a transfer, and returns its id when it is final. */
async function pay(from_account: string, to_account: string, amount = 1): Promise<string> {
  const body = { from_account, to_account, amount };
  const answer = await request(service, 'POST', '/transfers', body, { prefer: 'wait=10' });
  assert.equal(answer.status, 200, answer.text);
  return String(answer.body['id']);
}

const idOf = ({ message }: Received) => message.data['id'];
const verify = (secret: string, { text, headers }: Received) =>
  new Webhook(secret).verify(text, {
    'webhook-id': String(headers['webhook-id']),
    'webhook-timestamp': String(headers['webhook-timestamp']),
    'webhook-signature': String(headers['webhook-signature']),
  });
const codeOf = ({ status, body }: Answer<Record<string, unknown>>) => `${status} ${String(body['code'])}`;

test('webhooks: each event arrives once, in order, with a signature and the data of the feed', async (t) => {
  const receiver = await startReceiver(t);
  const { id, secret } = await register(receiver);
  const from = Number((await call('GET', `/webhooks/${id}`))['journal_number']);
  const ids: string[] = [];
  for (let index = 0; index < 30; index += 1) ids.push(await pay('ANN', index % 2 === 0 ? 'BOB' : 'CAT'));
  assert.equal((await request(service, 'PATCH', '/accounts/BOB', { name: 'Bob' })).status, 200);
  await until(() => receiver.received.length === 31, { what: 'all events' });
  assert.deepEqual(receiver.received.slice(0, 30).map(idOf), ids);
  assert.equal(new Set(receiver.received.map((received) => received.id)).size, 31);

  const feed = await call('GET', `/events?after=${from}&limit=1000`);
  const rows = Array.isArray(feed['items']) ? feed['items'] : [];
  const [row] = rows;
  const [first] = receiver.received;
  const { type, ...data } = row.transfers[0];
  assert.ok(first);
  assert.deepEqual(first.message, {
    type,
    timestamp: row.settled_at,
    ledger: 'main',
    journal_number: row.journal_number,
    data,
  });
  assert.equal(first.id, `evt_${String(row.hash).slice(0, 32)}_0`);
  assert.equal(first.headers['user-agent'], 'GopherPay');
  for (const received of receiver.received) verify(secret, received);
  assert.throws(() => verify(secret, { ...first, text: first.text.replace('ANN', 'EVE') }), /signature/);
  const last = receiver.received.at(-1);
  assert.deepEqual(
    [last?.message.type, last?.message.data],
    ['account.updated', { account_number: 'BOB', currency: 'USD', change_number: 2 }],
  );
  await call('DELETE', `/webhooks/${id}`, undefined, 204);
});

test('webhooks: an endpoint gets the types, the account and the kind that it names', async (t) => {
  const receivers = await Promise.all([1, 2, 3].map(async () => await startReceiver(t)));
  const [types, account, kind] = receivers;
  assert.ok(types && account && kind);
  const hooks = [
    await register(types, { types: ['transfer.failed', 'hold.opened'] }),
    await register(account, { account: 'CAT' }),
    await register(kind, { kind: 'hold' }),
  ];
  await pay('ANN', 'BOB');
  const failed = await pay('ANN', 'BOB', 99_999_999);
  const toCat = await pay('ANN', 'CAT');
  const hold = await request(
    service,
    'POST',
    '/holds',
    { from_account: 'ANN', to_account: 'BOB', amount: 1 },
    { prefer: 'wait=10' },
  );
  const end = await pay('CAT', 'BOB');
  await until(() => account.received.at(-1)?.message.data['id'] === end, { what: 'the last event' });
  await until(() => types.received.length === 2 && kind.received.length === 1, { what: 'the others' });
  assert.deepEqual(types.received.map(idOf), [failed, hold.body['id']]);
  assert.deepEqual(account.received.map(idOf), [toCat, end]);
  assert.deepEqual(kind.received.map(idOf), [hold.body['id']]);
  for (const { id } of hooks) await call('DELETE', `/webhooks/${id}`, undefined, 204);
});

test('webhooks: a secret is shown once, and two sign after a rotation', async (t) => {
  const receiver = await startReceiver(t);
  const { id, secret } = await register(receiver);
  assert.match(secret, /^whsec_[A-Za-z0-9+/]{32}$/);
  const headers = { 'idempotency-key': 'rotate-1' };
  const rotated = await request(service, 'POST', `/webhooks/${id}/rotate-secret`, { overlap: 60 }, headers);
  const next = String(rotated.body['secret']);
  assert.notEqual(next, secret);
  assert.equal(typeof rotated.body['previous_secret_until'], 'string');
  const again = await request(service, 'POST', `/webhooks/${id}/rotate-secret`, { overlap: 60 }, headers);
  assert.deepEqual([again.body['secret'], again.headers['idempotency-replayed']], [next, 'true']);

  await pay('ANN', 'BOB');
  const first = await until(() => receiver.received[0], { what: 'the event' });
  for (const each of [secret, next]) verify(each, first);
  await database.query(`update webhook_endpoints set previous_until = now() where id = $1`, [id]);
  await pay('ANN', 'BOB');
  const second = await until(() => receiver.received[1], { what: 'the next event' });
  verify(next, second);
  assert.throws(() => verify(secret, second), /signature/);

  const shown = [
    await request(service, 'GET', `/webhooks/${id}`),
    await request(service, 'GET', '/webhooks'),
    await request(service, 'GET', `/webhooks/${id}/deliveries`),
    await request(service, 'PATCH', `/webhooks/${id}`, { description: 'Orders' }),
  ];
  for (const { status, text } of shown) {
    assert.equal(status, 200);
    assert.ok(!text.includes('whsec_') && !text.includes('"secret"'), text);
  }
  assert.ok(!service.output().includes('whsec_'), 'No secret is in the log.');
  await call('DELETE', `/webhooks/${id}`, undefined, 204);
});

test('webhooks: deliveries are listed newest first, and each can be sent again', async (t) => {
  const receiver = await startReceiver(t);
  const { id } = await register(receiver);
  for (let index = 0; index < 3; index += 1) await pay('ANN', 'BOB');
  await until(() => receiver.received.length === 3, { what: 'the events' });
  const list = async (query = '') => {
    const { items, next } = await call('GET', `/webhooks/${id}/deliveries${query}`);
    assert.ok(Array.isArray(items));
    return { items, next };
  };
  await until(async () => (await list()).items.length === 3, { what: 'the deliveries to be written' });
  const page = await list('?limit=2');
  assert.deepEqual(
    page.items.map(({ number, state, attempts }) => [number, state, attempts]),
    [
      [3, 'delivered', 1],
      [2, 'delivered', 1],
    ],
  );
  assert.deepEqual(
    (await list(`?limit=2&after=${String(page.next)}`)).items.map(({ number }) => number),
    [1],
  );
  const oldest = await list('?limit=2&order=oldest');
  assert.deepEqual(
    oldest.items.map(({ number }) => number),
    [1, 2],
  );
  assert.deepEqual(
    (await list(`?limit=2&order=oldest&after=${String(oldest.next)}`)).items.map(({ number }) => number),
    [3],
  );

  await call('POST', `/webhooks/${id}/deliveries/1/redeliver`, undefined, 202);
  await until(() => receiver.received.length === 4, { what: 'the repeated event' });
  const [first, repeated] = [receiver.received[0], receiver.received[3]];
  assert.ok(first && repeated);
  assert.deepEqual([repeated.id, repeated.text], [first.id, first.text]);
  await until(async () => (await list()).items[2]?.attempts === 2, { what: 'the attempt to be written' });

  assert.equal(
    codeOf(await request(service, 'POST', `/webhooks/${id}/deliveries/9/redeliver`)),
    '404 delivery_not_found',
  );
  await call('PATCH', `/webhooks/${id}`, { status: 'disabled' });
  assert.equal(
    codeOf(await request(service, 'POST', `/webhooks/${id}/deliveries/1/redeliver`)),
    '409 webhook_disabled',
  );
  await call('DELETE', `/webhooks/${id}`, undefined, 204);
  assert.deepEqual(await database.query('select from webhook_deliveries where endpoint_id = $1', [id]), []);
});

test('webhooks: metrics count attempts by their result, and webhooks by their status', async (t) => {
  const receiver = await startReceiver(t);
  receiver.answer = (response) => void response.writeHead(500).end();
  const { id } = await register(receiver);
  await pay('ANN', 'BOB');
  const metric = async (line: RegExp) => line.test((await request(service, 'GET', '/metrics')).text);
  await until(async () => await metric(/^gopherpay_webhook_attempts_total{result="status"} [1-9]/m), {
    what: 'the failure',
  });
  await until(async () => await metric(/^gopherpay_webhook_lag_seconds [0-9.]*[1-9]/m), { what: 'the lag' });
  const ofLedger = /^gopherpay_ledger_webhook_lag_seconds\{ledger="main"\} [0-9.]*[1-9]/m;
  assert.ok(await metric(ofLedger), 'The lag of the ledger is read together with that of all.');
  await call('PATCH', `/webhooks/${id}`, { status: 'disabled' });
  await until(async () => await metric(/^gopherpay_webhooks{status="paused"} 1$/m), { what: 'the webhook' });
  await until(async () => await metric(/^gopherpay_webhook_attempt_seconds_count [1-9]/m), { what: 'the time' });
  await until(async () => await metric(/^gopherpay_webhooks_sending 0$/m), { what: 'the places' });
  await call('DELETE', `/webhooks/${id}`, undefined, 204);
});

test('webhooks: an endpoint that fails is tried at once when it gets another URL', async (t) => {
  const [wrong, right] = [await startReceiver(t), await startReceiver(t)];
  wrong.answer = (response) => void response.writeHead(404).end();
  const { id } = await register(wrong);
  const paid = await pay('ANN', 'BOB');
  await until(async () => (await call('GET', `/webhooks/${id}`))['failing_since'] !== null, { what: 'the failure' });
  await call('PATCH', `/webhooks/${id}`, { url: right.url });
  await until(() => right.received.length === 1, { what: 'the event' });
  assert.deepEqual(right.received.map(idOf), [paid]);
  await call('DELETE', `/webhooks/${id}`, undefined, 204);
});

test('webhooks: a paused endpoint continues where it stopped', async (t) => {
  const receiver = await startReceiver(t);
  const { id } = await register(receiver);
  const paused = await call('PATCH', `/webhooks/${id}`, { status: 'disabled' });
  assert.deepEqual([paused['status'], paused['disabled_reason']], ['disabled', 'paused']);
  const missed = await pay('ANN', 'BOB');
  const other = await startReceiver(t);
  const bystander = await register(other);
  const seen = await pay('ANN', 'CAT');
  await until(() => other.received.length === 1, { what: 'another endpoint to have its event' });
  assert.deepEqual([receiver.received, other.received.map(idOf)], [[], [seen]]);
  const enabled = await call('PATCH', `/webhooks/${id}`, { status: 'enabled' });
  assert.deepEqual([enabled['status'], enabled['disabled_reason']], ['enabled', null]);
  await until(() => receiver.received.length === 2, { what: 'the missed events' });
  assert.deepEqual(receiver.received.map(idOf), [missed, seen]);
  for (const each of [id, bystander.id]) await call('DELETE', `/webhooks/${each}`, undefined, 204);
});

test('webhooks: a key names one request for ever, and a replay shows no secret that another request made', async (t) => {
  const receiver = await startReceiver(t);
  const send = async (path: string, key: string, body?: unknown) => {
    const answer = await request(service, 'POST', path, body, { 'idempotency-key': key });
    return { ...answer, isReplay: answer.headers['idempotency-replayed'] === 'true' };
  };
  const body = { url: receiver.url, types: ['account.opened'] };
  const created = await send('/webhooks', 'once-1', body);
  const id = String(created.body['id']);
  const rotate = `/webhooks/${id}/rotate-secret`;
  const first = await send(rotate, 'once-2', { overlap: 60 });
  const second = await send(rotate, 'once-3', { overlap: 60 });
  const secrets = [created, first, second].map((answer) => answer.body['secret']);
  assert.equal(new Set(secrets).size, 3);
  const replays = [
    await send('/webhooks', 'once-1', body),
    await send(rotate, 'once-2', { overlap: 60 }),
    await send(rotate, 'once-3', { overlap: 60 }),
  ];
  assert.deepEqual(
    replays.map(({ status, isReplay, body: { secret } }) => [status, isReplay, secret]),
    [
      [201, true, undefined],
      [200, true, undefined],
      [200, true, secrets[2]],
    ],
  );
  const others: [string, string, unknown][] = [
    ['/webhooks', 'once-1', { url: receiver.url }],
    ['/webhooks', 'once-2', body],
    [rotate, 'once-1', { overlap: 60 }],
    [rotate, 'once-2', { overlap: 61 }],
  ];
  for (const [path, key, other] of others) {
    assert.equal(codeOf(await send(path, key, other)), '422 idempotency_key_reused', `${path} ${key}`);
  }

  assert.equal((await request(service, 'POST', '/accounts', { account_number: 'ONCE', name: 'Ada' })).status, 201);
  await until(() => receiver.received.length === 1, { what: 'the event' });
  await until(async () => (await request(service, 'GET', `/webhooks/${id}/deliveries`)).text.includes('"number":1'), {
    what: 'the delivery',
  });
  const redeliver = `/webhooks/${id}/deliveries/1/redeliver`;
  assert.deepEqual((await send(redeliver, 'once-4')).isReplay, false);
  await until(() => receiver.received.length === 2, { what: 'the repeated event' });
  const isDone = async () => (await send(redeliver, 'once-4')).body['attempts'] === 2;
  await until(isDone, { what: 'the attempt to be written' });
  const repeated = await send(redeliver, 'once-4');
  assert.deepEqual([repeated.status, repeated.isReplay, repeated.body['state']], [202, true, 'delivered']);

  await call('DELETE', `/webhooks/${id}`, undefined, 204);
  assert.equal(codeOf(await send('/webhooks', 'once-1', body)), '404 webhook_not_found');
});

test('webhooks: one key at the same time is one request', async (t) => {
  const receiver = await startReceiver(t);
  const post = async (path: string, body: unknown) =>
    await request(service, 'POST', path, body, { 'idempotency-key': 'at-once' + path.slice(-3) });
  const times = Array.from({ length: 8 });
  const made = await Promise.all(times.map(async () => await post('/webhooks', { url: receiver.url })));
  assert.equal(new Set(made.map(({ body }) => `${String(body['id'])} ${String(body['secret'])}`)).size, 1);
  const id = String(made[0]?.body['id']);
  const rotated = await Promise.all(times.map(async () => await post(`/webhooks/${id}/rotate-secret`, {})));
  assert.equal(new Set(rotated.map(({ body }) => body['secret'])).size, 1);
  await call('DELETE', `/webhooks/${id}`, undefined, 204);
});

test('webhooks: a ledger has at most 100, also if they are registered at the same time', async () => {
  await call('POST', '/ledgers', { name: 'full' });
  const url = 'http://127.0.0.1:9/';
  const answers = await Promise.all(
    Array.from({ length: 110 }, async () => await request(service, 'POST', '/ledgers/full/webhooks', { url })),
  );
  const [refused] = answers.filter(({ status }) => status !== 201);
  assert.ok(refused);
  assert.equal(codeOf(refused), '409 too_many_webhooks');
  assert.equal(answers.filter(({ status }) => status === 201).length, 100);
  const [count] = await database.query(
    `select count(*)::integer as count from webhook_endpoints where ledger_id = (select id from ledgers where name = 'full')`,
  );
  assert.deepEqual(count, { count: 100 });
  await database.query(`delete from webhook_cursors where ledger_id = (select id from ledgers where name = 'full')`);
  await database.query(`delete from webhook_endpoints where ledger_id = (select id from ledgers where name = 'full')`);
});

test('webhooks: an idempotency key registers once, and a list has its pages in both directions', async (t) => {
  const receiver = await startReceiver(t);
  const headers = { 'idempotency-key': 'hook-1' };
  const body = { url: receiver.url, description: 'One' };
  const first = await request(service, 'POST', '/webhooks', body, headers);
  const second = await request(service, 'POST', '/webhooks', body, headers);
  assert.equal(first.headers['location'], `/webhooks/${String(first.body['id'])}`);
  assert.deepEqual([second.body, second.headers['idempotency-replayed']], [first.body, 'true']);
  const other = await request(service, 'POST', '/webhooks', { ...body, description: 'Two' }, headers);
  assert.equal(codeOf(other), '422 idempotency_key_reused');
  const { id } = await register(receiver);
  const oldestFirst = [String(first.body['id']), id];
  for (const [order, expected] of [
    ['', oldestFirst.toReversed()],
    ['&order=newest', oldestFirst.toReversed()],
    ['&order=oldest', oldestFirst],
  ] as const) {
    const page = await call('GET', `/webhooks?limit=1${order}`);
    assert.equal(page['next'], expected[0]);
    const rest = await call('GET', `/webhooks?limit=1&after=${String(page['next'])}${order}`);
    assert.deepEqual([Array.isArray(rest['items']) && rest['items'][0].id, rest['next']], [expected[1], null], order);
  }
  for (const each of [id, String(first.body['id'])]) await call('DELETE', `/webhooks/${each}`, undefined, 204);
});

test('webhooks: what is wrong with a request is refused, and an unknown webhook is not found', async () => {
  const url = 'https://example.com';
  const urls = ['ftp://example.com', 'http://user:word@example.com', `${url}/#x`, 'no URL'];
  for (const each of urls) {
    assert.equal(codeOf(await request(service, 'POST', '/webhooks', { url: each })), '422 url_not_allowed', each);
  }
  const bodies = [
    {},
    { url: 5 },
    { url: `${url}/${'x'.repeat(2048)}` },
    { url, types: [] },
    { url, types: ['transfer.done'] },
    { url, account: 'a b' },
    { url, kind: 'payment' },
    { url, secret: 'whsec_mine' },
  ];
  for (const body of bodies) {
    const text = JSON.stringify(body);
    assert.equal(codeOf(await request(service, 'POST', '/webhooks', body)), '400 invalid_request', text);
  }
  const paths: ['GET' | 'PATCH' | 'DELETE' | 'POST', string][] = [
    ['GET', ''],
    ['PATCH', ''],
    ['DELETE', ''],
    ['GET', '/deliveries'],
    ['POST', '/rotate-secret'],
    ['POST', '/deliveries/1/redeliver'],
  ];
  for (const id of [NO_SUCH, 'none']) {
    for (const [method, path] of paths) {
      const answer = await request(service, method, `/webhooks/${id}${path}`, method === 'PATCH' ? {} : undefined);
      assert.equal(codeOf(answer), '404 webhook_not_found', `${method} ${path}`);
    }
  }
});

test('webhooks: another ledger neither sees an endpoint nor changes it, and gets its own events', async (t) => {
  await call('POST', '/ledgers', { name: 'shop' });
  const [receiver, ofShop] = [await startReceiver(t), await startReceiver(t)];
  const { id } = await register(receiver);
  const shop = await call('POST', '/ledgers/shop/webhooks', { url: ofShop.url });
  const path = `/ledgers/shop/webhooks/${id}`;
  const attempts: ['GET' | 'PATCH' | 'DELETE' | 'POST', string][] = [
    ['GET', path],
    ['PATCH', path],
    ['DELETE', path],
    ['POST', `${path}/rotate-secret`],
    ['GET', `${path}/deliveries`],
  ];
  for (const [method, at] of attempts) {
    const answer = await request(service, method, at, method === 'PATCH' ? { status: 'disabled' } : undefined);
    assert.equal(codeOf(answer), '404 webhook_not_found', `${method} ${at}`);
  }
  const listed = await call('GET', '/ledgers/shop/webhooks');
  assert.deepEqual(Array.isArray(listed['items']) && listed['items'].map((item) => item.id), [shop['id']]);
  await request(service, 'POST', '/ledgers/shop/accounts', { account_number: 'ZOE', name: 'Zoe' });
  const paid = await pay('ANN', 'BOB');
  await until(() => ofShop.received.length > 0 && receiver.received.length > 0, { what: 'the events' });
  assert.deepEqual(receiver.received.map(idOf), [paid]);
  assert.ok(ofShop.received.every(({ message }) => message.ledger === 'shop' && message.type === 'account.opened'));
  await call('DELETE', `/webhooks/${id}`, undefined, 204);
  await call('DELETE', `/ledgers/shop/webhooks/${String(shop['id'])}`, undefined, 204);
});

test('webhooks: two processes deliver each event once, and one takes over what the other had claimed', async (t) => {
  const second = await startService(t, { database, env: ENV });
  const receiver = await startReceiver(t);
  const hooks: { id: string }[] = [];
  for (let index = 0; index < 8; index += 1) hooks.push(await register(receiver, { description: String(index) }));
  const ids: string[] = [];
  for (let index = 0; index < 40; index += 1) {
    const body = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
    const to = index % 2 === 0 ? service : second;
    const answer = await request(to, 'POST', '/transfers', body, { prefer: 'wait=10' });
    ids.push(String(answer.body['id']));
  }
  const expected = ids.flatMap((id) => hooks.map(() => id)).toSorted();
  await until(() => receiver.received.length >= expected.length, { what: 'all events', timeoutMs: 30_000 });
  assert.deepEqual(receiver.received.map((received) => String(idOf(received))).toSorted(), expected);

  // The receiver answers nothing, so each process is in the middle of its deliveries when one is killed.
  receiver.received.length = 0;
  let isOpen = false;
  receiver.answer = (response) => {
    if (isOpen) response.writeHead(204).end();
  };
  const blocked = await pay('ANN', 'CAT');
  await until(() => receiver.received.length >= hooks.length, { what: 'all endpoints to be tried' });
  await second.kill();
  isOpen = true;
  const later = await pay('ANN', 'CAT');
  const done = () => receiver.received.filter((received) => idOf(received) === later).length === hooks.length;
  await until(done, { what: 'the events after the crash', timeoutMs: 30_000 });
  const before = receiver.received.filter((received) => idOf(received) === blocked).length;
  assert.ok(before >= hooks.length, 'What was not answered is sent again.');
  for (const { id } of hooks) await call('DELETE', `/webhooks/${id}`, undefined, 204);
});

test('webhooks: a service that stops in the middle of a delivery gives up its claim at once', async (t) => {
  const other = await createDatabase(t);
  const env = { ...ENV, DRAIN_TIMEOUT_MS: '300', ORPHANED_AFTER_MS: '600000' };
  const first = await startService(t, { database: other, env });
  const receiver = await startReceiver(t);
  receiver.answer = () => {};
  await request(first, 'POST', '/webhooks', { url: receiver.url });
  await request(first, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann' });
  await until(() => receiver.received.length === 1, { what: 'the attempt' });
  const { code } = await first.stop();
  assert.equal(code, 0);
  receiver.answer = (response) => void response.writeHead(204).end();
  await startService(t, { database: other, env });
  await until(() => receiver.received.length >= 2, { what: 'the event to be sent again' });
  assert.equal(receiver.received[1]?.id, receiver.received[0]?.id);
});

test('webhooks: a key for some accounts may not register one, and the log names the administrator', async (t) => {
  const own = await createDatabase(t);
  const admin = await makeKey(own);
  const limited = await makeKey(own, { limits: { accountPrefix: 'SHOP-' } });
  const running = await startService(t, { database: own, env: ENV });
  const body = { url: 'http://127.0.0.1:9/hook?token=hidden' };
  const refused = await request(running, 'POST', '/webhooks', body, limited.headers);
  assert.equal(codeOf(refused), '403 not_allowed');
  const made = await request(running, 'POST', '/webhooks', body, admin.headers);
  const path = `/webhooks/${String(made.body['id'])}`;
  const url = 'http://127.0.0.1:10/hook?token=hidden';
  assert.equal((await request(running, 'PATCH', path, { url }, admin.headers)).status, 200);
  assert.equal((await request(running, 'POST', `${path}/rotate-secret`, {}, admin.headers)).status, 200);
  assert.equal((await request(running, 'DELETE', path, undefined, admin.headers)).status, 204);
  const log = await request(running, 'GET', '/audit-log?refused=false', undefined, admin.headers);
  const items = Array.isArray(log.body['items']) ? log.body['items'] : [];
  assert.deepEqual(
    items.map(({ action, actor, subject }) => [action, actor, subject]).slice(0, 4),
    ['deleted', 'secret_rotated', 'changed', 'created'].map((act) => [`webhook.${act}`, admin.id, made.body['id']]),
  );
  assert.deepEqual(
    items.slice(2, 4).map(({ details }) => details),
    [{ url: 'http://127.0.0.1:10' }, { url: 'http://127.0.0.1:9' }],
  );
  assert.ok(!log.text.includes('hidden'));
});
