// Goal: every answered state survives a crash of the database server, also if another process answered. Method: a server of the
// test's own, which flushes nothing by itself, so that an asynchronous commit would be lost, and crashes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { withAdmin } from '../support/server.ts';
import { type Answer, request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { countPending, listTransfers, openAccounts, post } from './callers.ts';
import { awaitCalm, type Scene, setTheScene, startLossyServer, startLyingNetwork } from './durability.ts';

const ORDER = { from_account: 'ACC0', to_account: 'ACC1', amount: 7 };
const GROUP = { transfers: [ORDER, ORDER], atomic: true };
test('durability: the server of these tests loses a commit that is not flushed', async (t) => {
  const server = await startLossyServer(t);
  await withAdmin(server.admin, async (client) => {
    await client.query('create table kept (way text)');
    await client.query(`insert into kept values ('flushed')`);
    await client.query('set synchronous_commit = off');
    await client.query(`insert into kept values ('not flushed')`);
  });
  await server.crash();
  const rows = async () =>
    await withAdmin(server.admin, async (client) => (await client.query<{ way: string }>('select way from kept')).rows);
  const found = await until(async () => await rows().catch(() => null), { what: 'the server to be back' });
  assert.deepEqual(found, [{ way: 'flushed' }]);
});

test('durability: an answer to a waiting caller that no commit made durable is found by the promises', async (t) => {
  const database = await createDatabase(t);
  const network = await startLyingNetwork(t, database);
  const service = await startService(t, { database: { url: network.url } });
  await openAccounts(service, 'ACC', 2, { balance: 100 });
  network.lie();
  for (const [path, body] of [
    ['/transfers', ORDER],
    ['/transfers', GROUP],
    ['/holds', ORDER],
    ['/accounts', { account_number: 'NEW', name: 'New', balance: ORDER.amount }],
  ] as const) {
    const { status, text } = await request(service, 'POST', path, body, { Prefer: 'wait=20' });
    assert.ok(status === 200 || status === 201, text);
    const answered = text.match(/(?<=id":")[0-9a-f-]{36}(?=")/g) ?? [];
    assert.ok(answered.length > 0, text);
    await assert.rejects(checkPromises(database, { accepted: answered }), /accepted/, path);
  }
  assert.ok(network.lies() >= 8, 'each commit, and its answer');
});

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

async function replay(
  scene: Scene,
  headers: Record<string, string>,
  service = scene.service,
): Promise<{ status: number }> {
  const key = { 'Idempotency-Key': 'same' };
  await leavePending(scene, '/transfers', key);
  const answer = await post(service, ORDER, { ...key, ...headers });
  assert.equal(answer.headers['idempotency-replayed'], 'true');
  return answer;
}

/** Reads on another process what a caller submitted. */
async function look(scene: Scene, path: string, toPath: (id: string) => string): Promise<{ status: number }> {
  const id = await leavePending(scene, path, {});
  const answer = await request(scene.other, 'GET', toPath(id));
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
  'an order that came before, on another process': (scene) => replay(scene, {}, scene.other),
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

type Change = {
  readonly answer: Answer<unknown>;
  /** Where the change is seen, and what is seen there. */
  readonly path: string;
  readonly shows: RegExp;
};

const WAIT = { Prefer: 'wait=20' };

/** Makes a transfer or a hold that is final, and returns its path. */
async function make({ service }: Scene, path: '/transfers' | '/holds'): Promise<string> {
  const { status, body, text } = await request(service, 'POST', path, OTHERS, WAIT);
  assert.equal(status, 200, text);
  return `${path}/${String(body['id'])}`;
}

async function settle({ service }: Scene, path: string, body: unknown, shows = /"completed"/): Promise<Change> {
  const answer = await request(service, 'POST', path, body, WAIT);
  return { answer, path: `/transfers/${String(answer.body['id'])}`, shows };
}

async function makeWebhook({ service }: Scene): Promise<{ answer: Answer<unknown>; path: string }> {
  const answer = await request(service, 'POST', '/webhooks', { url: 'http://127.0.0.1:9/', description: 'first' });
  return { answer, path: `/webhooks/${String(answer.body['id'])}` };
}

/** The operations that change something, in an order in which each can be done. */
const CHANGES: Record<string, (scene: Scene) => Promise<Change>> = {
  'POST /accounts': async ({ service }) => {
    const answer = await request(service, 'POST', '/accounts', { account_number: 'NEW', name: 'Ada' });
    return { answer, path: '/accounts/NEW', shows: /"Ada"/ };
  },
  'PATCH /accounts/{account_number}': async ({ service }) => {
    const answer = await request(service, 'PATCH', '/accounts/NEW', { overdraft_limit: 5 });
    return { answer, path: '/accounts/NEW', shows: /"overdraft_limit":5,/ };
  },
  'DELETE /accounts/{account_number}/personal-data': async ({ service }) => {
    const answer = await request(service, 'DELETE', '/accounts/NEW/personal-data');
    return { answer, path: '/accounts/NEW', shows: /"name":null/ };
  },
  'DELETE /accounts/{account_number}': async ({ service }) => {
    const answer = await request(service, 'DELETE', '/accounts/NEW');
    return { answer, path: '/accounts/NEW', shows: /"closed"/ };
  },
  'POST /transfers': (scene) => settle(scene, '/transfers', OTHERS),
  'POST /transfers/{id}/reversals': async (scene) =>
    await settle(scene, `${await make(scene, '/transfers')}/reversals`, {}),
  'POST /holds': (scene) => settle(scene, '/holds', OTHERS),
  'POST /holds/{id}/capture': async (scene) => await settle(scene, `${await make(scene, '/holds')}/capture`, {}),
  'POST /holds/{id}/void': async (scene) => await settle(scene, `${await make(scene, '/holds')}/void`, {}),
  'POST /ledgers': async ({ service }) => {
    const clock = { clock: 'manual', now: '2026-01-20T00:00:00Z' };
    const answer = await request(service, 'POST', '/ledgers', { name: 'past', ...clock });
    return { answer, path: '/ledgers/past', shows: /"past"/ };
  },
  'POST /clock': async ({ service }) => {
    const answer = await request(service, 'POST', '/ledgers/past/clock', { now: '2026-02-15T10:00:00Z' });
    return { answer, path: '/ledgers/past', shows: /2026-02-15T10:00:00/ };
  },
  'POST /webhooks': async (scene) => ({ ...(await makeWebhook(scene)), shows: /"first"/ }),
  'PATCH /webhooks/{id}': async (scene) => {
    const { path } = await makeWebhook(scene);
    const answer = await request(scene.service, 'PATCH', path, { description: 'second' });
    return { answer, path, shows: /"second"/ };
  },
  'DELETE /webhooks/{id}': async (scene) => {
    const { path } = await makeWebhook(scene);
    return { answer: await request(scene.service, 'DELETE', path), path, shows: /webhook_not_found/ };
  },
};
/** An approval is the transfer or the change that it allows; the others show no state that a caller can read again. */
const NOT_CRASHED = [
  'POST /approvals/{id}',
  'POST /webhooks/{id}/rotate-secret',
  'POST /webhooks/{id}/deliveries/{number}/redeliver',
];

test('durability: what one process has changed and another has shown survives a crash of the database', async (t) => {
  const scene = await setTheScene(t);
  const { server, service, other, unlock } = scene;
  await unlock();
  const { body } = await request<{ paths: Record<string, object> }>(service, 'GET', '/openapi.json');
  const operations = Object.entries(body.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(
    operations.filter((operation) => !operation.startsWith('GET ')).toSorted(),
    [...Object.keys(CHANGES), ...NOT_CRASHED].toSorted(),
  );
  for (const [operation, change] of Object.entries(CHANGES)) {
    await t.test(operation, async () => {
      // A dry run stores nothing, and is refused while the intake connects again.
      const isReady = async () => (await request(service, 'POST', '/transfers?dry_run=true', OTHERS)).status === 200;
      await until(isReady, { what: 'the service to accept' });
      const { answer, path, shows } = await change(scene);
      assert.ok([200, 201, 204].includes(answer.status), answer.text);
      const shown = await request(other, 'GET', path);
      await server.crash();
      assert.match(shown.text, shows);
      await awaitCalm(scene);
      const stored = await request(service, 'GET', path);
      assert.match(stored.text, shows);
      assert.equal(stored.status, shown.status);
    });
  }
});
