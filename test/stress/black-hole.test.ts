// Goal: with an unreachable database, callers get a correct answer in bounded time. Method: the network to the database
// drops every byte in the middle of load, or is cut; every kind of request is timed; then the network heals.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { startProxy } from '../support/proxy.ts';
import { request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import {
  assertWorks,
  awaitNothingPending,
  findByRequestId,
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
import { startRetryingCallers } from './retrying-callers.ts';

const CONNECT_MS = 1000;
const ANSWER_MS = 2000;
const SILENCE_MS = 1000;
/** Short bounds, so that the test need not wait long for what it times. */
const BOUNDS = {
  DB_CONNECT_TIMEOUT_MS: String(CONNECT_MS),
  DB_STATEMENT_TIMEOUT_MS: '1500',
  DB_LOCK_TIMEOUT_MS: '1000',
  DB_IDLE_IN_TRANSACTION_TIMEOUT_MS: '1000',
  DB_ANSWER_TIMEOUT_MS: String(ANSWER_MS),
  HEARTBEAT_MS: '100',
  ORPHANED_AFTER_MS: String(SILENCE_MS),
};
/** No answer, then three attempts to connect again, and what a busy machine takes. */
const IN_FLIGHT_MS_MAX = ANSWER_MS + 3 * CONNECT_MS + 1500;
/** An idle connection is probed every 2.5 s: once after its last answer, and then it is closed. */
const NOTICE_MS = 3 * 2500 + 500;
/** A heartbeat that is missed, 2.5 s in which every connection is probed, and what a busy machine takes. */
const SHORT_SILENCE_MS_MAX = SILENCE_MS + 2500 + 5000;
/** Once the service knows: at once, on a busy machine. */
const KNOWN_MS_MAX = 1000;

type Call = readonly [
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
];

/** One request of every kind that needs the database. */
function calls(id: string): Call[] {
  const order = { from_account: 'ACC0', to_account: 'ACC1', amount: 1 };
  return [
    ['POST', '/transfers', order],
    ['POST', '/transfers', order, { Prefer: 'wait=1' }],
    ['POST', '/transfers', order, { 'Idempotency-Key': 'order-0' }],
    ['POST', '/transfers', { transfers: [order, order] }],
    ['POST', '/transfers?dry_run=true', order],
    ['POST', `/transfers/${id}/reversals`, {}],
    ['POST', '/holds', order],
    ['POST', `/holds/${id}/capture`],
    ['POST', `/holds/${id}/void`],
    ['POST', '/accounts', { account_number: 'NEW1', name: 'New' }],
    ['POST', '/accounts', { account_number: 'NEW2', name: 'New', balance: 5 }],
    ['PATCH', '/accounts/ACC2', { name: 'Another' }],
    ['DELETE', '/accounts/ACC3'],
    ['GET', '/accounts'],
    ['GET', '/accounts/ACC0'],
    ['GET', '/accounts/ACC0/entries'],
    ['GET', '/accounts/ACC0/balance?at=2026-01-01T00:00:00Z'],
    ['GET', `/accounts/ACC0/statements/${new Date().toISOString().slice(0, 7)}`],
    ['GET', '/transfers'],
    ['GET', `/transfers/${id}`],
    ['GET', `/holds/${id}`],
    ['GET', '/balances'],
    ['GET', '/events'],
    ['GET', '/events', undefined, { Accept: 'text/event-stream' }],
  ];
}

/** Sends one request of every kind at once; each must be answered with 503 and Retry-After within `msMax`. */
async function assertUnavailable(t: TestContext, service: Service, id: string, msMax: number): Promise<void> {
  const slowest = await Promise.all(
    calls(id).map(async ([method, path, body, headers]) => {
      const startedAt = performance.now();
      const answer = await request(service, method, path, body, headers);
      const tookMs = performance.now() - startedAt;
      const reported = `${method} ${path} was answered after ${Math.round(tookMs)} ms with ${answer.status} ${answer.text}`;
      assert.equal(answer.status, 503, reported);
      assert.match(String(answer.body['code']), /^(database_unavailable|outcome_unknown)$/, reported);
      assert.match(String(answer.headers['retry-after']), /^[1-9]\d*$/, reported);
      assert.ok(tookMs <= msMax, reported);
      return tookMs;
    }),
  );
  t.diagnostic(`the slowest of ${slowest.length} requests was answered after ${Math.round(Math.max(...slowest))} ms`);
}

/** Requests without the database are answered as usual. */
async function assertAlive(service: Service): Promise<void> {
  for (const path of ['/healthz', '/metrics', '/openapi.json']) {
    assert.equal((await request(service, 'GET', path)).status, 200, path);
  }
}

async function awaitReadiness(service: Service, status: 200 | 503, timeoutMs: number): Promise<number> {
  const startedAt = performance.now();
  await until(async () => (await request(service, 'GET', '/readyz')).status === status, {
    timeoutMs,
    what: `/readyz to answer ${status}`,
  });
  return Math.round(performance.now() - startedAt);
}

/** Sends orders until a goal is reached in the middle of them; every accepted one must settle once. */
async function startLoad(t: TestContext, service: Service) {
  const draw = drawFor(t);
  const accounts = await openAccounts(service, 'ACC', 10, { balance: 100_000 });
  const orders = times(3000, (): Order => {
    const [from_account, to_account] = draw.pickTwo(accounts);
    return { from_account, to_account, amount: draw.whole(1, 100) };
  });
  const callers = startRetryingCallers(service, orders);
  await until(() => callers.ended() || callers.accepted() >= 500, { timeoutMs: 30_000, what: 'load' });
  assert.ok(!callers.ended(), 'The load must last until the network fails.');
  const finish = async (database: TestDatabase): Promise<void> => {
    const { attempts, idByOrder } = await callers.finished;
    await awaitNothingPending(database);
    const listed = await listTransfers(service);
    const final = new Set(listed.filter(({ status }) => status !== 'pending').map((transfer) => transfer.id));
    assert.equal(new Set(idByOrder.values()).size, orders.length, 'Each key has a transfer of its own.');
    assert.deepEqual(
      [...idByOrder.values()].filter((id) => !final.has(id)),
      [],
    );
    const numbers = new Set(listed.map((transfer) => transfer.to_account));
    assert.deepEqual(await listBalances(service), sumUp(listed, [...new Set([...accounts, ...numbers])]));
    const refused = attempts.filter(({ answer }) => answer?.body.code === 'database_unavailable');
    const stored = await findByRequestId(
      database,
      refused.map(({ requestId }) => requestId),
    );
    assert.deepEqual(stored, new Map(), 'Nothing is stored after an answer that denies it.');
    await assertWorks(service, { from_account: 'ACC0', to_account: 'ACC1', amount: 1 });
    await checkPromises(database, { accepted: [...idByOrder.values()], nothingPending: true });
  };
  return { finish };
}

test('black hole: a network that drops every byte costs a bounded wait, and the service recovers by itself', async (t) => {
  const database = await createDatabase(t);
  const proxy = await startProxy(t, database);
  const service = await startService(t, { database: proxy, env: { ...LOAD_ENV, ...BOUNDS } });
  await openAccounts(service, 'EARLY', 2, { balance: 10 });
  const id = await postAccepted(service, { from_account: 'EARLY0', to_account: 'EARLY1', amount: 1 });
  const load = await startLoad(t, service);

  proxy.swallow();
  await Promise.all([
    assertUnavailable(t, service, id, IN_FLIGHT_MS_MAX),
    awaitReadiness(service, 503, SILENCE_MS + 1000).then((ms) => t.diagnostic(`not ready after ${ms} ms`)),
    assertAlive(service),
  ]);
  assert.equal((await request(service, 'GET', '/readyz')).status, 503);
  await assertUnavailable(t, service, id, KNOWN_MS_MAX);
  await assertAlive(service);
  // The server is not notified: it must detect the loss by itself, and release the locks of the transactions.
  await until(
    async () => {
      const open = await database.query(
        `select from pg_stat_activity
         where datname = current_database() and application_name like 'gopherpay%' and xact_start is not null`,
      );
      return open.length === 0;
    },
    { timeoutMs: 5000, what: 'the server to end the transactions of the silent service' },
  );
  await proxy.heal();
  t.diagnostic(`ready ${await awaitReadiness(service, 200, 5000)} ms after the wire healed`);
  await load.finish(database);
});

test('black hole: without a network, every request is refused at once, and the service recovers by itself', async (t) => {
  const database = await createDatabase(t);
  const proxy = await startProxy(t, database);
  const service = await startService(t, { database: proxy, env: LOAD_ENV });
  await openAccounts(service, 'EARLY', 2, { balance: 10 });
  const id = await postAccepted(service, { from_account: 'EARLY0', to_account: 'EARLY1', amount: 1 });
  const load = await startLoad(t, service);

  await proxy.refuse();
  await assertUnavailable(t, service, id, KNOWN_MS_MAX);
  await awaitReadiness(service, 503, 2000);
  await assertUnavailable(t, service, id, KNOWN_MS_MAX);
  await assertAlive(service);
  await proxy.heal();
  t.diagnostic(`ready ${await awaitReadiness(service, 200, 5000)} ms after the wire healed`);
  await load.finish(database);
});

test('black hole: a connection idle during the failure delays no caller after the recovery', async (t) => {
  const database = await createDatabase(t);
  const proxy = await startProxy(t, database);
  const service = await startService(t, { database: proxy, env: { ...LOAD_ENV, ...BOUNDS, THREADS: '4' } });
  await openAccounts(service, 'ACC', 2, { balance: 10 });
  // An order that is only tried out has a thread to itself.
  const order = { from_account: 'ACC0', to_account: 'ACC1', amount: 1 };
  const tryOut = async (): Promise<void> => {
    const startedAt = performance.now();
    await Promise.all(
      times(8, async () => {
        const answer = await request(service, 'POST', '/transfers?dry_run=true', order);
        assert.equal(answer.status, 200, answer.text);
      }),
    );
    const tookMs = Math.round(performance.now() - startedAt);
    t.diagnostic(`tried out in ${tookMs} ms`);
    assert.ok(tookMs < KNOWN_MS_MAX, `It took ${tookMs} ms.`);
  };
  await tryOut();

  const end = performance.now() + NOTICE_MS;
  proxy.swallow();
  await awaitReadiness(service, 503, SILENCE_MS + 1000);
  await proxy.heal();
  await awaitReadiness(service, 200, IN_FLIGHT_MS_MAX);
  await until(() => performance.now() > end, { what: 'the probe of idle connections' });
  await tryOut();
  await postAccepted(service, order);
  await awaitNothingPending(database);
  await checkPromises(database, { nothingPending: true });
});

test('black hole: after a short silence no caller waits for the whole bound on answers', async (t) => {
  const database = await createDatabase(t);
  const proxy = await startProxy(t, database);
  // The bound on answers is the default, 20 s. Reads, intake and settling go through other connections than the heartbeat.
  const env = { ...LOAD_ENV, ...BOUNDS, DB_ANSWER_TIMEOUT_MS: '', DB_STATEMENT_TIMEOUT_MS: '' };
  const service = await startService(t, { database: proxy, env });
  const load = await startLoad(t, service);
  proxy.swallow();
  const startedAt = performance.now();
  const reads = times(10, async () => await request(service, 'GET', '/accounts/ACC0'));
  await awaitReadiness(service, 503, SILENCE_MS + 1000);
  await proxy.heal();
  const statuses = (await Promise.all(reads)).map(({ status }) => status);
  assert.ok(
    statuses.every((status) => status === 200 || status === 503),
    statuses.join(),
  );
  await awaitReadiness(service, 200, SHORT_SILENCE_MS_MAX);
  await awaitNothingPending(database);
  const tookMs = Math.round(performance.now() - startedAt);
  t.diagnostic(`the reads were answered, and all was settled, ${tookMs} ms after the silence began`);
  assert.ok(tookMs < SHORT_SILENCE_MS_MAX, `It took ${tookMs} ms.`);
  await load.finish(database);
});

test('black hole: a service whose network drops every byte still ends on SIGTERM', async (t) => {
  const database = await createDatabase(t);
  const proxy = await startProxy(t, database);
  const env = { ...LOAD_ENV, ...BOUNDS, DRAIN_TIMEOUT_MS: '500' };
  const service = await startService(t, { database: proxy, env });
  await openAccounts(service, 'EARLY', 2, { balance: 10 });
  proxy.swallow();
  const startedAt = performance.now();
  assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
  t.diagnostic(`ended after ${Math.round(performance.now() - startedAt)} ms`);
  await checkPromises(database, {});
});

test('black hole: an idle connection outlives the bound on answers', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { ...LOAD_ENV, ...BOUNDS, HEARTBEAT_MS: '300' } });
  const intakes = async () =>
    await database.query(`select pid from pg_stat_activity
      where datname = current_database() and application_name = 'gopherpay intake'`);
  const before = await intakes();
  assert.equal(before.length, 1);
  const end = performance.now() + 2 * ANSWER_MS;
  await until(() => performance.now() > end, { what: 'twice the bound to pass' });
  assert.deepEqual(await intakes(), before);
  const warnings = service.logs().filter(({ msg }) => !String(msg).startsWith('no keys: '));
  assert.deepEqual(warnings, []);
});
