// Goal: one idempotency key permanently names one transfer, for any number of concurrent callers. Method: the same key
// from fifty callers, to one service and to two; then with another request; then that of a failed transfer, again and
// again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { awaitFinal, request, startService } from '../support/service.ts';
import {
  awaitNothingPending,
  count,
  idOf,
  inParallel,
  listBalances,
  listTransfers,
  LOAD_ENV,
  openAccount,
  openAccounts,
  type Order,
  post,
  postAccepted,
  times,
} from './callers.ts';

test('idempotency: one key from fifty callers at once moves money once', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  await openAccount(service, 'ANN', { balance: 1000 });
  await openAccount(service, 'BOB');
  const order: Order = { from_account: 'ANN', to_account: 'BOB', amount: 30 };

  const answers = await Promise.all(times(50, () => post(service, order, { 'Idempotency-Key': 'rent-july' })));
  for (const answer of answers) assert.ok(answer.status === 202 || answer.status === 200, answer.text);
  assert.equal(new Set(answers.map(idOf)).size, 1);
  assert.deepEqual(
    count(answers.map((answer) => answer.headers['idempotency-replayed'])),
    new Map([
      [undefined, 1],
      ['true', 49],
    ]),
  );
  const [id = ''] = answers.map(idOf);
  assert.equal((await awaitFinal(service, id))['status'], 'completed');

  // Another request under the same key is refused, for any difference.
  for (const other of [
    { ...order, amount: 31 },
    { ...order, to_account: '@external' },
    { ...order, currency: 'USD' },
  ]) {
    const refused = await Promise.all(times(10, () => post(service, other, { 'Idempotency-Key': 'rent-july' })));
    for (const answer of refused) {
      assert.equal(answer.status, 422, answer.text);
      assert.equal(answer.body.code, 'idempotency_key_reused');
    }
  }
  assert.equal(idOf(await post(service, order, { 'Idempotency-Key': 'rent-july' })), id);

  await awaitNothingPending(database);
  assert.deepEqual(
    (await listTransfers(service, { account: 'ANN' })).map(({ amount }) => amount),
    [30, 1000],
  );
  const balances = await listBalances(service);
  assert.equal(balances.get('ANN'), 970);
  assert.equal(balances.get('BOB'), 30);
  await checkPromises(database, { accepted: [id], nothingPending: true });
});

test('idempotency: two different requests that race for one key: one is stored, the other refused', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  const another = await startService(t, { database, env: LOAD_ENV });
  await openAccount(service, 'ANN', { balance: 100_000 });
  await openAccount(service, 'BOB');
  const accepted = new Map<string, number>();

  await inParallel(
    16,
    times(200, (index) => `race-${index}`),
    async (key) => {
      const headers = { 'Idempotency-Key': key };
      const answers = await Promise.all([
        post(service, { from_account: 'ANN', to_account: 'BOB', amount: 1 }, headers),
        post(service, { from_account: 'ANN', to_account: 'BOB', amount: 2 }, headers),
        post(another, { from_account: 'ANN', to_account: 'BOB', amount: 3 }, headers),
        post(another, { from_account: 'ANN', to_account: 'BOB', amount: 4 }, headers),
      ]);
      assert.deepEqual(
        count(answers.map(({ status }) => status)),
        new Map([
          [202, 1],
          [422, 3],
        ]),
      );
      const winner = answers.find(({ status }) => status === 202);
      accepted.set(idOf(winner ?? null), winner?.body.amount ?? 0);
      for (const { status, body } of answers) {
        if (status === 422)
          assert.deepEqual([body.code, body.transfer_id], ['idempotency_key_reused', winner?.body.id]);
      }
    },
  );
  await awaitNothingPending(database);

  const payments = (await listTransfers(service, { account: 'BOB' })).map(({ id, amount }): [string, number] => [
    id,
    amount,
  ]);
  assert.equal(payments.length, 200);
  assert.deepEqual(new Map(payments), accepted);
  await checkPromises(database, { accepted: [...accepted.keys()], nothingPending: true });
});

test('idempotency: two services that receive the same keys at once create one transfer per key', async (t) => {
  const database = await createDatabase(t);
  const services = [
    await startService(t, { database, env: LOAD_ENV }),
    await startService(t, { database, env: LOAD_ENV }),
  ];
  const [first] = services;
  assert.ok(first);
  const accounts = await openAccounts(first, 'ACC', 10, { balance: 10_000 });
  const ids: string[] = [];

  await inParallel(
    20,
    times(400, (index) => index),
    async (index) => {
      const order = {
        from_account: accounts[index % 10] ?? '',
        to_account: accounts[(index + 1) % 10] ?? '',
        amount: 1,
      };
      const headers = { 'Idempotency-Key': `key-${index}` };
      const answers = await Promise.all([...services, ...services].map((service) => post(service, order, headers)));
      for (const answer of answers) assert.ok(answer.status === 202 || answer.status === 200, answer.text);
      assert.equal(new Set(answers.map(idOf)).size, 1);
      assert.equal(answers.filter(({ headers }) => headers['idempotency-replayed'] === 'true').length, 3);
      ids.push(...new Set(answers.map(idOf)));
    },
  );
  await awaitNothingPending(database);

  assert.equal(new Set(ids).size, 400, 'Each key has a transfer of its own.');
  const listed = (await listTransfers(first)).filter(({ from_account }) => from_account !== '@external');
  assert.deepEqual(listed.map(({ id }) => id).sort(), ids.sort());
  await checkPromises(database, { accepted: ids, nothingPending: true });
});

test('idempotency: the key of a failed transfer names its failure permanently', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  await openAccount(service, 'POOR', { balance: 5 });
  await openAccount(service, 'BOB');
  const order: Order = { from_account: 'POOR', to_account: 'BOB', amount: 6 };
  const headers = { 'Idempotency-Key': 'too-much' };

  const first = await post(service, order, headers);
  assert.equal(first.status, 202, first.text);
  const id = idOf(first);
  assert.equal((await awaitFinal(service, id))['failure_code'], 'insufficient_funds');

  const assertReplayed = async (target: { url: string }): Promise<void> => {
    for (const answer of await Promise.all(times(10, () => post(target, order, headers)))) {
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.headers['idempotency-replayed'], 'true');
      assert.deepEqual(
        [answer.body.id, answer.body.status, answer.body.failure_code],
        [id, 'failed', 'insufficient_funds'],
      );
    }
  };
  await assertReplayed(service);
  // Neither sufficient money nor a new process makes it another transfer.
  await awaitFinal(
    service,
    await postAccepted(service, { from_account: '@external', to_account: 'POOR', amount: 100 }),
  );
  await assertReplayed(service);
  await service.stop();
  const successor = await startService(t, { database, env: LOAD_ENV });
  await assertReplayed(successor);

  const account = await request(successor, 'GET', '/accounts/POOR');
  assert.deepEqual([account.body['balance'], account.body['entry_count']], [105, 2]);
  await checkPromises(database, { accepted: [id], nothingPending: true });
});
