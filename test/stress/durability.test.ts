// Goal: every answered state survives a crash of the database server. Method: a server of the test's own, which flushes
// nothing by itself, so that an asynchronous commit would be lost, and crashes.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { parseServerKind, startServer, type TestServer, withAdmin } from '../support/server.ts';
import { request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { countPending, listTransfers, openAccounts, post } from './callers.ts';
import { lockAccount } from '../support/trouble.ts';

const ORDER = { from_account: 'ACC0', to_account: 'ACC1', amount: 7 };
const GROUP = { transfers: [ORDER, ORDER], atomic: true };
/** Every synchronous commit flushes the earlier ones, a heartbeat too. */
const NO_HEARTBEAT = { HEARTBEAT_MS: '60000', ORPHANED_AFTER_MS: '180000' };

type Scene = { server: TestServer; database: TestDatabase; service: Service; unlock: () => Promise<void> };

/** A service whose orders are stored and delayed by a lock, on a server that flushes nothing unless it must. */
async function setTheScene(t: TestContext): Promise<Scene> {
  const image = process.env['TEST_POSTGRES_IMAGE'] ?? 'postgres:18';
  const server = await startServer(parseServerKind(process.env['TEST_DATABASE']), image);
  onEnd(t, () => server.stop());
  await withAdmin(server.admin, async (client) => {
    await client.query("alter system set wal_writer_delay = '10s'");
    await client.query('alter system set autovacuum = off');
    await client.query('select pg_reload_conf()');
  });
  const database = await createDatabase(t, server);
  const service = await startService(t, { database, env: NO_HEARTBEAT });
  await openAccounts(service, 'ACC', 2, { balance: 100 });
  return { server, database, service, unlock: await lockAccount(database, 'ACC0') };
}

/** Waits until the service works again after a crash, and nothing is in flight. */
async function awaitCalm({ database, service }: Scene): Promise<void> {
  await until(async () => (await request(service, 'GET', '/accounts/ACC0')).status === 200, {
    what: 'the service to answer',
  });
  // The test's own connections have died with the server.
  await until(async () => (await countPending(database).catch(() => -1)) === 0, { what: 'every transfer to be final' });
}

test('durability: answered transfers of waiting callers survive a crash of the database', async (t) => {
  const scene = await setTheScene(t);
  const { server, database, service } = scene;
  const waiting = Promise.all([
    request(service, 'POST', '/transfers', ORDER, { Prefer: 'wait=20' }),
    request(service, 'POST', '/transfers', GROUP, { Prefer: 'wait=20' }),
  ]);
  await until(
    async () => (await database.query(`select from pg_stat_activity where wait_event_type = 'Lock'`)).length > 0,
    { what: 'a job to wait for the lock' },
  );
  assert.equal(await countPending(database), 0, 'Nothing is stored while the callers wait.');
  await server.crash();
  const answers = await waiting;
  await awaitCalm(scene);
  const settled = (await listTransfers(service)).filter(({ amount }) => amount === ORDER.amount);
  const answered = answers.flatMap(({ status, body, text }) => {
    if (status !== 200) assert.match(String(body['code']), /^(outcome_unknown|database_unavailable)$/, text);
    if (status !== 200) return [];
    const members: unknown = body['transfers'] ?? [body];
    assert.ok(Array.isArray(members), text);
    return members.map(({ id }) => String(id));
  });
  const completed = settled.filter(({ status }) => status === 'completed').map(({ id }) => id);
  assert.deepEqual(
    answered.filter((id) => !completed.includes(id)),
    [],
  );
  await checkPromises(database, { accepted: answered, nothingPending: true });
});

/** Submits a transfer that is stored, and pending because of the lock. Returns its id. */
async function leavePending({ service }: Scene, path: string, headers: Record<string, string>): Promise<string> {
  const answer = await request(service, 'POST', path, ORDER, headers);
  assert.equal(answer.status, 202, answer.text);
  return String(answer.body['id']);
}

async function replay(scene: Scene, headers: Record<string, string>): Promise<{ status: number }> {
  const key = { 'Idempotency-Key': 'same' };
  await leavePending(scene, '/transfers', key);
  const answer = await post(scene.service, ORDER, { ...key, ...headers });
  assert.equal(answer.headers['idempotency-replayed'], 'true');
  return answer;
}

/** Reads what another caller submitted. */
async function look(scene: Scene, path: string, toPath: (id: string) => string): Promise<{ status: number }> {
  const id = await leavePending(scene, path, {});
  const answer = await request(scene.service, 'GET', toPath(id));
  assert.match(answer.text, new RegExp(id));
  return answer;
}

const OTHERS = { from_account: '@external', to_account: 'ACC1', amount: 7 };

/** Requests that report something pending or settled. */
const REPORTING_REQUESTS: Record<string, (scene: Scene) => Promise<{ status: number }>> = {
  'a transfer whose caller waits': ({ service }) => post(service, OTHERS, { Prefer: 'wait=20' }),
  'a group whose caller waits': ({ service }) =>
    request(service, 'POST', '/transfers', { transfers: [OTHERS, OTHERS], atomic: true }, { Prefer: 'wait=20' }),
  'an opening balance': ({ service }) =>
    request(service, 'POST', '/accounts', { account_number: 'NEW', name: 'New', balance: ORDER.amount }),
  'an order of a caller that does not wait': ({ service }) => post(service, ORDER),
  'an order whose wait is over': ({ service }) => post(service, ORDER, { Prefer: 'wait=1' }),
  'a group whose wait is over': ({ service }) => request(service, 'POST', '/transfers', GROUP, { Prefer: 'wait=1' }),
  'an order that came before, when the wait is over': (scene) => replay(scene, { Prefer: 'wait=1' }),
  'an order that came before, without waiting': (scene) => replay(scene, {}),
  'an order whose key another caller tried to use': async (scene) => {
    await leavePending(scene, '/transfers', { 'Idempotency-Key': 'same' });
    const other = { ...ORDER, amount: ORDER.amount + 1 };
    return await post(scene.service, other, { 'Idempotency-Key': 'same', Prefer: 'wait=1' });
  },
  'an order that a caller reads': (scene) => look(scene, '/transfers', (id) => `/transfers/${id}`),
  'an order in a list': (scene) => look(scene, '/transfers', (id) => `/transfers?request_id=${id}`),
  'a hold that a caller reads': (scene) => look(scene, '/holds', (id) => `/holds/${id}`),
};

for (const [what, send] of Object.entries(REPORTING_REQUESTS)) {
  test(`durability: the answer survives a crash of the database: ${what}`, async (t) => {
    const scene = await setTheScene(t);
    const { server, database, service } = scene;
    const { status } = await send(scene);
    await server.crash();
    assert.ok([200, 201, 202, 422].includes(status), String(status));
    await awaitCalm(scene);
    const orders = (await listTransfers(service)).filter(({ amount }) => amount === ORDER.amount);
    assert.deepEqual([...new Set(orders.map((order) => order.status))], ['completed']);
    await checkPromises(database, { accepted: orders.map(({ id }) => id), nothingPending: true });
  });
}
