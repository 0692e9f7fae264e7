// Goal: accepted requests are neither lost nor done twice when a service, or the database's server, is killed. Method:
// kill -9 in the middle of load; then every received answer is compared with the stored rows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { parseServerKind, startServer } from '../support/server.ts';
import { onEnd } from '../support/cleanup.ts';
import { startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import {
  assertWorks,
  attempt,
  awaitNothingPending,
  countPending,
  findByRequestId,
  idOf,
  inParallel,
  isAccepted,
  listBalances,
  listTransfers,
  LOAD_ENV,
  openAccount,
  openAccounts,
  type Order,
  postAccepted,
  sumUp,
  describe,
  times,
} from './callers.ts';
import { drawFor } from '../support/random.ts';
import { startRetryingCallers } from './retrying-callers.ts';
import { freeze, lockAccount } from '../support/trouble.ts';

/** How soon after a crash every accepted transfer is final: 5 s to miss the heartbeat, and the time to settle. */
const RECOVERED_MS = 15_000;

test('crash: transfers accepted before kill -9 settle once after the restart, and so do retries', async (t) => {
  const draw = drawFor(t);
  const database = await createDatabase(t);
  let service = await startService(t, { database, env: LOAD_ENV });
  const accounts = await openAccounts(service, 'ACC', 12, { balance: 50_000_000 });
  const accepted: string[] = [];
  const idByKey = new Map<string, string>();
  const ordered = new Map<string, Order>();

  for (const [round, stalled] of [false, true, false].entries()) {
    const orders = times(6000, (): Order => {
      const [from_account, to_account] = draw.pickTwo(accounts);
      return { from_account, to_account, amount: draw.whole(1, 1000) };
    });
    // In a stalled round nothing on this account can be settled, so that there is surely something pending to be lost.
    const unlock = stalled ? await lockAccount(database, 'ACC0') : null;
    const unanswered: string[] = [];
    const before = accepted.length;
    const doomed = service;
    const load = inParallel(40, orders, async (order, index) => {
      if (doomed.ended()) return;
      const key = `round-${round}-${index}`;
      const one = await attempt(doomed, order, { 'Idempotency-Key': key });
      ordered.set(key, order);
      if (one.answer === null) {
        unanswered.push(key);
        return;
      }
      assert.equal(one.answer.status, 202, one.answer.text);
      accepted.push(idOf(one.answer));
      idByKey.set(key, idOf(one.answer));
    });
    await until(() => accepted.length >= before + 700, { timeoutMs: 30_000, what: 'load' });
    await doomed.kill();
    await load;
    const pending = await countPending(database);
    t.diagnostic(`${accepted.length - before} accepted, ${unanswered.length} unanswered, ${pending} left pending`);
    assert.ok(unanswered.length > 0, 'The kill must have come in the middle of load.');
    if (stalled) assert.ok(pending > 0, 'Some transfers must stay pending.');
    await unlock?.();

    service = await startService(t, { database, env: LOAD_ENV });
    const successor = service;
    await inParallel(20, unanswered, async (key) => {
      const order = ordered.get(key);
      assert.ok(order);
      const headers = { 'Idempotency-Key': key };
      // Twice, and at once: whether the first request is stored or not, both name one transfer.
      const answers = await Promise.all([attempt(successor, order, headers), attempt(successor, order, headers)]);
      for (const one of answers) assert.ok(isAccepted(one), describe(one));
      const ids = new Set(answers.map(({ answer }) => idOf(answer)));
      assert.equal(ids.size, 1);
      for (const id of ids) {
        accepted.push(id);
        idByKey.set(key, id);
      }
    });
  }
  await awaitNothingPending(database, RECOVERED_MS);

  const listed = await listTransfers(service);
  const payments = new Map(listed.map((transfer) => [transfer.id, transfer]));
  for (const [key, order] of ordered) {
    const transfer = payments.get(idByKey.get(key) ?? '');
    assert.deepEqual(
      [transfer?.status, transfer?.from_account, transfer?.to_account, transfer?.amount],
      ['completed', order.from_account, order.to_account, order.amount],
    );
  }
  assert.equal(new Set(idByKey.values()).size, ordered.size, 'Each key has a transfer of its own.');
  assert.equal(listed.length, accounts.length + ordered.size, 'There is one transfer for each key, and no other.');
  assert.deepEqual(await listBalances(service), sumUp(listed, accounts));
  await checkPromises(database, { accepted, nothingPending: true });
});

test('crash: a running service settles transfers that another one accepted before kill -9', async (t) => {
  const database = await createDatabase(t);
  const doomed = await startService(t, { database, env: LOAD_ENV });
  const survivor = await startService(t, { database, env: LOAD_ENV });
  await openAccount(survivor, 'HOT', { balance: 1000 });
  const accounts = await openAccounts(survivor, 'ACC', 10, { balance: 1_000_000 });
  const unlock = await lockAccount(database, 'HOT');
  const orphans: string[] = [];
  const others: string[] = [];

  await inParallel(
    20,
    times(300, (index) => accounts[index % 10] ?? ''),
    async (to_account) => {
      orphans.push(await postAccepted(doomed, { from_account: 'HOT', to_account, amount: 1 }));
    },
  );
  await doomed.kill();
  assert.equal(await countPending(database), 300, 'All of them must be pending when their service dies.');
  await unlock();

  const recovered = new AbortController();
  const keepBusy = async (caller: number): Promise<void> => {
    const order = { from_account: accounts[caller] ?? '', to_account: accounts[(caller + 1) % 10] ?? '', amount: 1 };
    while (!recovered.signal.aborted) others.push(await postAccepted(survivor, order));
  };
  const watch = async (): Promise<void> => {
    try {
      await until(
        async () => {
          const [row] = await database.query<{ count: number }>(
            `select count(*)::integer as count from transfers where id = any($1::uuid[]) and status = 'completed'`,
            [orphans],
          );
          return row?.count === orphans.length;
        },
        { timeoutMs: RECOVERED_MS, what: 'the orphans to be settled' },
      );
    } finally {
      recovered.abort();
    }
  };
  await Promise.all([watch(), ...times(5, keepBusy)]);
  await awaitNothingPending(database);

  const [hot] = await database.query(`select balance, entry_count from accounts where account_number = 'HOT'`);
  assert.deepEqual(hot, { balance: 700n, entry_count: 301n });
  await checkPromises(database, { accepted: [...orphans, ...others], nothingPending: true });
});

test('crash: a service whose queue is always full still adopts the transfers of a dead one', async (t) => {
  const database = await createDatabase(t);
  const doomed = await startService(t, { database, env: LOAD_ENV });
  const survivor = await startService(t, { database, env: { ...LOAD_ENV, MAX_QUEUE: '50' } });
  await openAccount(survivor, 'HOT', { balance: 1000 });
  const accounts = await openAccounts(survivor, 'ACC', 10, { balance: 1_000_000 });
  const unlock = await lockAccount(database, 'HOT');
  const accepted: string[] = [];

  await inParallel(
    20,
    times(300, (index) => accounts[index % 10] ?? ''),
    async (to_account) => {
      accepted.push(await postAccepted(doomed, { from_account: 'HOT', to_account, amount: 1 }));
    },
  );
  await doomed.kill();
  assert.equal(await countPending(database), 300, 'All of them must be pending when their service dies.');
  await unlock();

  const recovered = new AbortController();
  let refused = 0;
  const storm = async (caller: number): Promise<void> => {
    const order = {
      from_account: accounts[caller % 10] ?? '',
      to_account: accounts[(caller + 1) % 10] ?? '',
      amount: 1,
    };
    while (!recovered.signal.aborted) {
      const one = await attempt(survivor, order);
      if (isAccepted(one)) accepted.push(idOf(one.answer));
      else refused += 1;
    }
  };
  const watch = async (): Promise<void> => {
    try {
      await until(
        async () => {
          const [row] = await database.query<{ balance: bigint }>(
            `select balance from accounts where account_number = 'HOT'`,
          );
          return row?.balance === 700n;
        },
        { timeoutMs: RECOVERED_MS, what: 'the orphans to be settled' },
      );
    } finally {
      recovered.abort();
    }
  };
  await Promise.all([watch(), ...times(150, storm)]);
  assert.ok(refused > 0, 'The queue must have been full.');
  await awaitNothingPending(database);
  await checkPromises(database, { accepted, nothingPending: true });
});

test('crash: a service that was suspended and presumed dead does nothing twice when it resumes', async (t) => {
  const database = await createDatabase(t);
  const env = { ...LOAD_ENV, HEARTBEAT_MS: '100', ORPHANED_AFTER_MS: '500', DB_LOCK_TIMEOUT_MS: '200' };
  const sleeper = await startService(t, { database, env });
  const other = await startService(t, { database, env });
  await openAccount(other, 'HOT', { balance: 1000 });
  const accounts = await openAccounts(other, 'ACC', 10);
  const unlock = await lockAccount(database, 'HOT');
  const accepted: string[] = [];
  const send = async (to_account: string): Promise<void> => {
    accepted.push(await postAccepted(sleeper, { from_account: 'HOT', to_account, amount: 1 }));
  };

  const targets = times(300, (index) => accounts[index % 10] ?? '');
  await inParallel(20, targets, send);
  const [first] = await database.query('select lease_id from pending_transfers limit 1');
  const thaw = freeze(t, sleeper);
  await until(
    async () => {
      const remaining = await database.query('select from pending_transfers where lease_id = $1::uuid', [
        first?.['lease_id'],
      ]);
      return remaining.length === 0;
    },
    { timeoutMs: 30_000, what: 'the other service to adopt' },
  );
  // Now both services have the same transfers, and wait for the same lock.
  const countRetries = (): number => sleeper.logs().filter((line) => line['sqlstate'] === '55P03').length;
  const before = countRetries();
  thaw();
  await until(() => countRetries() > before, { timeoutMs: 20_000, what: 'the suspended service to continue' });
  await unlock();
  // The other process closed its lease; transfers that it accepts from now on must still settle.
  await inParallel(20, targets, send);
  await awaitNothingPending(database);

  const [hot] = await database.query(`select balance, entry_count from accounts where account_number = 'HOT'`);
  assert.deepEqual(hot, { balance: 400n, entry_count: 601n });
  await checkPromises(database, { accepted, nothingPending: true });
});

test('crash: the service recovers after the database server dies under load', async (t) => {
  const image = process.env['TEST_POSTGRES_IMAGE'] ?? 'postgres:18';
  const server = await startServer(parseServerKind(process.env['TEST_DATABASE']), image);
  onEnd(t, () => server.stop());
  const database = await createDatabase(t, server);
  const service = await startService(t, { database, env: LOAD_ENV });
  const accounts = await openAccounts(service, 'ACC', 10, { balance: 1_000_000 });
  const callers = startRetryingCallers(
    service,
    times(3000, (index) => orderBetween(accounts, index)),
  );

  for (let crashes = 1; crashes <= 3; crashes += 1) {
    const goal = callers.accepted() + 300;
    await until(() => callers.accepted() >= goal, { timeoutMs: 30_000, what: 'load' });
    await server.crash();
  }
  const { attempts, idByOrder } = await callers.finished;
  await awaitNothingPending(database, 30_000);

  assert.equal(new Set(idByOrder.values()).size, 3000, 'Each key has a transfer of its own.');
  const listed = await listTransfers(service);
  assert.equal(listed.length, accounts.length + 3000, 'There is one transfer for each key, and no other.');
  assert.deepEqual(await listBalances(service), sumUp(listed, accounts));
  const refused = attempts.filter(({ answer }) => answer?.body.code === 'database_unavailable');
  const stored = await findByRequestId(
    database,
    refused.map(({ requestId }) => requestId),
  );
  assert.deepEqual(stored, new Map(), 'Nothing is stored after an answer that denies it.');
  await assertWorks(service, orderBetween(accounts, 0));
  await checkPromises(database, { accepted: [...idByOrder.values()], nothingPending: true });
});

function orderBetween(accounts: readonly string[], index: number): Order {
  const from_account = accounts[index % accounts.length] ?? '';
  const to_account = accounts[(index + 1) % accounts.length] ?? '';
  return { from_account, to_account, amount: 1 };
}
