// Writing into two ledgers: the same numbers, request ids and idempotency keys name different things in each.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { connect, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { findAll } from '../support/audit.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { type Answer, request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

let database: TestDatabase;
let service: Service;

const LEDGERS = [
  { name: 'main', prefix: '', share: 1 },
  { name: 'shop', prefix: '/ledgers/shop', share: 3 },
];

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '4' } });
  onEnd(t, async () => {
    await service.stop();
    await checkPromises(database, { nothingPending: true });
    const connection = await connect(database.admin, READING_TIMEOUTS, { applicationName: 'audit' });
    const { discrepancies } = await findAll(connection);
    await disconnect(connection);
    assert.deepEqual(discrepancies, []);
  });
  assert.equal((await request(service, 'POST', '/ledgers', { name: 'shop' })).status, 201);
  for (const { prefix, share } of LEDGERS) {
    for (const number of ['ANN', 'BOB']) {
      const account = { account_number: number, name: `${number} of ${prefix}`, balance: 1000 * share };
      const answer = await post(`${prefix}/accounts`, account, { 'idempotency-key': `open-${number}` });
      assert.equal(answer.status, 201, answer.text);
      assert.equal(answer.headers['location'], `${prefix}/accounts/${number}`);
    }
  }
});

async function post(
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Answer<Record<string, unknown>>> {
  return await request(service, 'POST', path, body, { prefer: 'wait=10', ...headers });
}

test('ledgers: an account number opened in each ledger has separate money', async () => {
  for (const { prefix, share } of LEDGERS) {
    const { body } = await request(service, 'GET', `${prefix}/accounts/ANN`);
    assert.deepEqual([body['balance'], body['name']], [1000 * share, `ANN of ${prefix}`]);
    const { body: outside } = await request(service, 'GET', `${prefix}/accounts/@external`);
    assert.equal(outside['balance'], -2000 * share);
    const again = await post(
      `${prefix}/accounts`,
      { account_number: 'ANN', name: `ANN of ${prefix}`, balance: 1000 * share },
      { 'idempotency-key': 'open-ANN' },
    );
    assert.deepEqual([again.status, again.headers['idempotency-replayed']], [201, 'true']);
    assert.equal(again.body['balance'], 1000 * share);
  }
});

test('ledgers: one key and one request id name a transfer in each ledger', async () => {
  const ids = new Map<string, unknown>();
  for (const { name, prefix, share } of LEDGERS) {
    const transfer = { from_account: 'ANN', to_account: 'BOB', amount: 10 * share };
    const headers = { 'idempotency-key': 'rent', 'x-request-id': 'rent-1' };
    const first = await post(`${prefix}/transfers`, transfer, headers);
    assert.deepEqual([first.status, first.body['status']], [200, 'completed'], first.text);
    assert.equal(first.headers['location'], `${prefix}/transfers/${String(first.body['id'])}`);
    assert.equal(first.headers['idempotency-replayed'], undefined);
    ids.set(name, first.body['id']);
    const again = await post(`${prefix}/transfers`, transfer, headers);
    assert.deepEqual([again.headers['idempotency-replayed'], again.body['id']], ['true', first.body['id']]);
    const listed = await request<{ items: { id: string }[] }>(service, 'GET', `${prefix}/transfers?request_id=rent-1`);
    assert.deepEqual(
      listed.body.items.map(({ id }) => id),
      [first.body['id']],
    );
  }
  assert.notEqual(ids.get('main'), ids.get('shop'));
  for (const [prefix, other] of [
    ['', 'shop'],
    ['/ledgers/shop', 'main'],
  ] as const) {
    const path = `${prefix}/transfers/${String(ids.get(other))}`;
    assert.equal((await request(service, 'GET', path)).body['code'], 'transfer_not_found');
    assert.equal((await post(`${path}/reversals`, {})).body['code'], 'transfer_not_found');
  }
  const other = await post(
    '/ledgers/shop/transfers',
    { from_account: 'ANN', to_account: 'BOB', amount: 11 },
    { 'idempotency-key': 'rent' },
  );
  assert.deepEqual([other.body['code'], other.body['transfer_id']], ['idempotency_key_reused', ids.get('shop')]);
});

test('ledgers: holds, their parts and reversals stay in their ledger', async () => {
  for (const { prefix, share } of LEDGERS) {
    const made = await post(`${prefix}/holds`, { from_account: 'ANN', to_account: 'BOB', amount: 100 * share });
    const location = String(made.headers['location']);
    assert.equal(location, `${prefix}/holds/${String(made.body['id'])}`);
    const other = LEDGERS.find((each) => each.prefix !== prefix)?.prefix ?? '';
    for (const [method, path] of [
      ['GET', ''],
      ['POST', '/capture'],
      ['POST', '/void'],
    ] as const) {
      const answer = await request(service, method, `${other}/holds/${String(made.body['id'])}${path}`);
      assert.equal(answer.body['code'], 'hold_not_found');
    }
    const captured = await post(`${location}/capture`, { amount: 40 * share });
    assert.equal(captured.body['status'], 'completed', captured.text);
    const reversed = await post(`${prefix}/transfers/${String(captured.body['id'])}/reversals`, {});
    assert.equal(reversed.body['status'], 'completed', reversed.text);
    const voided = await post(`${location}/void`, {});
    assert.deepEqual([voided.body['status'], voided.body['amount']], ['completed', 60 * share]);
    assert.equal((await request(service, 'GET', location)).body['state'], 'voided');
  }
});

test('ledgers: a hold expires in its own ledger', async () => {
  const made = await post('/ledgers/shop/holds', { from_account: 'ANN', to_account: 'BOB', amount: 5, expires_in: 1 });
  const path = String(made.headers['location']);
  await until(async () => (await request(service, 'GET', path)).body['state'] === 'expired', {
    what: 'the hold to expire',
    timeoutMs: 15_000,
  });
  const ends = `/transfers?parent_id=${String(made.body['id'])}`;
  const listed = await request<{ items: { kind: string }[] }>(service, 'GET', `/ledgers/shop${ends}`);
  assert.deepEqual(
    listed.body.items.map(({ kind }) => kind),
    ['expiry'],
  );
  assert.deepEqual((await request(service, 'GET', ends)).body['items'], []);
});

test('ledgers: groups of two ledgers settle concurrently, each in its own journal', async () => {
  const groups = await Promise.all(
    LEDGERS.flatMap(({ prefix, share }) =>
      Array.from({ length: 20 }, async (_, index) => {
        const transfers = Array.from({ length: 50 }, (_member, place) => ({
          from_account: (index + place) % 2 === 0 ? 'ANN' : 'BOB',
          to_account: (index + place) % 2 === 0 ? 'BOB' : 'ANN',
          amount: share,
        }));
        const answer = await post(`${prefix}/transfers`, { transfers, atomic: true });
        assert.equal(answer.status, 200, answer.text);
        assert.equal(answer.headers['location'], `${prefix}/transfers?group_id=${String(answer.body['group_id'])}`);
        return answer;
      }),
    ),
  );
  assert.equal(groups.length, 40);
  for (const { prefix, share } of LEDGERS) {
    const { body } = await request<{ currencies: { positive: number; sum: number }[] }>(
      service,
      'GET',
      `${prefix}/balances`,
    );
    assert.deepEqual(
      body.currencies.map(({ positive, sum }) => [positive, sum]),
      [[2000 * share, 0]],
    );
  }
});

test('ledgers: a dry run and a wait that times out are answered from their own ledger', async () => {
  const dry = await post('/ledgers/shop/transfers?dry_run=true', {
    from_account: 'ANN',
    to_account: 'BOB',
    amount: 1500,
  });
  assert.deepEqual([dry.status, dry.body['status'], dry.body['dry_run']], [200, 'completed', true]);
  const same = await post('/transfers?dry_run=true', { from_account: 'ANN', to_account: 'BOB', amount: 1500 });
  assert.deepEqual([same.body['status'], same.body['failure_code']], ['failed', 'insufficient_funds']);
  const holder = await database.connect();
  await holder.query(`begin; select from accounts where ledger_id = 2 and account_number = 'BOB' for update`);
  const waiting = await post(
    '/ledgers/shop/transfers',
    { from_account: 'ANN', to_account: 'BOB', amount: 1 },
    { prefer: 'wait=1' },
  );
  assert.deepEqual([waiting.status, waiting.body['status']], [202, 'pending']);
  const path = String(waiting.headers['location']);
  assert.equal((await request(service, 'GET', path)).body['status'], 'pending');
  assert.equal((await request(service, 'GET', path.replace('/ledgers/shop', ''))).status, 404);
  // The other ledger is not delayed by it.
  const other = await post('/transfers', { from_account: 'ANN', to_account: 'BOB', amount: 1 });
  assert.equal(other.body['status'], 'completed');
  await holder.query('rollback');
  await until(async () => (await request(service, 'GET', path)).body['status'] === 'completed', {
    what: 'the transfer',
  });
});
