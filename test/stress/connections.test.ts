// Goal: a connection that breaks or a thread that dies costs a little delay at most. Method: under load, the database
// ends the service's connections of one kind, and threads are killed; each time only after the service has continued.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { startProxy } from '../support/proxy.ts';
import { awaitFinal, request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import {
  assertWorks,
  attempt,
  awaitNothingPending,
  count,
  countPending,
  findByRequestId,
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
import { breakConnections, killThread, KILLABLE_THREADS_ENV, lockAccount } from '../support/trouble.ts';

const ORDERS = 3000;
/** The minimum accepted between two strikes: the service continues by itself. */
const PROGRESS = 200;

/** The last strike may have just happened: the service must recover by itself before it is read. */
async function awaitReady(service: Service): Promise<void> {
  await until(async () => (await request(service, 'GET', '/readyz')).status === 200, {
    what: 'the service to be ready',
  });
}

/** Sends orders while `strike` is repeated, and then checks all answers and stored rows. */
async function underStrikes(
  t: TestContext,
  { database, service, strike }: { database: TestDatabase; service: Service; strike: () => Promise<unknown> },
): Promise<void> {
  const draw = drawFor(t);
  const accounts = await openAccounts(service, 'ACC', 10, { balance: 100_000 });
  const orders = times(ORDERS, (): Order => {
    const [from_account, to_account] = draw.pickTwo(accounts);
    return { from_account, to_account, amount: draw.whole(1, 100) };
  });
  const callers = startRetryingCallers(service, orders);
  let strikes = 0;
  while (!callers.ended()) {
    const goal = callers.accepted() + PROGRESS;
    await until(() => callers.ended() || callers.accepted() >= goal, {
      timeoutMs: 30_000,
      what: 'the service to continue',
    });
    if (callers.ended()) break;
    await strike();
    strikes += 1;
  }
  const { attempts, idByOrder } = await callers.finished;
  await awaitNothingPending(database);

  const statuses = count(attempts.map(({ answer }) => answer?.body.code ?? answer?.status));
  t.diagnostic(`${strikes} strikes: ${[...statuses].map(([status, times]) => `${status} ${times} times`).join(', ')}`);
  assert.ok(strikes >= 5, 'The test needs strikes.');
  const listed = await listTransfers(service);
  const payments = new Map(listed.map((transfer) => [transfer.id, transfer]));
  for (const [index, order] of orders.entries()) {
    const transfer = payments.get(idByOrder.get(index) ?? '');
    assert.deepEqual(
      [transfer?.status, transfer?.from_account, transfer?.to_account, transfer?.amount],
      ['completed', order.from_account, order.to_account, order.amount],
    );
  }
  assert.equal(listed.length, accounts.length + ORDERS, 'There is one transfer for each order, and no other.');
  await awaitReady(service);
  assert.deepEqual(await listBalances(service), sumUp(listed, accounts));
  const refused = attempts.filter(({ answer }) => answer?.body.code === 'database_unavailable');
  const stored = await findByRequestId(
    database,
    refused.map(({ requestId }) => requestId),
  );
  assert.deepEqual(stored, new Map(), 'Nothing is stored after an answer that denies it.');
  await assertWorks(service, { from_account: 'ACC0', to_account: 'ACC1', amount: 1 });
  await checkPromises(database, { accepted: [...idByOrder.values()], nothingPending: true });
}

for (const name of ['gopherpay thread', 'gopherpay intake', 'gopherpay'] as const) {
  test(`connections: nothing is lost or doubled while "${name}" connections break repeatedly under load`, async (t) => {
    const database = await createDatabase(t);
    // Heartbeats that come often, because under this load they alone use the connections of the pool.
    const env = { ...LOAD_ENV, HEARTBEAT_MS: '50', ORPHANED_AFTER_MS: '1000' };
    const service = await startService(t, { database, env });
    await underStrikes(t, { database, service, strike: () => breakConnections(database, name) });
  });
}

test('connections: nothing is lost or doubled while threads die repeatedly under load', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { ...LOAD_ENV, ...KILLABLE_THREADS_ENV } });
  await underStrikes(t, { database, service, strike: () => killThread(service) });
});

test('connections: when every thread dies in the middle of its job, others settle the jobs', async (t) => {
  // Of more, one would be left to another ledger.
  const THREADS = 2;
  const database = await createDatabase(t);
  const service = await startService(t, {
    database,
    env: { ...LOAD_ENV, ...KILLABLE_THREADS_ENV, THREADS: String(THREADS) },
  });
  await openAccount(service, 'HOT', { balance: 1000 });
  await openAccount(service, 'ANN');
  const order = { from_account: 'HOT', to_account: 'ANN', amount: 1 };
  const unlock = await lockAccount(database, 'HOT');
  const accepted: string[] = [];
  // What waits for the lock is a job in a thread. Each new transfer is one more, until all threads wait.
  await until(
    async () => {
      accepted.push(await postAccepted(service, order));
      return (await countWaiting(database)) === THREADS;
    },
    { what: 'a job in every thread' },
  );
  for (let killed = 0; killed < THREADS; killed += 1) await killThread(service);
  await unlock();
  await awaitNothingPending(database);

  const [account] = await database.query(`select balance from accounts where account_number = 'ANN'`);
  assert.equal(account?.['balance'], BigInt(accepted.length));
  await assertWorks(service, order);
  await checkPromises(database, { accepted, nothingPending: true });
});

test('connections: accounts are read, and opened once, while their connections break', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  await openAccount(service, 'ANN', { balance: 1000 });
  let opened = 0;
  const work = new AbortController();
  const statuses: string[] = [];

  const open = async (number: string): Promise<void> => {
    let mayBeThere = false;
    for (;;) {
      const read = await request(service, 'GET', '/accounts/ANN');
      statuses.push(`GET ${read.status}`);
      if (read.status === 200) assert.equal(read.body['balance'], 1000);
      const account = { account_number: number, name: number, balance: 10 };
      const answer = await request(service, 'POST', '/accounts', account);
      statuses.push(`POST ${answer.status}`);
      if (answer.status === 201) break;
      if (answer.status === 409) {
        assert.ok(mayBeThere, 'The account is stored, although no answer allowed that.');
        break;
      }
      mayBeThere ||= answer.body['code'] === 'outcome_unknown';
    }
    opened += 1;
  };
  const strike = async (): Promise<void> => {
    while (!work.signal.aborted) {
      const goal = opened + 25;
      await until(() => work.signal.aborted || opened >= goal, { timeoutMs: 30_000, what: 'accounts to be opened' });
      if (!work.signal.aborted) await breakConnections(database, 'gopherpay');
    }
  };
  const numbers = times(300, (index) => `ACC${index}`);
  await Promise.all([inParallel(20, numbers, open).finally(() => work.abort()), strike()]);
  await awaitNothingPending(database);

  t.diagnostic([...count(statuses)].map(([status, times]) => `${status}: ${times}`).join(', '));
  assert.deepEqual(
    [...new Set(statuses)].filter((status) => !/^GET (200|503)$|^POST (201|409|503)$/.test(status)),
    [],
  );
  await awaitReady(service);
  const balances = await listBalances(service);
  assert.deepEqual(
    numbers.map((number) => balances.get(number)),
    numbers.map(() => 10),
  );
  assert.equal(balances.get('@external'), -1000 - 300 * 10);
  await checkPromises(database, { nothingPending: true });
});

test('connections: an answer never says that nothing was stored when something was', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  await openAccount(service, 'ANN', { balance: 1000 });
  await openAccount(service, 'BOB');
  const order = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
  const account = { account_number: 'EVE', name: 'Eve', balance: 10 };
  const unlockAnn = await lockAccount(database, 'ANN');
  const unlockOutside = await lockAccount(database, '@external');

  // Both are in a job that waits for a lock. Then the database lets no session in.
  const ordering = attempt(service, order, { Prefer: 'wait=1' });
  const opening = request(service, 'POST', '/accounts', account);
  await until(async () => (await countWaiting(database)) >= 1, { what: 'a job to wait for a lock' });
  await database.query(`alter database ${database.name} connection limit 0`);
  await breakConnections(database, 'gopherpay');
  const ordered = await ordering;
  await unlockOutside();
  await unlockAnn();
  const opened = await opening;
  await database.query(`alter database ${database.name} connection limit -1`);
  await awaitNothingPending(database);

  await awaitReady(service);
  const balances = await listBalances(service);
  const orderedCode = ordered.answer?.body.code;
  assert.ok(
    isAccepted(ordered) || /^(outcome_unknown|database_unavailable)$/.test(String(orderedCode)),
    describe(ordered),
  );
  if (isAccepted(ordered)) assert.deepEqual([balances.get('ANN'), balances.get('BOB')], [999, 1]);
  if (orderedCode === 'database_unavailable') assert.deepEqual([balances.get('ANN'), balances.get('BOB')], [1000, 0]);
  assert.ok(
    opened.status === 201 || /^(outcome_unknown|database_unavailable)$/.test(String(opened.body['code'])),
    opened.text,
  );
  if (opened.status === 201) assert.equal(balances.get('EVE'), 10);
  if (opened.body['code'] === 'database_unavailable') assert.equal(balances.get('EVE'), undefined);
  await checkPromises(database, { nothingPending: true });
});

test('connections: accepted transfers stay pending while the database refuses connections', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  await openAccount(service, 'ANN', { balance: 1000 });
  await openAccount(service, 'BOB');
  const unlock = await lockAccount(database, 'ANN');
  const id = await postAccepted(service, { from_account: 'ANN', to_account: 'BOB', amount: 1 });
  await database.query(`revoke connect on database ${database.name} from public, ${database.settings.user}`);
  for (const name of ['gopherpay thread', 'gopherpay intake', 'gopherpay'] as const) {
    await breakConnections(database, name);
  }
  await unlock();
  // A permanently abandoned job would not reach a third attempt.
  await until(() => service.logs().filter((line) => line['sqlstate'] === '42501' && 'transfers' in line).length >= 3, {
    timeoutMs: 30_000,
    what: 'the job to have been tried three times',
  });
  assert.equal(await countPending(database), 1);
  await database.query(`grant connect on database ${database.name} to ${database.settings.user}`);

  const transfer = await awaitFinal(service, id, 30_000);
  assert.deepEqual([transfer['status'], transfer['failure_code']], ['completed', null]);
  await assertWorks(service, { from_account: 'ANN', to_account: 'BOB', amount: 1 });
  await checkPromises(database, { accepted: [id], nothingPending: true });
});

test('connections: a connection reset by the database is answered with 503, not logged as a disconnect of the caller', async (t) => {
  const database = await createDatabase(t);
  const proxy = await startProxy(t, database);
  const service = await startService(t, { database: proxy, env: LOAD_ENV });
  await openAccount(service, 'ANN', { balance: 1000 });
  const locker = await database.connect();
  await locker.query('begin');
  await locker.query('lock table accounts in access exclusive mode');
  const reading = request(service, 'GET', '/accounts/ANN');
  await until(
    async () =>
      (
        await database.query(
          "select from pg_stat_activity where application_name = 'gopherpay' and wait_event_type = 'Lock'",
        )
      ).length > 0,
    { what: 'the read to wait for the lock' },
  );
  proxy.cut();
  const answer = await reading;
  assert.deepEqual([answer.status, answer.body['code']], [503, 'database_unavailable'], answer.text);
  await locker.query('rollback');
  const again = await request(service, 'GET', '/accounts/ANN');
  assert.equal(again.body['balance'], 1000);
});

/** How many jobs wait for a lock. */
async function countWaiting(database: TestDatabase): Promise<number> {
  const [row] = await database.query<{ count: number }>(
    `select count(*)::integer as count
     from pg_stat_activity
     where datname = current_database() and application_name = 'gopherpay thread' and wait_event_type = 'Lock'`,
  );
  return row?.count ?? 0;
}
