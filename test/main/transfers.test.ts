// Transfers over HTTP, on a real database. Every answer is validated against its schema in the OpenAPI document, and
// may have nothing else. A row lock in SQL keeps transfers pending.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { MONEY_MAX } from '../../src/domain/money.ts';
import { FAILURE_CODES } from '../../src/domain/transfer.ts';
import type { ProblemCode } from '../../src/main/http/problem.ts';
import { onEnd } from '../support/cleanup.ts';
import { checkPromises } from '../support/promises/check.ts';
import { awaitFinal, request, startService } from '../support/service.ts';
import {
  answered,
  balancesOf,
  count,
  database,
  hold,
  itemsOf,
  listOf,
  look,
  MADE_ID,
  newKey,
  open,
  openClosed,
  order,
  PATIENCE,
  refused,
  type Row,
  service,
  settle,
  start,
  WAIT,
} from './transfers.ts';

const LARGEST = Number(MONEY_MAX);

before(start);

test('transfers: a transfer is accepted as pending, found at its Location, and completed', async () => {
  const [from, to] = [await open({ balance: 100 }), await open()];
  const sent = { from_account: from, to_account: to, amount: 40, description: 'Käse 🧀', metadata: { order: '7' } };
  const { body, headers } = await answered(202, 'Transfer', 'POST', '/transfers', sent);
  const { id, created_at } = body;
  const location = `/transfers/${String(id)}`;
  assert.match(String(id), MADE_ID);
  const pending = {
    object: 'transfer',
    id,
    kind: 'transfer',
    status: 'pending',
    failure_code: null,
    ...sent,
    parent_id: null,
    group_id: null,
    currency: null,
    request_id: id,
    ordered_by: null,
    approved_by: null,
    conversion: null,
    created_at,
    completed_at: null,
    journal_number: null,
  };
  assert.deepEqual(body, pending);
  assert.equal(headers['location'], location);
  assert.equal(headers['x-request-id'], id);
  assert.equal(headers['preference-applied'], undefined);
  assert.equal(headers['idempotency-replayed'], undefined);

  await awaitFinal(service, String(id));
  const final = await look('Transfer', location);
  const { completed_at, journal_number } = final;
  assert.deepEqual(final, { ...pending, status: 'completed', currency: 'USD', completed_at, journal_number });
  assert.ok(Number(journal_number) >= 1);
  assert.ok(Date.parse(String(completed_at)) >= Date.parse(String(created_at)));
  assert.deepEqual(await balancesOf(from, to), [60, 40]);
});

test('transfers: an id is found in either case', async () => {
  const transfer = await settle({ from_account: '@external', to_account: await open(), amount: 1 });
  assert.deepEqual(await look('Transfer', `/transfers/${String(transfer['id']).toUpperCase()}`), transfer);
});

test('transfers: Prefer: wait returns the final state', async () => {
  const [from, to] = [await open({ balance: 100 }), await open()];
  const { body, headers } = await answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 100), WAIT);
  assert.deepEqual([body['status'], body['currency'], headers['preference-applied']], ['completed', 'USD', 'wait=20']);
  assert.equal(headers['location'], `/transfers/${String(body['id'])}`);
  assert.deepEqual(await look('Transfer', `/transfers/${String(body['id'])}`), body);
  const again = await answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 1), WAIT);
  assert.deepEqual([again.body['status'], again.body['failure_code']], ['failed', 'insufficient_funds']);
  assert.deepEqual(await look('Transfer', `/transfers/${String(again.body['id'])}`), again.body);
});

test('transfers: Prefer: wait returns 202 when the timeout passes first', async (t) => {
  const [from, to] = [await open({ balance: 10 }), await open()];
  const release = await hold(t, from);
  for (const seconds of [0, 1]) {
    const startedAt = performance.now();
    const prefer = { prefer: `wait=${seconds}` };
    const { body, headers } = await answered(202, 'Transfer', 'POST', '/transfers', order(from, to, 5), prefer);
    assert.deepEqual([body['status'], headers['preference-applied']], ['pending', `wait=${seconds}`]);
    assert.ok(performance.now() - startedAt >= seconds * 1000 - 5);
  }
  assert.deepEqual(await balancesOf(from, to), [10, 0]);
  await release();
  for (const { id } of await listOf(from)) assert.equal((await awaitFinal(service, String(id)))['status'], 'completed');
  assert.deepEqual(await balancesOf(from, to), [0, 10]);
});

test('transfers: Prefer: wait returns 202 when no job can write before the timeout', async (t) => {
  const hasty = await startService(t, {
    database,
    env: { THREADS: '1', LOG_LEVEL: 'error', DB_LOCK_TIMEOUT_MS: '200', ORPHANED_AFTER_MS: '60000' },
  });
  const to = await open();
  const client = await database.connect();
  onEnd(t, async () => {
    await client.query('rollback');
  });
  await client.query('begin');
  await client.query('lock table transfers in access exclusive mode');
  const sent = order('@external', to, 5);
  const { status, body, text } = await request<Row>(hasty, 'POST', '/transfers', sent, { prefer: 'wait=1' });
  assert.deepEqual([status, body['status']], [202, 'pending'], text);
  await client.query('rollback');
  assert.equal((await awaitFinal(hasty, String(body['id'])))['status'], 'completed');
  assert.deepEqual(await balancesOf(to), [5]);
});

const PREFERENCES: { prefer: string; applied: string | undefined }[] = [
  { prefer: 'respond-async, wait=9', applied: 'wait=9' },
  { prefer: 'wait=9; foo="bar"', applied: 'wait=9' },
  { prefer: 'WAIT = "9"', applied: 'wait=9' },
  { prefer: 'wait=31', applied: 'wait=30' },
  { prefer: 'wait=999999', applied: 'wait=30' },
  { prefer: 'wait', applied: undefined },
  { prefer: 'wait=', applied: undefined },
  { prefer: 'wait=-1', applied: undefined },
  { prefer: 'wait=1.5', applied: undefined },
  { prefer: 'wait=soon', applied: undefined },
  { prefer: 'await=9', applied: undefined },
  { prefer: 'return=minimal', applied: undefined },
];

for (const { prefer, applied } of PREFERENCES) {
  test(`transfers: of the preference ${prefer} is applied: ${applied ?? 'nothing'}`, async () => {
    const sent = order('@external', await open(), 1);
    const status = applied === undefined ? 202 : 200;
    const { headers } = await answered(status, 'Transfer', 'POST', '/transfers', sent, { prefer });
    assert.equal(headers['preference-applied'], applied);
  });
}

test('transfers: the largest amount moves exactly', async () => {
  const [from, to] = [await open({ currency: 'KRW', balance: LARGEST }), await open({ currency: 'KRW' })];
  const transfer = await settle(order(from, to, LARGEST));
  assert.deepEqual([transfer['status'], transfer['amount']], ['completed', LARGEST]);
  assert.deepEqual(await balancesOf(from, to), [0, LARGEST]);
  const back = await settle(order(to, from, LARGEST - 1));
  assert.equal(back['status'], 'completed');
  assert.deepEqual(await balancesOf(from, to), [LARGEST - 1, 1]);
});

test('transfers: money enters and leaves through the @external of its currency', async () => {
  const [francs, yen] = [await open({ currency: 'CHF' }), await open({ currency: 'JPY' })];
  for (const sent of [order('@external', francs, 50), order('@external', yen, 70), order(francs, '@external', 20)]) {
    assert.equal((await settle(sent))['status'], 'completed');
  }
  assert.deepEqual(await balancesOf(francs, yen), [30, 70]);
  const outside = await Promise.all(
    ['CHF', 'JPY'].map((currency) => look('Balance', `/accounts/@external/balance?currency=${currency}`)),
  );
  assert.deepEqual(
    outside.map(({ balance, entry_number }) => [balance, entry_number]),
    [
      [-30, 2],
      [-70, 1],
    ],
  );
});

test('transfers: absent, null and empty metadata are distinct, as are absent and present texts', async () => {
  const to = await open();
  const full = { metadata: { b: '2', a: '1', toString: 'x' }, description: 'a "quoted" \\ text' };
  const cases: { sent: Row; kept: Row }[] = [
    { sent: {}, kept: { metadata: null, description: null } },
    { sent: { metadata: null, description: null }, kept: { metadata: null, description: null } },
    { sent: { metadata: {} }, kept: { metadata: {}, description: null } },
    { sent: full, kept: full },
  ];
  for (const { sent, kept } of cases) {
    const transfer = await settle({ ...order('@external', to, 1), ...sent });
    assert.deepEqual({ metadata: transfer['metadata'], description: transfer['description'] }, kept);
  }
});

// Requests that are refused at once.

const REFUSED: { name: string; code: ProblemCode; fields: Row }[] = [
  { name: 'an amount of 0', code: 'amount_not_positive', fields: { amount: 0 } },
  { name: 'an amount below 0', code: 'amount_not_positive', fields: { amount: -5 } },
  { name: 'an amount of 0 to oneself', code: 'amount_not_positive', fields: { amount: 0, to_account: 'A' } },
  { name: 'an amount to oneself', code: 'same_account', fields: { to_account: 'A' } },
  { name: '@external to itself', code: 'same_account', fields: { from_account: '@external', to_account: '@external' } },
  { name: 'an unknown currency', code: 'invalid_request', fields: { currency: 'XYZ' } },
  { name: 'an unknown currency and an amount of 0', code: 'invalid_request', fields: { currency: 'XYZ', amount: 0 } },
];

for (const { name, code, fields } of REFUSED) {
  test(`transfers: ${name} is refused at once, and nothing is stored`, async () => {
    const counted = await count();
    const key = { 'idempotency-key': `refused: ${name}`.replaceAll(' ', '-') };
    await refused(code, 'POST', '/transfers', { ...order('A', 'B', 5), ...fields }, key);
    assert.deepEqual(await count(), counted);
  });
}

// Rules that need the books. The failed transfer is stored with the code of its rule.

test('transfers: each rule that needs the books fails a transfer with its code, in their order', async () => {
  const [rich, poor, euro] = [
    await open({ balance: 100 }),
    await open(),
    await open({ currency: 'EUR', balance: 100 }),
  ];
  const [closed, full] = [await openClosed(), await open({ currency: 'TWD', balance: LARGEST })];
  const taiwan = await open({ currency: 'TWD', overdraft_limit: 1 });
  const cases: { code: string; sent: Row; currency: string | null }[] = [
    { code: 'source_not_found', sent: order('NO-SOURCE', 'NO-DESTINATION', 1), currency: null },
    { code: 'source_not_found', sent: order('NO-SOURCE', closed, 1), currency: 'USD' },
    { code: 'source_not_found', sent: order('NO-SOURCE', '@external', 1), currency: null },
    { code: 'destination_not_found', sent: order(closed, 'NO-DESTINATION', 1), currency: 'USD' },
    { code: 'destination_not_found', sent: order('@external', 'NO-DESTINATION', 1), currency: null },
    { code: 'source_closed', sent: order(closed, euro, 1), currency: 'USD' },
    { code: 'destination_closed', sent: order(euro, closed, 1), currency: 'EUR' },
    { code: 'destination_closed', sent: order('@external', closed, 1), currency: 'USD' },
    { code: 'currency_mismatch', sent: order(poor, euro, 1), currency: 'USD' },
    { code: 'currency_mismatch', sent: { ...order(rich, poor, 1), currency: 'EUR' }, currency: 'EUR' },
    { code: 'insufficient_funds', sent: order(rich, poor, 101), currency: 'USD' },
    { code: 'insufficient_funds', sent: order(rich, poor, LARGEST), currency: 'USD' },
    { code: 'insufficient_funds', sent: order(poor, '@external', 1), currency: 'USD' },
    { code: 'balance_out_of_bounds', sent: order(taiwan, full, 1), currency: 'TWD' },
  ];
  const balances = await balancesOf(rich, poor, euro, closed, full, taiwan);
  for (const { code, sent, currency } of cases) {
    const transfer = await settle(sent);
    const reported = [transfer['status'], transfer['failure_code'], transfer['currency'], transfer['amount']];
    assert.deepEqual(reported, ['failed', code, currency, sent['amount']]);
    for (const account of [sent['from_account'], sent['to_account']]) {
      if (account === '@external') continue;
      const listed = await listOf(String(account), '&status=failed');
      assert.deepEqual(
        listed.filter(({ id }) => id === transfer['id']),
        [transfer],
        String(account),
      );
    }
  }
  assert.deepEqual(await balancesOf(rich, poor, euro, closed, full, taiwan), balances);
  // Those of holds, reversals, groups, conditions and frozen accounts have tests of their own.
  const others = /hold|revers|original|frozen|number_mismatch|min_available|group|cannot/;
  const rules = FAILURE_CODES.filter((code) => !others.test(code));
  assert.deepEqual([...new Set(cases.map(({ code }) => code))], rules);
});

test('transfers: an account that is unknown now may be opened later; the failed transfer stays failed', async () => {
  const to = `LATER-${process.pid}`;
  const failed = await settle(order('@external', to, 5));
  assert.equal(failed['failure_code'], 'destination_not_found');
  await open({ account_number: to });
  assert.deepEqual(await listOf(to), [failed]);
  assert.deepEqual(await balancesOf(to), [0]);
  assert.equal((await settle(order('@external', to, 5)))['status'], 'completed');
});

test('transfers: an overdraft may be used to its last unit', async () => {
  const [from, to] = [await open({ balance: 10, overdraft_limit: 90 }), await open()];
  assert.equal((await settle(order(from, to, 101)))['failure_code'], 'insufficient_funds');
  assert.equal((await settle(order(from, to, 100)))['status'], 'completed');
  assert.equal((await settle(order(from, to, 1)))['failure_code'], 'insufficient_funds');
  assert.deepEqual(await balancesOf(from, to), [-90, 100]);
});

test('transfers: of many that together exceed the balance, as many succeed as it covers', async () => {
  const [from, to] = [await open({ balance: 25 }), await open()];
  const endings = await Promise.all(Array.from({ length: 20 }, () => settle(order(from, to, 2))));
  assert.equal(endings.filter(({ status }) => status === 'completed').length, 12);
  assert.equal(endings.filter((each) => each['failure_code'] === 'insufficient_funds').length, 8);
  assert.deepEqual(await balancesOf(from, to), [1, 24]);
});

// A full queue.

test('transfers: a full queue refuses with 429, stores nothing, and admits again after it has drained', async (t) => {
  const small = await startService(t, {
    database,
    env: { THREADS: '2', MAX_QUEUE: '3', LOG_LEVEL: 'warn', ...PATIENCE },
  });
  const [from, to] = [await open({ balance: 100 }), await open()];
  const release = await hold(t, from);
  const accepted: string[] = [];
  for (const _ of [1, 2, 3]) {
    const { status, body } = await request(small, 'POST', '/transfers', order(from, to, 1));
    assert.equal(status, 202);
    accepted.push(String(body['id']));
  }
  const counted = await count();
  const refusals = await Promise.all([
    request(small, 'POST', '/transfers', order(from, to, 1), newKey()),
    request(small, 'POST', '/transfers', order('@external', to, 1), WAIT),
    request(small, 'POST', '/accounts', { name: 'x', balance: 1 }),
    request(small, 'POST', '/accounts', { name: 'An opening is settled in a job as well' }),
  ]);
  for (const { status, headers, body } of refusals) {
    assert.deepEqual([status, body['code']], [429, 'queue_full']);
    assert.equal(body['detail'], 'transfer queue is full, please retry later');
    assert.match(String(headers['retry-after']), /^([1-9]|[1-5]\d|60)$/);
    assert.equal(headers['content-type'], 'application/problem+json');
  }
  assert.deepEqual(await count(), counted);
  const replay = await request(small, 'GET', `/transfers?account=${from}&status=pending`);
  assert.deepEqual([replay.status, itemsOf(replay.body).length], [200, 3]);
  await release();
  for (const id of accepted) assert.equal((await awaitFinal(small, id))['status'], 'completed');
  const later = await request(small, 'POST', '/transfers', order(from, to, 1), WAIT);
  assert.deepEqual([later.status, later.body['status']], [200, 'completed']);
  assert.deepEqual(await balancesOf(from, to), [96, 4]);
});

test('transfers: the promises are kept afterwards', async () => {
  await checkPromises(database, { nothingPending: true });
});
