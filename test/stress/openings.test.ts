// Goal: a caller that opens accounts gets a true answer when the answer to the job's commit is lost, with any other
// units in the job. Method: a network that loses the answer; a lock behind which requests gather.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { startProxy } from '../support/proxy.ts';
import { request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { lockAccount } from '../support/trouble.ts';

/** The thread times out waiting for the answer, and retries the job, long before the caller's wait ends. */
const ENV = {
  DB_STATEMENT_TIMEOUT_MS: '1000',
  DB_LOCK_TIMEOUT_MS: '500',
  DB_IDLE_IN_TRANSACTION_TIMEOUT_MS: '1000',
  DB_ANSWER_TIMEOUT_MS: '2000',
  // A heartbeat commits, too.
  HEARTBEAT_MS: '60000',
  ORPHANED_AFTER_MS: '180000',
};

/** Sends a request whose first commit answer is lost, and afterwards the request to open ANN again. */
async function openWithLostAnswer(t: TestContext, body: unknown, headers: Record<string, string> = {}) {
  const database = await createDatabase(t);
  const proxy = await startProxy(t, database);
  const service = await startService(t, { database: { url: proxy.url }, env: ENV });
  const lost = proxy.loseCommit();
  const answer = await request(service, 'POST', '/accounts', body, headers);
  await lost;
  const again = await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann' });
  assert.equal(again.status, 409, 'It was opened once.');
  await checkPromises(database, { nothingPending: true });
  return answer;
}

test('openings: after a lost answer an account is recognized by its opening transfer', async (t) => {
  const answer = await openWithLostAnswer(t, { account_number: 'ANN', name: 'Ann', balance: 700 });
  assert.equal(answer.status, 201, answer.text);
  assert.equal(answer.body['balance'], 700);
  assert.match(String(answer.body['opening_transfer_id']), /^[0-9a-f-]{36}$/);
});

test('openings: after a lost answer a list of accounts is recognized by one opening transfer', async (t) => {
  const accounts = [
    { account_number: 'BOB', name: 'Bob' },
    { account_number: 'ANN', name: 'Ann', balance: 700 },
  ];
  const answer = await openWithLostAnswer(t, { accounts });
  assert.equal(answer.status, 201, answer.text);
});

test('openings: after a lost answer an account is recognized by its key', async (t) => {
  const body = { account_number: 'ANN', name: 'Ann' };
  const answer = await openWithLostAnswer(t, body, { 'Idempotency-Key': 'open-ann' });
  assert.equal(answer.status, 201, answer.text);
});

test('openings: after a lost answer an account without key and transfer has an unknown outcome', async (t) => {
  const answer = await openWithLostAnswer(t, { account_number: 'ANN', name: 'Ann' });
  assert.equal(answer.status, 503, answer.text);
  assert.equal(answer.body['code'], 'outcome_unknown');
  assert.equal(answer.body['account_number'], 'ANN');
});

test('openings: a request whose key is reused does not take the number from another request of its job', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '1' } });
  const open = async (account_number: string, headers: Record<string, string> = {}) =>
    await request(service, 'POST', '/accounts', { account_number, name: 'Ada' }, headers);
  assert.equal((await open('ANN', { 'Idempotency-Key': 'open' })).status, 201);
  const unlock = await lockAccount(database, '@external');
  const first = open('BOB');
  const blocked =
    "select from pg_stat_activity where datname = current_database() and application_name = 'gopherpay thread' and wait_event_type = 'Lock'";
  await until(async () => (await database.query(blocked)).length > 0, { what: 'a job to wait for the lock' });
  // Both gather into the job behind the first.
  const reused = open('EVE', { 'Idempotency-Key': 'open' });
  await setTimeout(100);
  const other = open('EVE');
  await setTimeout(100);
  await unlock();
  assert.equal((await first).status, 201);
  assert.equal((await reused).body['code'], 'idempotency_key_reused');
  assert.equal((await other).status, 201, (await other).text);
  await checkPromises(database, { nothingPending: true });
});
