// Goal: with any number of concurrent callers on the same accounts, every balance is the sum of the completed
// transfers. Method: thousands of transfers through one service, and the balances computed a second time from its
// answers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { startService } from '../support/service.ts';
import {
  awaitNothingPending,
  count,
  inParallel,
  listBalances,
  listTransfers,
  LOAD_ENV,
  openAccount,
  openAccounts,
  type Order,
  postAccepted,
  sumUp,
  times,
} from './callers.ts';
import { drawFor } from '../support/random.ts';

const CALLERS = 64;

test('transfers: equal numbers of transfers in both directions change no balance', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  await openAccount(service, 'ANN', { overdraft_limit: 1_000_000 });
  await openAccount(service, 'BOB', { balance: 1_000_000 });
  const there: Order = { from_account: 'ANN', to_account: 'BOB', amount: 7 };
  const back: Order = { from_account: 'BOB', to_account: 'ANN', amount: 7 };
  const accepted: string[] = [];

  await inParallel(
    CALLERS,
    times(2000, (index) => (index % 2 === 0 ? there : back)),
    async (order) => {
      accepted.push(await postAccepted(service, order));
    },
  );
  await awaitNothingPending(database);

  const statuses = count((await listTransfers(service, { account: 'ANN' })).map((transfer) => transfer.status));
  assert.deepEqual(statuses, new Map([['completed', 2000]]));
  assert.deepEqual(
    await listBalances(service),
    new Map([
      ['@external', -1_000_000],
      ['ANN', 0],
      ['BOB', 1_000_000],
    ]),
  );
  await checkPromises(database, { accepted, nothingPending: true });
});

test('transfers: random transfers between fifty accounts add up to their balances', async (t) => {
  const draw = drawFor(t);
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  const accounts = await openAccounts(service, 'ACC', 50, { balance: 500, overdraft_limit: 100 });
  const orders = times(4000, (): Order => {
    const [from_account, to_account] = draw.pickTwo(accounts);
    return { from_account, to_account, amount: draw.whole(1, 400) };
  });
  const ordered = new Map<string, Order>();

  await inParallel(CALLERS, orders, async (order) => {
    ordered.set(await postAccepted(service, order), order);
  });
  await awaitNothingPending(database);

  const listed = await listTransfers(service);
  const payments = listed.filter((transfer) => transfer.from_account !== '@external');
  const asStored = payments.map(({ id, from_account, to_account, amount }): [string, Order] => [
    id,
    { from_account, to_account, amount },
  ]);
  assert.equal(asStored.length, orders.length, 'Each order is listed, once.');
  assert.deepEqual(new Map(asStored), ordered, 'Each order is stored as it was sent.');
  const statuses = count(payments.map((transfer) => transfer.status));
  assert.ok((statuses.get('completed') ?? 0) > 100, 'The test needs completed transfers.');
  assert.ok((statuses.get('failed') ?? 0) > 100, 'The test needs failed transfers.');
  assert.deepEqual(await listBalances(service), sumUp(listed, accounts));
  await checkPromises(database, { accepted: [...ordered.keys()], nothingPending: true });
});

test('transfers: an account drained by all callers pays its balance and no more', async (t) => {
  const BALANCE = 100_003;
  const AMOUNT = 97;
  const SENT = 1500;
  const affordable = Math.floor(BALANCE / AMOUNT);
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  await openAccount(service, 'WELL', { balance: BALANCE });
  const takers = await openAccounts(service, 'TAKER', 20);
  const accepted: string[] = [];

  await inParallel(
    CALLERS,
    times(SENT, (index) => takers[index % takers.length] ?? ''),
    async (taker) => {
      accepted.push(await postAccepted(service, { from_account: 'WELL', to_account: taker, amount: AMOUNT }));
    },
  );
  await awaitNothingPending(database);

  const completed = await listTransfers(service, { account: 'WELL', status: 'completed' });
  assert.equal(completed.filter((transfer) => transfer.from_account === 'WELL').length, affordable);
  const failed = await listTransfers(service, { account: 'WELL', status: 'failed' });
  assert.deepEqual(
    count(failed.map((transfer) => transfer.failure_code)),
    new Map([['insufficient_funds', SENT - affordable]]),
  );
  const payments = completed.filter((transfer) => transfer.from_account === 'WELL');
  assert.deepEqual([...payments, ...failed].map(({ id }) => id).sort(), accepted.sort(), 'All are stored once.');
  const balances = await listBalances(service);
  assert.equal(balances.get('WELL'), BALANCE - affordable * AMOUNT);
  const received = takers.reduce((sum, taker) => sum + (balances.get(taker) ?? Number.NaN), 0);
  assert.equal(received, affordable * AMOUNT);
  // That it never went below zero meanwhile is a promise: no running balance may.
  await checkPromises(database, { accepted, nothingPending: true });
});

test('transfers: an account in every transfer, in both directions, loses and gains nothing', async (t) => {
  const draw = drawFor(t);
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  await openAccount(service, 'HOT', { balance: 20_000 });
  const others = await openAccounts(service, 'ACC', 20, { balance: 5000 });
  const orders = times(3000, (): Order => {
    const other = draw.pick(others);
    const [from_account, to_account] = draw.whole(0, 1) === 0 ? ['HOT', other] : [other, 'HOT'];
    return { from_account, to_account, amount: draw.whole(1, 1000) };
  });
  const accepted: string[] = [];

  await inParallel(CALLERS, orders, async (order) => {
    accepted.push(await postAccepted(service, order));
  });
  await awaitNothingPending(database);

  const listed = await listTransfers(service);
  assert.equal(listed.length, accepted.length + others.length + 1, 'Each order is listed, once, and each opening.');
  const balances = await listBalances(service);
  assert.deepEqual(balances, sumUp(listed, ['HOT', ...others]));
  const total = [...balances].reduce((sum, [number, balance]) => (number === '@external' ? sum : sum + balance), 0);
  assert.equal(total, 20_000 + others.length * 5000, 'No money came in or went out.');
  await checkPromises(database, { accepted, nothingPending: true });
});
