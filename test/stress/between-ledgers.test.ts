// Goal: a transfer to another ledger ends once, in both ledgers or in none, whatever is killed and however many couriers
// there are. Method: kill -9 between two steps, which locks hold apart; and load in both directions through two services.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { drawFor } from '../support/random.ts';
import { awaitFinal, request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { inParallel, LOAD_ENV, times } from './callers.ts';

const SHOP = '/ledgers/shop';
/** A killed process is missed soon. */
const ENV = { ...LOAD_ENV, ORPHANED_AFTER_MS: '2000', HEARTBEAT_MS: '500' };

type Scene = { readonly database: TestDatabase; readonly services: readonly [Service, Service] };

/** Two services; ANN has money in the main ledger, and BOB in the shop's. */
async function setTheScene(t: TestContext): Promise<Scene> {
  const database = await createDatabase(t);
  const services = await startTwo(t, database);
  const [service] = services;
  await request(service, 'POST', '/ledgers', { name: 'shop' });
  for (const [path, number] of [
    ['/accounts', 'ANN'],
    [`${SHOP}/accounts`, 'BOB'],
  ] as const) {
    const body = { account_number: number, name: number, balance: 100_000 };
    assert.equal((await request(service, 'POST', path, body)).status, 201);
  }
  return { database, services };
}

async function startTwo(t: TestContext, database: TestDatabase): Promise<readonly [Service, Service]> {
  return [await startService(t, { database, env: ENV }), await startService(t, { database, env: ENV })];
}

/** Holds the row of an account of a ledger locked until the returned function is called. */
async function lock(database: TestDatabase, ledgerId: number, number: string): Promise<() => Promise<void>> {
  const holder = await database.connect();
  await holder.query('begin');
  const sql = 'select from accounts where ledger_id = $1 and account_number = $2 for update';
  assert.equal((await holder.query(sql, [ledgerId, number])).rowCount, 1);
  return async () => {
    await holder.query('rollback');
  };
}

async function exists({ query }: TestDatabase, sql: string, values: unknown[]): Promise<boolean> {
  return (await query(sql, values)).length > 0;
}

async function send(service: Service, headers: Record<string, string> = {}): Promise<string> {
  const body = { from_account: 'ANN', to_account: 'BOB', to_ledger: 'shop', amount: 70 };
  const answer = await request(service, 'POST', '/transfers', body, headers);
  assert.equal(answer.status, 202, answer.text);
  return String(answer.body['id']);
}

const isHeld = async (database: TestDatabase, id: string) =>
  await exists(database, `select from holds where ledger_id = 1 and id = $1 and state = 'open'`, [id]);
const isCredited = async (database: TestDatabase, id: string) =>
  await exists(database, `select from transfers where ledger_id = 2 and id = $1 and status = 'completed'`, [id]);

/** Brings a transfer to a step, at which locks hold it; returns its id, and what releases it. */
const STEPS: Record<string, (scene: Scene) => Promise<{ id: string; release: () => Promise<void> }>> = {
  async accepted({ database, services: [service] }) {
    const release = await lock(database, 1, 'ANN');
    return { id: await send(service), release };
  },
  async held({ database, services: [service] }) {
    const release = await lock(database, 2, 'BOB');
    const id = await send(service);
    await until(async () => await isHeld(database, id), { what: 'the hold' });
    return { id, release };
  },
  async credited({ database, services: [service] }) {
    const unlock = await lock(database, 2, 'BOB');
    const id = await send(service);
    await until(async () => await isHeld(database, id), { what: 'the hold' });
    const release = await lock(database, 1, 'ANN');
    await unlock();
    await until(async () => await isCredited(database, id), { what: 'the credit' });
    assert.ok(await isHeld(database, id));
    return { id, release };
  },
};

for (const [step, reach] of Object.entries(STEPS)) {
  test(`between ledgers: services that are killed once a transfer is ${step} end it once after a restart`, async (t) => {
    const scene = await setTheScene(t);
    const { database, services } = scene;
    const { id, release } = await reach(scene);
    await Promise.all(services.map(async (service) => await service.kill()));
    await release();
    // Two couriers find it at the same time.
    const [successor] = await startTwo(t, database);
    assert.equal((await awaitFinal(successor, id, 30_000))['status'], 'completed');
    const rows = await database.query<{ ledger_id: number; kind: string; status: string }>(
      'select ledger_id, kind, status from transfers where id = $1 or parent_id = $1 order by ledger_id, kind',
      [id],
    );
    assert.deepEqual(
      rows.map(({ ledger_id, kind, status }) => `${ledger_id} ${kind} ${status}`),
      ['1 capture completed', '1 hold completed', '2 transfer completed'],
    );
    const balances = await database.query(`select account_number, balance, held from accounts
      where account_number <> '@external' order by account_number`);
    assert.deepEqual(balances, [
      { account_number: '@ledger:main', balance: -70n, held: 0n },
      { account_number: '@ledger:shop', balance: 70n, held: 0n },
      { account_number: 'ANN', balance: 99_930n, held: 0n },
      { account_number: 'BOB', balance: 100_070n, held: 0n },
    ]);
    await checkPromises(database, { nothingPending: true, accepted: [id] });
  });
}

test('between ledgers: an account that is frozen between the steps is captured, and one at the target is refused', async (t) => {
  const { database, services } = await setTheScene(t);
  const [service] = services;
  const change = async (path: string, status: string) => {
    assert.equal((await request(service, 'PATCH', path, { status })).status, 200);
  };
  const unlock = await lock(database, 2, 'BOB');
  const id = await send(service);
  await until(async () => await isHeld(database, id), { what: 'the hold' });
  await change('/accounts/ANN', 'frozen');
  await unlock();
  assert.equal((await awaitFinal(service, id))['status'], 'completed');
  await change('/accounts/ANN', 'open');
  await change(`${SHOP}/accounts/BOB`, 'frozen');
  const refused = await awaitFinal(service, await send(service));
  assert.deepEqual([refused['status'], refused['failure_code']], ['failed', 'destination_frozen']);
  await checkPromises(database, { nothingPending: true });
});

test('between ledgers: a service that stops ends what it has begun', async (t) => {
  const { database, services } = await setTheScene(t);
  const [service, other] = services;
  await other.kill();
  const unlock = await lock(database, 2, 'BOB');
  const ids = await Promise.all(times(20, async () => await send(service)));
  await until(async () => (await Promise.all(ids.map((id) => isHeld(database, id)))).every(Boolean), {
    what: 'the holds',
  });
  const stopped = service.stop();
  await unlock();
  assert.equal((await stopped).code, 0);
  const open = await database.query(`select from holds where state = 'open'`);
  assert.equal(open.length, 0);
  await checkPromises(database, { nothingPending: true, accepted: ids });
});

test('between ledgers: a target that is locked delays no transfers to others', async (t) => {
  const { database, services } = await setTheScene(t);
  const [service] = services;
  await request(service, 'POST', '/ledgers', { name: 'depot' });
  await request(service, 'POST', '/ledgers/depot/accounts', { account_number: 'BOB', name: 'Bob' });
  const unlock = await lock(database, 2, 'BOB');
  // More than may be in progress to one ledger.
  const ids = await Promise.all(times(400, async () => await send(service)));
  const body = { from_account: 'ANN', to_account: 'BOB', to_ledger: 'depot', amount: 1 };
  const quick = await request(service, 'POST', '/transfers', body, { prefer: 'wait=20' });
  assert.equal(quick.body['status'], 'completed', quick.text);
  assert.equal(
    (await database.query('select from transfers where ledger_id = 2 and remote_account is not null')).length,
    0,
  );
  await unlock();
  await until(async () => !(await exists(database, `select from holds where state = 'open'`, [])), {
    timeoutMs: 30_000,
    what: 'the end of all transfers',
  });
  await checkPromises(database, { nothingPending: true, accepted: ids });
});

/** As JSON, quotes take twice as many bytes. */
const LONG = Object.fromEntries(times(16, (index) => [`key${index}`, '"'.repeat(500)]));

for (const { what, env, count, metadata } of [
  { what: 'a small queue', env: { MAX_QUEUE: '20' }, count: 40, metadata: {} },
  { what: 'a queue of few bytes', env: { MAX_QUEUE_BYTES: '1048576' }, count: 80, metadata: LONG },
]) {
  test(`between ledgers: a target that is locked does not fill ${what}`, async (t) => {
    const { database, services } = await setTheScene(t);
    await Promise.all(services.map(async (one) => await one.kill()));
    const service = await startService(t, { database, env: { ...ENV, ...env } });
    await request(service, 'POST', '/accounts', { account_number: 'CID', name: 'Cid' });
    const unlock = await lock(database, 2, 'BOB');
    const body = { from_account: 'ANN', to_account: 'BOB', to_ledger: 'shop', amount: 1, metadata };
    const ids: string[] = [];
    await until(
      async () => {
        const answer = await request(service, 'POST', '/transfers', body);
        if (answer.status === 202) ids.push(String(answer.body['id']));
        return ids.length === count;
      },
      { what: `${count} transfers to a ledger that is locked` },
    );
    const within = { from_account: 'ANN', to_account: 'CID', amount: 1 };
    const quick = await request(service, 'POST', '/transfers', within, { prefer: 'wait=20' });
    assert.equal(quick.body['status'], 'completed', quick.text);
    await unlock();
    await until(async () => !(await exists(database, `select from holds where state = 'open'`, [])), {
      timeoutMs: 30_000,
      what: 'the end of all transfers',
    });
    await checkPromises(database, { nothingPending: true, accepted: ids });
  });
}

test('between ledgers: a capture that is refused is an error in the log, and is not ordered without a pause', async (t) => {
  const { database, services } = await setTheScene(t);
  const [service, other] = services;
  await other.kill();
  const unlock = await lock(database, 2, 'BOB');
  const id = await send(service);
  await until(async () => await isHeld(database, id), { what: 'the hold' });
  // No transfer can bring it there.
  await database.query(`update accounts set balance = 9007199254740991 where account_number = '@ledger:shop'`);
  await unlock();
  const errors = () => service.logs().filter(({ msg, level }) => msg === 'courier step failed' && level === 50);
  await until(() => errors().length >= 2, { what: 'two errors' });
  assert.equal(errors()[0]?.['transfer_id'], id);
  assert.match(String(errors()[0]?.['reason']), /balance_out_of_bounds/);
  assert.match(String(errors()[1]?.['reason']), /refused earlier/);
  assert.ok(await isHeld(database, id));
});

test('between ledgers: 1,000 transfers in both directions, with a kill in the middle, leave opposite balances', async (t) => {
  const draw = drawFor(t);
  const { database, services } = await setTheScene(t);
  const live: Service[] = [...services];
  const open = async (path: string, number: string, balance: number) => {
    const answer = await request(services[0], 'POST', path, { account_number: number, name: number, balance });
    assert.equal(answer.status, 201, answer.text);
  };
  for (const index of [0, 1, 2]) await open('/accounts', `A${index}`, 3000);
  for (const index of [0, 1, 2]) await open(`${SHOP}/accounts`, `B${index}`, 3000);
  const orders = times(1000, (index) => {
    const isThere = draw.whole(0, 1) === 0;
    const [from, to] = [draw.whole(0, 2), draw.whole(0, 9) === 0 ? 9 : draw.whole(0, 2)];
    return {
      path: isThere ? '/transfers' : `${SHOP}/transfers`,
      key: `order-${index}`,
      body: {
        from_account: `${isThere ? 'A' : 'B'}${from}`,
        to_account: `${isThere ? 'B' : 'A'}${to}`,
        to_ledger: isThere ? 'shop' : 'main',
        amount: draw.whole(1, 400),
      },
    };
  });
  const ids = new Map<string, string>();
  const killing: Promise<unknown>[] = [];
  await inParallel(32, orders, async ({ path, key, body }, index) => {
    if (index === 500) killing.push(...live.splice(0, 1).map(async (service) => await service.kill()));
    // A caller whose connection breaks sends the request again, to the service that is left.
    for (;;) {
      const service = live[index % live.length] ?? services[1];
      const answer = await request(service, 'POST', path, body, { 'idempotency-key': key }).catch(() => null);
      if (answer?.status === 202 || answer?.status === 200) {
        ids.set(key, String(answer.body['id']));
        return;
      }
      assert.ok(answer === null || answer.status === 503, answer?.text ?? '');
    }
  });
  await Promise.all(killing);
  await until(
    async () =>
      !(await exists(database, `select from pending_transfers`, [])) &&
      !(await exists(database, `select from holds where state = 'open'`, [])),
    { timeoutMs: 60_000, what: 'the end of all transfers' },
  );
  const [sums] = await database.query(`
    select sum(balance) filter (where ledger_id = 1)::text as main, sum(balance) filter (where ledger_id = 2)::text as shop,
      sum(balance) filter (where account_number like '@ledger:%')::text as between, max(held)::text as held
    from accounts`);
  assert.deepEqual(sums, { main: '0', shop: '0', between: '0', held: '0' });
  const [counts] = await database.query(`
    select count(*) filter (where kind = 'hold') as holds,
      count(*) filter (where kind = 'capture' and status = 'completed') as captures,
      count(*) filter (where kind = 'void' and status = 'completed') as voids,
      count(*) filter (where kind = 'hold' and status = 'completed') as held,
      count(*) filter (where kind in ('capture', 'void') and status = 'failed') as refused
    from transfers`);
  assert.ok(counts);
  t.diagnostic(JSON.stringify(counts, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)));
  assert.equal(counts['holds'], 1000n);
  assert.equal(Number(counts['captures']) + Number(counts['voids']), Number(counts['held']));
  assert.equal(counts['refused'], 0n);
  assert.ok(Number(counts['voids']) > 0 && Number(counts['captures']) > 0);
  await checkPromises(database, { nothingPending: true, accepted: [...ids.values()] });
});
