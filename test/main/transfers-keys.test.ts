// Transfers over HTTP, on a real database. Every answer is validated against its schema in the OpenAPI document, and
// may have nothing else. A row lock in SQL keeps transfers pending. Here: idempotency keys and request ids.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { checkPromises } from '../support/promises/check.ts';
import { awaitFinal, request } from '../support/service.ts';
import {
  answered,
  balancesOf,
  count,
  database,
  hold,
  idsOf,
  itemsOf,
  look,
  MADE_ID,
  newKey,
  open,
  order,
  refused,
  type Row,
  service,
  settle,
  start,
  WAIT,
} from './transfers.ts';

before(start);

// Idempotency.

test('transfers: the same key and request always name the same transfer', async () => {
  const [from, to] = [await open({ balance: 100 }), await open()];
  const key = newKey();
  const first = await answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 30), { ...WAIT, ...key });
  assert.equal(first.headers['idempotency-replayed'], undefined);
  const counted = await count();
  for (const _ of [1, 2]) {
    const again = await answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 30), key);
    assert.deepEqual(again.body, first.body);
    assert.equal(again.headers['idempotency-replayed'], 'true');
    assert.equal(again.headers['location'], first.headers['location']);
  }
  assert.deepEqual(await count(), counted);
  assert.deepEqual(await balancesOf(from, to), [70, 30]);
});

test('transfers: a replay has a request id of its own, and reports that of the first', async () => {
  const to = await open();
  const headers = { ...WAIT, ...newKey() };
  const first = { ...headers, 'x-request-id': 'first-try' };
  const again = { ...headers, 'x-request-id': 'second-try' };
  await answered(200, 'Transfer', 'POST', '/transfers', order('@external', to, 1), first);
  const replayed = await answered(200, 'Transfer', 'POST', '/transfers', order('@external', to, 1), again);
  assert.deepEqual([replayed.headers['x-request-id'], replayed.body['request_id']], ['second-try', 'first-try']);
  assert.deepEqual(itemsOf(await look('TransferPage', '/transfers?request_id=second-try')), []);
});

test('transfers: a key identifies the content of a request, not its formatting', async () => {
  const to = await open();
  const key = newKey();
  const first = `{"from_account":"@external","to_account":"${to}","amount":5,"metadata":{"a":"1","b":"ä"}}`;
  const { body } = await answered(200, 'Transfer', 'POST', '/transfers', first, { ...WAIT, ...key });
  for (const written of [
    ` { "amount" : 5 , "to_account":"${to}",\r\n"from_account":"@external","metadata":{"b":"\\u00e4","a":"1"} } `,
    `{"description":null,"metadata":{"b":"ä","a":"1"},"to_account":"${to}","amount":5,"from_account":"\\u0040external"}`,
  ]) {
    const again = await answered(200, 'Transfer', 'POST', '/transfers', written, key);
    assert.deepEqual([again.body, again.headers['idempotency-replayed']], [body, 'true']);
  }
  assert.deepEqual(await balancesOf(to), [5]);
});

test('transfers: the same key with another request is refused, and names its transfer', async () => {
  const [from, to, other] = [await open({ balance: 100 }), await open(), await open({ balance: 100 })];
  const key = newKey();
  const sent = { ...order(from, to, 5), metadata: { a: '1' } };
  const first = await answered(200, 'Transfer', 'POST', '/transfers', sent, { ...WAIT, ...key });
  const counted = await count();
  for (const change of [
    { amount: 6 },
    { from_account: other },
    { to_account: other },
    { from_account: to, to_account: from },
    { currency: 'USD' },
    { description: 'x' },
    { metadata: { a: '2' } },
    { metadata: { a: '1', b: '2' } },
    { metadata: {} },
    { metadata: null },
  ]) {
    const problem = await refused('idempotency_key_reused', 'POST', '/transfers', { ...sent, ...change }, key);
    assert.equal(problem['transfer_id'], first.body['id'], JSON.stringify(change));
  }
  assert.deepEqual(await count(), counted);
  assert.deepEqual(await balancesOf(from, to, other), [95, 5, 100]);
});

test('transfers: a failed transfer keeps its key, even when it would succeed now', async () => {
  const [from, to] = [await open(), await open()];
  const key = newKey();
  const failed = await answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 5), { ...WAIT, ...key });
  assert.equal(failed.body['failure_code'], 'insufficient_funds');
  assert.equal((await settle(order('@external', from, 5)))['status'], 'completed');
  const again = await answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 5), { ...WAIT, ...key });
  assert.deepEqual([again.body, again.headers['idempotency-replayed']], [failed.body, 'true']);
  assert.deepEqual(await balancesOf(from, to), [5, 0]);
});

test('transfers: a replay of a pending transfer reports it as pending, or waits with the first', async (t) => {
  const [from, to] = [await open({ balance: 5 }), await open()];
  const release = await hold(t, from);
  const key = newKey();
  const first = await answered(202, 'Transfer', 'POST', '/transfers', order(from, to, 5), key);
  const again = await answered(202, 'Transfer', 'POST', '/transfers', order(from, to, 5), key);
  assert.deepEqual([again.body, again.headers['idempotency-replayed']], [first.body, 'true']);
  const waiting = answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 5), { ...WAIT, ...key });
  await release();
  const { body } = await waiting;
  assert.deepEqual([body['id'], body['status']], [first.body['id'], 'completed']);
  assert.deepEqual(await balancesOf(from, to), [0, 5]);
});

test('transfers: of many concurrent requests with one key, one takes effect', async () => {
  const [from, to] = [await open({ balance: 100 }), await open()];
  const headers = { ...WAIT, ...newKey() };
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 3), headers)),
  );
  assert.equal(new Set(answers.map(({ body }) => body['id'])).size, 1);
  assert.equal(answers.filter(({ headers }) => headers['idempotency-replayed'] === undefined).length, 1);
  assert.deepEqual(await balancesOf(from, to), [97, 3]);
});

test('transfers: a key is up to 255 visible ASCII characters and case-sensitive', async () => {
  const to = await open();
  const ids = new Set<unknown>();
  for (const key of ['!"#$%&\'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~', 'k'.repeat(255), `K${'k'.repeat(254)}`, '0']) {
    const headers = { 'idempotency-key': key };
    const first = await answered(202, 'Transfer', 'POST', '/transfers', order('@external', to, 1), headers);
    const again = await request<Row>(service, 'POST', '/transfers', order('@external', to, 1), { ...WAIT, ...headers });
    assert.deepEqual([again.status, again.body['id']], [200, first.body['id']]);
    ids.add(first.body['id']);
  }
  assert.equal(ids.size, 4);
  assert.deepEqual(await balancesOf(to), [4]);
});

test('transfers: a refused request does not use its key', async () => {
  const to = await open();
  const key = newKey();
  await refused('amount_not_positive', 'POST', '/transfers', order('@external', to, 0), key);
  await refused('invalid_request', 'POST', '/transfers', { ...order('@external', to, 1), x: 1 }, key);
  const { headers } = await answered(202, 'Transfer', 'POST', '/transfers', order('@external', to, 1), key);
  assert.equal(headers['idempotency-replayed'], undefined);
});

// Request ids.

test('transfers: a request id is echoed, stored with the transfer, and found', async () => {
  const to = await open();
  const requestId = 'Order/2026:7+a=b@shop.example-x_1';
  const sent = await answered(202, 'Transfer', 'POST', '/transfers', order('@external', to, 1), {
    'x-request-id': requestId,
  });
  assert.deepEqual([sent.headers['x-request-id'], sent.body['request_id']], [requestId, requestId]);
  assert.notEqual(sent.body['id'], requestId);
  const second = await settle(order('@external', to, 2), { 'x-request-id': requestId });
  await awaitFinal(service, String(sent.body['id']));
  const found = await look('TransferPage', `/transfers?request_id=${encodeURIComponent(requestId)}`);
  assert.deepEqual(idsOf(itemsOf(found)).toSorted(), [sent.body['id'], second['id']].map(String).toSorted());
});

test('transfers: a missing or malformed request id is replaced, and the new one is the id of the transfer', async () => {
  const to = await open();
  for (const headers of [{}, { 'x-request-id': 'not one' }, { 'x-request-id': 'x'.repeat(129) }]) {
    const sent = await answered(200, 'Transfer', 'POST', '/transfers', order('@external', to, 1), {
      ...WAIT,
      ...headers,
    });
    assert.match(String(sent.headers['x-request-id']), MADE_ID);
    assert.deepEqual(
      [sent.body['id'], sent.body['request_id']],
      [sent.headers['x-request-id'], sent.headers['x-request-id']],
    );
    const found = await look('TransferPage', `/transfers?request_id=${String(sent.body['id'])}`);
    assert.deepEqual(itemsOf(found), [sent.body]);
  }
});

test('transfers: a request id of 128 characters is accepted, also while the transfer is pending', async (t) => {
  const from = await open({ balance: 5 });
  const release = await hold(t, from);
  const requestId = 'r'.repeat(128);
  const sent = await answered(202, 'Transfer', 'POST', '/transfers', order(from, '@external', 1), {
    'x-request-id': requestId,
  });
  assert.deepEqual(itemsOf(await look('TransferPage', `/transfers?request_id=${requestId}`)), [sent.body]);
  await release();
  await awaitFinal(service, String(sent.body['id']));
});

test('transfers: the promises are kept afterwards', async () => {
  await checkPromises(database, { nothingPending: true });
});
