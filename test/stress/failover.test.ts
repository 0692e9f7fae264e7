// Goal: a standby that is promoted under load has everything that was answered if replication is synchronous, and the
// audit finds what is missing if it is not. Method: both hosts in DATABASE_URL, kill -9 of the primary in the middle of
// load, and the answers compared with the books of the promoted standby.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Client } from 'pg';
import { checkPromises } from '../support/promises/check.ts';
import { onEnd } from '../support/cleanup.ts';
import { hasPooler, startPooler } from '../support/pooler.ts';
import { Proxy } from '../support/proxy.ts';
import { request, type Service, startService } from '../support/service.ts';
import { hasStandby, type Member, type Replicated, startReplicated } from '../support/standby.ts';
import { until } from '../support/until.ts';
import { attempt, idOf, inParallel, isAccepted, LOAD_ENV, openAccounts, type Order, times } from './callers.ts';
import {
  awaitSettled,
  BACK_MS,
  countTransfers,
  LEFT_MS,
  makeOrders,
  MISSING,
  ms,
  readHead,
  runAudit,
  uses,
} from './failover.ts';
import { startRetryingCallers } from './retrying-callers.ts';

const ORDERS = 3000;
/** Shorter than the defaults, by which a caller waits for 30 s. */
const BOUNDS = {
  DB_CONNECT_TIMEOUT_MS: '1000',
  DB_STATEMENT_TIMEOUT_MS: '3000',
  DB_ANSWER_TIMEOUT_MS: '4000',
  DB_LOCK_TIMEOUT_MS: '1000',
};
/** How long a caller waits at most while a synchronous standby is frozen: an answer, then two attempts to lock. */
const ANSWERED_MS = 6000;
const MARGIN_MS = 9000;
/** How much later than the network a busy machine delivers what a primary has sent. */
const BUSY_MS = 1000;

test('failover: a synchronous standby that is promoted under load has everything that was answered', async (t) => {
  if (!(await hasStandby())) return t.skip(MISSING);
  const servers = await startReplicated(t, { synchronous: true });
  const service = await startService(t, { database: servers, env: { ...LOAD_ENV, THREADS: '4' } });
  await failOver(t, servers, service);
  assert.ok(await uses(service, servers.standby));
  assert.ok(!(await uses(service, servers.primary)));
});

test('failover: the service follows a promotion behind PgBouncer in session mode', async (t) => {
  if (!(await hasStandby()) || !hasPooler()) return t.skip('PostgreSQL or PgBouncer is not installed on this machine.');
  const servers = await startReplicated(t, { synchronous: true });
  const folders: string[] = [];
  for (const { admin } of [servers.primary, servers.standby]) {
    const database = { name: admin.database, settings: { ...admin, user: 'gopherpay_service' } };
    const url = new URL(await startPooler(t, database, ['pool_mode = session', 'server_login_retry = 1']));
    folders.push(url.searchParams.get('host') ?? '');
  }
  const url = `postgres://gopherpay_service@localhost:6432/books?host=${folders.join(',')}&target_session_attrs=read-write`;
  const service = await startService(t, { database: { url }, env: { ...LOAD_ENV, THREADS: '4' } });
  await failOver(t, servers, service);
});

/** Ends the primary under load, promotes the standby, and compares the answers with its books. */
async function failOver(t: TestContext, servers: Replicated, service: Service): Promise<void> {
  const accounts = await openAccounts(service, 'ACC', 10, { balance: 1_000_000 });
  const callers = startRetryingCallers(service, makeOrders(accounts, ORDERS));
  await until(() => callers.accepted() >= 500, { timeoutMs: 30_000, what: 'load' });
  const checkpoint = await readHead(servers.primary);
  const downAt = performance.now();
  await servers.primary.kill();
  await servers.standby.promote();
  const promotedAt = performance.now();
  const before = callers.accepted();
  await until(() => callers.accepted() > before + 40, { timeoutMs: BACK_MS, what: 'transfers after the promotion' });
  t.diagnostic(`back ${ms(promotedAt)} ms after the promotion, ${ms(downAt)} ms after the kill`);
  const { idByOrder } = await callers.finished;
  await awaitSettled(servers.standby);
  await checkPromises(servers.standby, { accepted: [...idByOrder.values()], nothingPending: true });
  assert.equal(new Set(idByOrder.values()).size, ORDERS, 'Each key names one transfer.');
  const audit = await runAudit(t, servers, checkpoint);
  assert.deepEqual(audit.exit, { code: 0, signal: null }, audit.output);
}

test('failover: the audit finds what an asynchronous standby lacks', async (t) => {
  if (!(await hasStandby())) return t.skip(MISSING);
  const { servers, service, accounts } = await start(t, { synchronous: false });
  const orders = makeOrders(accounts, 400);
  await inParallel(20, orders, async (order) => assert.ok(isAccepted(await attempt(service, order))));
  await awaitSettled(servers.primary);
  await until(async () => await hasCaughtUp(servers), { what: 'the standby to catch up' });
  await endReplication(servers);
  const lost: string[] = [];
  await inParallel(20, orders.slice(0, 100), async (order) => {
    const one = await attempt(service, order, { Prefer: 'wait=10' });
    assert.equal(one.answer?.status, 200);
    lost.push(idOf(one.answer));
  });
  const checkpoint = await readHead(servers.primary);
  await servers.primary.kill();
  await servers.standby.promote();
  const works = async () => isAccepted(await attempt(service, orders[0] ?? fail(), { Prefer: 'wait=5' }));
  await until(works, { timeoutMs: BACK_MS, what: 'the service to be back' });
  for (const id of lost) assert.equal((await request(service, 'GET', `/transfers/${id}`)).status, 404);
  const plain = await runAudit(t, servers, null);
  assert.deepEqual(plain.exit, { code: 0, signal: null }, plain.output);
  const audit = await runAudit(t, servers, checkpoint);
  assert.deepEqual(audit.exit, { code: 3, signal: null }, audit.output);
  assert.match(audit.output, /^journal\.expected: journal \d+: hash written down: expected \w+, found no row$/m);
});

test('failover: a transfer that the standby lacks takes effect once if the service and its caller repeat it', async (t) => {
  if (!(await hasStandby())) return t.skip(MISSING);
  const { servers, service, accounts } = await start(t, { synchronous: false });
  const { primary, standby } = servers;
  await until(async () => await hasCaughtUp(servers), { what: 'the standby to catch up' });
  await endReplication(servers);
  // Nothing is settled, so that the service still has what it stores from now on.
  const locks = new Client(primary.admin);
  locks.on('error', () => {});
  onEnd(t, () => locks.end().catch(() => {}));
  await locks.connect();
  await locks.query('begin; select from accounts for update');
  const orders = makeOrders(accounts, 60);
  const keyOf = (index: number): Record<string, string> =>
    index % 3 === 0 ? {} : { 'Idempotency-Key': `lost-${index}` };
  const ids: string[] = [];
  await inParallel(20, orders, async (order, index) => {
    const { answer } = await attempt(service, order, keyOf(index));
    assert.equal(answer?.status, 202);
    ids[index] = idOf(answer);
  });
  await primary.kill();
  await standby.promote();
  // Callers repeat what has a key, while the service finds what it has lost.
  const again = orders
    .entries()
    .filter(([index]) => index % 3 === 1)
    .toArray();
  await inParallel(20, again, async ([index, order]) => {
    const repeat = async () => isAccepted(await attempt(service, order, keyOf(index)));
    await until(repeat, { timeoutMs: BACK_MS, what: 'the repeated request' });
  });
  const isSettled = async () => (await standby.query('select from transfers where amount = 7')).length >= orders.length;
  await until(isSettled, { timeoutMs: BACK_MS, what: 'all to be settled' });
  await awaitSettled(standby);
  const found = await standby.query('select from transfers where amount = 7');
  assert.equal(found.length, orders.length, 'Each takes effect once.');
  const { text } = await request(service, 'GET', '/metrics');
  const counted = (outcome: string) =>
    Number(new RegExp(`^gopherpay_transfers_missing_total{outcome="${outcome}"} (\\d+)$`, 'm').exec(text)?.[1]);
  assert.equal(counted('stored_again') + counted('repeated'), orders.length);
  assert.equal(counted('lost'), 0);
  const unrepeated = ids.filter((_, index) => index % 3 !== 1);
  await checkPromises(standby, { accepted: unrepeated, nothingPending: true });
  const audit = await runAudit(t, servers, null);
  assert.deepEqual(audit.exit, { code: 0, signal: null }, audit.output);
});

for (const delayMs of [5, 50]) {
  test(`failover: an asynchronous standby ${delayMs} ms away lacks the last answers only`, async (t) => {
    if (!(await hasStandby())) return t.skip(MISSING);
    const { servers, service, accounts } = await start(t, { synchronous: false });
    const { primary, standby } = servers;
    const network = await delayReplication(t, servers, delayMs);
    const answers: { id: string; key: string; order: Order; at: number }[] = [];
    const orders = makeOrders(accounts, 50_000);
    let stopped = false;
    const calling = inParallel(20, orders, async (order, index) => {
      if (stopped) return;
      const key = `order-${index}`;
      const wait: Record<string, string> = index % 2 === 0 ? { Prefer: 'wait=5' } : {};
      const one = await attempt(service, order, { 'Idempotency-Key': key, ...wait });
      if (isAccepted(one)) answers.push({ id: idOf(one.answer), key, order, at: performance.now() });
    });
    await until(() => answers.length >= 1000, { timeoutMs: 60_000, what: 'load' });
    await primary.freeze();
    // The machine is lost, with what it has sent and the network has not delivered.
    network.cut();
    stopped = true;
    await primary.kill();
    await calling;
    const isApplied = 'select where pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()';
    await until(async () => (await standby.query(isApplied)).length > 0, { what: 'what has arrived to be applied' });
    // Before the promotion, after which the service stores again what it still has.
    const found = await findAmong(
      standby,
      answers.map(({ id }) => id),
    );
    const missing = answers.filter(({ id }) => !found.has(id));
    // Of the primary that is lost, as the other one is not promoted yet.
    const lastAt = Math.max(...answers.map(({ at }) => at));
    const agesMs = missing.map(({ at }) => Math.round(lastAt - at)).toSorted((one, other) => other - one);
    t.diagnostic(
      `${missing.length} of ${answers.length} answered transfers are missing, ${agesMs[0] ?? 0} ms old at most`,
    );
    assert.ok((agesMs[0] ?? 0) < delayMs + BUSY_MS);
    await standby.promote();
    await inParallel(20, missing, async ({ key, order }) => {
      const isDone = async () => isAccepted(await attempt(service, order, { 'Idempotency-Key': key }));
      await until(isDone, { timeoutMs: BACK_MS, what: 'the repeated request' });
    });
    await until(async () => isAccepted(await attempt(service, orders[0] ?? fail())), {
      timeoutMs: BACK_MS,
      what: 'the service',
    });
    await awaitSettled(standby);
    await checkPromises(standby, { accepted: [...found], nothingPending: true });
  });
}

test('failover: a former primary that still takes writes is left, and is not taken again', async (t) => {
  if (!(await hasStandby())) return t.skip(MISSING);
  const { servers, service, accounts } = await start(t, { synchronous: false });
  const { primary, standby } = servers;
  const [order] = makeOrders(accounts, 1);
  assert.ok(order);
  const post = async (to: { url: string }) => await attempt(to, order, { Prefer: 'wait=5' });
  assert.equal((await post(service)).answer?.status, 200);
  await until(async () => await hasCaughtUp(servers), { what: 'the standby to catch up' });
  // The primary is not fenced off.
  await standby.promote();
  await until(async () => await takesWrites(standby), { what: 'the promotion' });
  const isAtNew = async (): Promise<boolean> => {
    // A new session is what finds the other primary.
    await primary.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'gopherpay'`);
    await request(service, 'GET', '/accounts/ACC0');
    return await uses(service, standby);
  };
  await until(isAtNew, { timeoutMs: LEFT_MS, what: 'the service to leave the former primary' });
  const sessions = async (): Promise<number> =>
    (await primary.query(`select from pg_stat_activity where application_name like 'gopherpay%'`)).length;
  await until(async () => (await sessions()) === 0, { what: 'all sessions to leave the former primary' });
  const before = await countTransfers(primary);
  await until(async () => (await post(service)).answer?.status === 200, { timeoutMs: BACK_MS, what: 'a transfer' });

  await standby.kill();
  await until(async () => (await request(service, 'GET', '/readyz')).status === 503, { what: 'the service to notice' });
  for (const one of await Promise.all(times(5, async () => await post(service)))) assert.equal(one.answer?.status, 503);
  await standby.start();
  await until(async () => (await post(service)).answer?.status === 200, { timeoutMs: BACK_MS, what: 'a transfer' });

  // The first host of its URL is the former primary.
  const second = await startService(t, { database: servers, env: { ...LOAD_ENV, THREADS: '4' } });
  assert.equal((await post(second)).answer?.status, 200);
  assert.ok(await uses(second, standby));
  assert.equal(await countTransfers(primary), before, 'Nothing more was written to the former primary.');
});

test('failover: callers are answered within the bound while a synchronous standby is frozen', async (t) => {
  if (!(await hasStandby())) return t.skip(MISSING);
  const { servers, service, accounts } = await start(t, { synchronous: true }, BOUNDS);
  const orders = makeOrders(accounts, 60);
  const thaw = await servers.standby.freeze();
  const startedAt = performance.now();
  const idByKey = new Map<string, string>();
  const statuses = new Map<number, number>();
  let slowestMs = 0;
  const send = async (order: (typeof orders)[number], index: number): Promise<number> => {
    const sentAt = performance.now();
    const key = `frozen-${index}`;
    const wait: Record<string, string> = index % 2 === 0 ? { Prefer: 'wait=5' } : {};
    const one = await attempt(service, order, { 'Idempotency-Key': key, ...wait });
    slowestMs = Math.max(slowestMs, performance.now() - sentAt);
    assert.ok(one.answer, 'Every caller is answered.');
    const { status } = one.answer;
    if (status === 200 || status === 202) idByKey.set(key, idOf(one.answer));
    return status;
  };
  await inParallel(20, orders, async (order, index) => {
    const status = await send(order, index);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    assert.ok(status === 503, `Nothing is durable, and the answer was ${status}.`);
  });
  assert.ok(slowestMs < ANSWERED_MS + MARGIN_MS, `The slowest answer took ${slowestMs} ms.`);
  t.diagnostic(`the slowest answer took ${Math.round(slowestMs)} ms, ${ms(startedAt)} ms in all`);
  thaw();
  const thawedAt = performance.now();
  await inParallel(20, orders, async (order, index) => {
    await until(async () => [200, 202].includes(await send(order, index)), {
      timeoutMs: BACK_MS,
      what: 'the repeated request to be accepted',
    });
  });
  t.diagnostic(`all accepted ${ms(thawedAt)} ms after the standby went on`);
  await awaitSettled(servers.primary);
  assert.equal(new Set(idByKey.values()).size, orders.length);
  await checkPromises(servers.primary, { accepted: [...idByKey.values()], nothingPending: true });
  const [found] = await servers.primary.query<{ count: number }>(
    `select count(*)::integer as count from transfers where kind = 'transfer' and amount = 7`,
  );
  assert.equal(found?.count, orders.length, 'Each is settled once.');
});

test('failover: a commit whose wait for the standby is canceled is not shown before a standby has it', async (t) => {
  if (!(await hasStandby())) return t.skip(MISSING);
  const { servers, service, accounts } = await start(t, { synchronous: true }, BOUNDS);
  const [order] = makeOrders(accounts, 1);
  assert.ok(order);
  const { primary, standby } = servers;
  const thaw = await standby.freeze();
  const headers = { 'Idempotency-Key': 'canceled', Prefer: 'wait=5' };
  const sent = attempt(service, order, headers);
  const waiters = `select pid, application_name from pg_stat_activity where wait_event = 'SyncRep'`;
  const isWaiting = async (): Promise<boolean> =>
    (await primary.query(`${waiters} and application_name = 'gopherpay thread'`)).length > 0;
  // Before it, the end of another session would take the job from its thread.
  await until(isWaiting, { what: 'the commit of the job to wait for the standby' });
  const isCommitted = async (): Promise<boolean> => {
    await primary.query(`select pg_cancel_backend(pid) from (${waiters}) as waiting`);
    return (await primary.query('select from transfers where amount = 7')).length > 0;
  };
  await until(isCommitted, { what: 'the transfer to be committed on the primary alone' });
  const one = await sent;
  assert.equal(one.answer?.status, 503, 'The standby lacks it.');
  const search = async () => await request(service, 'GET', `/transfers?request_id=${one.requestId}`);
  assert.equal((await search()).status, 503, 'It is not shown either.');
  thaw();
  await until(async () => (await search()).status === 200, { timeoutMs: BACK_MS, what: 'the service to be back' });
  const again = await until(
    async () => {
      const repeated = await attempt(service, order, headers);
      return repeated.answer?.status === 200 && repeated;
    },
    { timeoutMs: BACK_MS, what: 'the repeated request' },
  );
  await until(async () => await hasCaughtUp(servers), { what: 'the standby to catch up' });
  await checkPromises(standby, { accepted: [idOf(again.answer)], nothingPending: true });
  assert.equal((await standby.query('select from transfers where amount = 7')).length, 1);
});

async function start(
  t: TestContext,
  options: { synchronous: boolean },
  env: Readonly<Record<string, string>> = {},
): Promise<{ servers: Replicated; service: Service; accounts: string[] }> {
  const servers = await startReplicated(t, options);
  const service = await startService(t, { database: servers, env: { ...LOAD_ENV, ...env, THREADS: '4' } });
  const accounts = await openAccounts(service, 'ACC', 10, { balance: 1_000_000 });
  return { servers, service, accounts };
}

/** From now on nothing reaches the standby. A frozen receiver would find what its socket has kept for it. */
async function endReplication({ primary, standby }: Replicated): Promise<void> {
  await standby.query(`alter system set primary_conninfo = ''`);
  await standby.query('select pg_reload_conf()');
  const isAlone = async () => (await primary.query('select from pg_stat_replication')).length === 0;
  await until(isAlone, { what: 'the replication to end' });
}

/** Puts a network with a delay in each direction between the primary and its standby. */
async function delayReplication(t: TestContext, { primary, standby }: Replicated, delayMs: number): Promise<Proxy> {
  const network = await Proxy.open(primary.admin);
  onEnd(t, () => network.close());
  network.slow(delayMs);
  const [row] = await standby.query<{ source: string }>(`select current_setting('primary_conninfo') as source`);
  const source = row?.source.replace(`port=${primary.port}`, `port=${network.port}`) ?? '';
  await standby.query(`alter system set primary_conninfo = '${source.replaceAll(`'`, `''`)}'`);
  await standby.query('select pg_reload_conf()');
  await until(() => network.connectionCount > 0, { what: 'the standby to use the network' });
  const isStreaming = async (): Promise<boolean> =>
    (await primary.query(`select from pg_stat_replication where state = 'streaming'`)).length > 0;
  await until(isStreaming, { timeoutMs: 30_000, what: 'the standby to follow' });
  return network;
}

/** Which of the transfers a server has, settled or pending. */
async function findAmong(server: Member, ids: readonly string[]): Promise<Set<string>> {
  const rows = await server.query<{ id: string }>(
    `select id from transfers where id = any($1::uuid[])
     union all
     select id from pending_transfers where id = any($1::uuid[])`,
    [ids],
  );
  return new Set(rows.map(({ id }) => id));
}

async function takesWrites(server: Member): Promise<boolean> {
  return (await server.query('select where not pg_is_in_recovery()')).length > 0;
}

async function hasCaughtUp({ primary }: Replicated): Promise<boolean> {
  const rows = await primary.query('select 1 from pg_stat_replication where replay_lsn = pg_current_wal_lsn()');
  return rows.length > 0;
}

function fail(): never {
  throw new Error('There is no order.');
}
