// Opening an account honors Idempotency-Key, as every POST does, and a replay is answered while the queue is full.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, startService } from '../support/service.ts';
import { lockAccount } from '../support/trouble.ts';

const ZED = { name: 'Zed', balance: 10_000 };
const key = (name: string) => ({ 'Idempotency-Key': name });

test('account keys: one key opens one account, also when repeated or sent concurrently', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { LOG_LEVEL: 'warn' } });
  const open = async (body: unknown = ZED) => await request(service, 'POST', '/accounts', body, key('open-zed'));
  const answers = await Promise.all(Array.from({ length: 20 }, async () => await open()));
  const later = await open();
  for (const { status, body, text } of [...answers, later]) {
    assert.deepEqual([status, body['account_number']], [201, later.body['account_number']], text);
    assert.deepEqual([body['balance'], body['opening_transfer_id']], [10_000, later.body['opening_transfer_id']]);
  }
  assert.equal(answers.filter(({ headers }) => headers['idempotency-replayed'] === undefined).length, 1);
  assert.equal(later.headers['idempotency-replayed'], 'true');
  const outside = await request(service, 'GET', '/accounts/@external');
  assert.equal(outside.body['balance'], -10_000);

  const other = await open({ ...ZED, balance: 10_001 });
  assert.deepEqual([other.status, other.body['code']], [422, 'idempotency_key_reused'], other.text);
  assert.equal(other.body['account_number'], later.body['account_number']);
  await checkPromises(database, { nothingPending: true });
});

test('account keys: an account without an opening balance is opened once under its key, too', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { LOG_LEVEL: 'warn' } });
  const open = async () => await request(service, 'POST', '/accounts', { name: 'Ann' }, key('open-ann'));
  const [one, two] = [await open(), await open()];
  assert.equal(one.status, 201);
  assert.deepEqual(two.body, one.body);
  assert.equal((await database.query(`select from accounts where account_number <> '@external'`)).length, 1);
});

test('account keys: a key names one request of any kind', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { LOG_LEVEL: 'warn' } });
  const opened = await request(service, 'POST', '/accounts', { ...ZED, account_number: 'ZED' }, key('one'));
  assert.equal(opened.status, 201);
  const order = { from_account: '@external', to_account: 'ZED', amount: 1 };
  const transfer = await request(service, 'POST', '/transfers', order, key('one'));
  assert.deepEqual([transfer.status, transfer.body['code']], [422, 'idempotency_key_reused'], transfer.text);
  assert.equal((await request(service, 'POST', '/transfers', order, key('two'))).status, 202);
  const account = await request(service, 'POST', '/accounts', ZED, key('two'));
  assert.deepEqual([account.status, account.body['code']], [422, 'idempotency_key_reused'], account.text);
  const refused = await request(service, 'POST', '/accounts', { ...ZED, account_number: 'ZED' }, key('three'));
  assert.equal(refused.body['code'], 'account_exists');
  // It had no effect, so the key is unused.
  assert.equal((await request(service, 'POST', '/accounts', ZED, key('three'))).status, 201);
});

test('account keys: a replay is answered while the queue is full', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { MAX_QUEUE: '2', LOG_LEVEL: 'warn' } });
  const opened = await request(service, 'POST', '/accounts', { ...ZED, account_number: 'ZED' }, key('open'));
  assert.equal(opened.status, 201, opened.text);
  const order = { from_account: 'ZED', to_account: '@external', amount: 1 };
  const paid = await request(service, 'POST', '/transfers', order, { ...key('pay'), Prefer: 'wait=5' });
  assert.equal(paid.body['status'], 'completed');
  const unlock = await lockAccount(database, 'ZED');
  for (let place = 0; place < 2; place += 1)
    assert.equal((await request(service, 'POST', '/transfers', order)).status, 202);
  assert.equal((await request(service, 'POST', '/transfers', order)).status, 429);
  assert.equal((await request(service, 'POST', '/transfers', order, key('new'))).status, 429);
  const replay = await request(service, 'POST', '/transfers', order, key('pay'));
  assert.deepEqual([replay.status, replay.body['id'], replay.body['status']], [200, paid.body['id'], 'completed']);
  const other = await request(service, 'POST', '/transfers', { ...order, amount: 2 }, key('pay'));
  assert.equal(other.body['code'], 'idempotency_key_reused');
  const account = await request(service, 'POST', '/accounts', { ...ZED, account_number: 'ZED' }, key('open'));
  assert.deepEqual([account.status, account.headers['idempotency-replayed']], [201, 'true'], account.text);
  await unlock();
});
