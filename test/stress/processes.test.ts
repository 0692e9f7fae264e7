// Goal: two services share a database and need no other agreement. Method: load through both, on accounts that both use.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { startService } from '../support/service.ts';
import {
  awaitNothingPending,
  inParallel,
  listBalances,
  listTransfers,
  LOAD_ENV,
  openAccounts,
  type Order,
  postAccepted,
  sumUp,
  times,
} from './callers.ts';
import { drawFor } from '../support/random.ts';

test('processes: two services on one database settle each transfer once', async (t) => {
  const draw = drawFor(t);
  const database = await createDatabase(t);
  const [first, second] = [
    await startService(t, { database, env: LOAD_ENV }),
    await startService(t, { database, env: LOAD_ENV }),
  ];
  const accounts = await openAccounts(first, 'ACC', 10, { balance: 2000 });
  const hot = await openAccounts(second, 'HOT', 2, { balance: 10_000 });
  // Half of them between the hot accounts and any other, half between the two hot ones in opposite directions.
  const orders = times(3000, (index): Order => {
    const [from_account, to_account] =
      index % 2 === 0 ? draw.pickTwo(hot) : draw.pickTwo([draw.pick(hot), draw.pick(accounts)]);
    return { from_account, to_account, amount: draw.whole(1, 1500) };
  });
  const ordered = new Map<string, Order>();

  await inParallel(64, orders, async (order, index) => {
    ordered.set(await postAccepted(index % 4 < 2 ? first : second, order), order);
  });
  await awaitNothingPending(database);

  const listed = await listTransfers(first);
  const payments = listed.filter((transfer) => transfer.from_account !== '@external');
  assert.equal(payments.length, orders.length, 'Each order is listed, once.');
  for (const { id, from_account, to_account, amount } of payments) {
    assert.deepEqual({ from_account, to_account, amount }, ordered.get(id));
  }
  const balances = sumUp(listed, [...accounts, ...hot]);
  assert.deepEqual(await listBalances(first), balances);
  assert.deepEqual(await listBalances(second), balances);
  await checkPromises(database, { accepted: [...ordered.keys()], nothingPending: true });
});
