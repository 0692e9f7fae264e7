// Goal: SIGTERM stops the service cleanly: accepted requests are finished and answered, later ones are refused, and the
// process exits with 0. Method: SIGTERM in the middle of load, and while callers wait for delayed transfers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import {
  type Attempt,
  attempt,
  countPending,
  findByRequestId,
  idOf,
  inParallel,
  isAccepted,
  LOAD_ENV,
  openAccount,
  openAccounts,
  post,
  postAccepted,
  times,
} from './callers.ts';
import { lockAccount } from '../support/trouble.ts';

test('shutdown: under load every request is answered or stores nothing, and accepted transfers settle', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  const accounts = await openAccounts(service, 'ACC', 10, { balance: 1_000_000 });
  const attempts: Attempt[] = [];

  const load = inParallel(
    50,
    times(20_000, (index) => index),
    async (index) => {
      if (service.ended()) return;
      const order = {
        from_account: accounts[index % 10] ?? '',
        to_account: accounts[(index + 1) % 10] ?? '',
        amount: 1,
      };
      attempts.push(await attempt(service, order));
    },
  );
  await until(() => attempts.length >= 1000, { timeoutMs: 30_000, what: 'load' });
  const exit = await service.stop();
  await load;

  assert.deepEqual(exit, { code: 0, signal: null }, service.output());
  assert.equal(await countPending(database), 0, 'The queue is drained.');
  const accepted = attempts.filter(isAccepted);
  const refused = attempts.filter((one) => !isAccepted(one));
  assert.ok(refused.length > 0, 'The signal must have come in the middle of load.');
  for (const { answer } of refused) {
    if (answer) assert.deepEqual([answer.status, answer.body.code], [503, 'shutting_down'], answer.text);
  }
  const found = await findByRequestId(
    database,
    attempts.map(({ requestId }) => requestId),
  );
  assert.deepEqual(found, new Map(accepted.map(({ requestId, answer }) => [requestId, idOf(answer)])));
  await checkPromises(database, { accepted: accepted.map(({ answer }) => idOf(answer)), nothingPending: true });
});

test('shutdown: waiting callers are answered when their transfers are final, and no new caller is admitted', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  await openAccount(service, 'ANN', { balance: 1000 });
  await openAccount(service, 'BOB');
  const order = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
  const unlock = await lockAccount(database, 'ANN');

  const waiting = times(20, () => post(service, order, { Prefer: 'wait=30' }));
  const abrupt = times(20, () => post(service, order));
  await until(async () => /^gopherpay_queue_transfers 40$/m.test((await request(service, 'GET', '/metrics')).text), {
    what: 'all transfers to be on their way',
  });
  const early = await Promise.all(abrupt);
  const stopping = service.stop();
  const late = await until(
    async () => {
      const one = await attempt(service, order);
      return isAccepted(one) ? undefined : one;
    },
    { what: 'new requests to be refused' },
  );
  if (late.answer) assert.equal(late.answer.body.code, 'shutting_down', late.answer.text);
  assert.equal(service.ended(), false, 'It must wait for the waiting callers.');
  await unlock();

  const answers = await Promise.all(waiting);
  for (const answer of answers) {
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.body.status, 'completed');
  }
  // Connections that are kept alive must not keep the process alive; it would wait 30 s for them.
  await until(() => service.ended(), { timeoutMs: 15_000, what: 'the process to end' });
  const exit = await stopping;
  assert.deepEqual(exit, { code: 0, signal: null }, service.output());
  assert.equal(await countPending(database), 0, 'The queue is drained.');
  const [account] = await database.query(`select balance from accounts where account_number = 'BOB'`);
  assert.ok(Number(account?.['balance']) >= 40);
  await checkPromises(database, { accepted: [...answers, ...early].map(idOf), nothingPending: true });
});

test('shutdown: the process ends only after accepted transfers have settled, also without waiting callers', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { ...LOAD_ENV, DB_LOCK_TIMEOUT_MS: '100' } });
  await openAccount(service, 'ANN', { balance: 1000 });
  await openAccount(service, 'BOB');
  const order = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
  const unlock = await lockAccount(database, 'ANN');
  const accepted = await Promise.all(times(40, () => postAccepted(service, order)));

  const stopping = service.stop();
  await until(
    async () => {
      const one = await attempt(service, order);
      if (isAccepted(one)) accepted.push(idOf(one.answer));
      return one.broken === 'ECONNREFUSED';
    },
    { what: 'new connections to be refused' },
  );
  // Each of these lines reports a job with a lock timeout that will be retried.
  const countRetries = (): number => service.logs().filter((line) => line['sqlstate'] === '55P03').length;
  const before = countRetries();
  await until(() => service.ended() || countRetries() > before, { timeoutMs: 20_000, what: 'a job to be run again' });
  assert.equal(service.ended(), false, service.output());
  assert.equal(await countPending(database), accepted.length);
  await unlock();

  assert.deepEqual(await stopping, { code: 0, signal: null }, service.output());
  const [account] = await database.query(`select balance from accounts where account_number = 'BOB'`);
  assert.equal(account?.['balance'], BigInt(accepted.length));
  await checkPromises(database, { accepted, nothingPending: true });
});
