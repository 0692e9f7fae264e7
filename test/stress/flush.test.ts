// Goal: what nobody has been told of may be lost when the server of the database crashes; what somebody has, may not. Method: a server
// of the test's own, which leaves alone what was committed asynchronously, and crashes.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises.ts';
import { parseServerKind, startServer, type TestServer, withAdmin } from '../support/server.ts';
import { request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { attempt, countPending, listTransfers, openAccounts, post, tell } from './callers.ts';
import { lockAccount } from './trouble.ts';

const ORDER = { from_account: 'ACC0', to_account: 'ACC1', amount: 7 };
const GROUP = { transfers: [ORDER, ORDER], atomic: true };
/** Whatever commits and is waited for flushes what was committed before it, a heartbeat too. */
const NO_HEARTBEAT = { HEARTBEAT_MS: '60000', ORPHANED_AFTER_MS: '180000' };

type Scene = { server: TestServer; database: TestDatabase; service: Service; unlock: () => Promise<void> };

/** A service whose orders are stored and held up by a lock, on a server that flushes nothing unless it must. */
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

/** Waits until the service works again after a crash, and nothing is on its way. */
async function awaitCalm({ database, service }: Scene): Promise<void> {
  await until(async () => (await request(service, 'GET', '/accounts/ACC0')).status === 200, {
    what: 'the service to answer',
  });
  // The test's own connections have died with the server.
  await until(async () => (await countPending(database).catch(() => -1)) === 0, { what: 'every transfer to be final' });
}

test('flush: an order that a crash of the database took from its waiting caller is answered so', async (t) => {
  const scene = await setTheScene(t);
  const { server, database, service } = scene;
  const waiting = Promise.all([
    attempt(service, ORDER, { Prefer: 'wait=20' }),
    request(service, 'POST', '/transfers', GROUP, { Prefer: 'wait=20' }),
  ]);
  await until(async () => (await countPending(database)) === 3, { what: 'three orders to be stored' });
  await server.crash();
  const [one, group] = await waiting;
  await awaitCalm(scene);
  const orders = (await listTransfers(service)).filter(({ amount }) => amount === ORDER.amount);
  assert.deepEqual(orders, [], 'They were committed, and were not on the disk.');
  // It is also true that nobody knows, as long as the database cannot be asked.
  for (const code of [one.answer?.body.code, group.body['code']]) {
    assert.match(String(code), /^(database_unavailable|outcome_unknown)$/, tell(one) + group.text);
  }
  await checkPromises(database, { nothingPending: true });
});

/** Sends the order of somebody who waits longer, under the same key. */
async function replay(service: Service, headers: Record<string, string>): Promise<{ status: number }> {
  const key = { 'Idempotency-Key': 'same' };
  // Its answer comes after the crash, or not at all.
  void attempt(service, ORDER, { ...key, Prefer: 'wait=20' });
  await until(async () => (await request(service, 'GET', '/transfers?status=pending')).text.includes('"amount":7'), {
    what: 'the first order to be stored',
  });
  const answer = await post(service, ORDER, { ...key, ...headers });
  assert.equal(answer.headers['idempotency-replayed'], 'true');
  return answer;
}

const ANSWERED: Record<string, (service: Service) => Promise<{ status: number }>> = {
  'an order of somebody who does not wait': (service) => post(service, ORDER),
  'an order': (service) => post(service, ORDER, { Prefer: 'wait=1' }),
  'a group': (service) => request(service, 'POST', '/transfers', GROUP, { Prefer: 'wait=1' }),
  'an order that came before': async (service) => await replay(service, { Prefer: 'wait=1' }),
  'an order that came before, to somebody who does not wait': async (service) => await replay(service, {}),
};

for (const [what, order] of Object.entries(ANSWERED)) {
  test(`flush: who reads 202 has what survives a crash of the database: ${what}`, async (t) => {
    const scene = await setTheScene(t);
    const { server, database, service } = scene;
    const { status } = await order(service);
    await server.crash();
    assert.equal(status, 202);
    await awaitCalm(scene);
    const orders = (await listTransfers(service)).filter(({ amount }) => amount === ORDER.amount);
    assert.deepEqual([...new Set(orders.map((order) => order.status))], ['completed']);
    await checkPromises(database, { accepted: orders.map(({ id }) => id), nothingPending: true });
  });
}
