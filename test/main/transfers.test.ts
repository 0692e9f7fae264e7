// Transfers as callers meet them: over HTTP, on a real database. Every answer is held against the schema that the OpenAPI
// document promises for it, and nothing more may be in it. What has to stay pending is kept so by a row lock in SQL.
import assert from 'node:assert/strict';
import { before, test, type TestContext } from 'node:test';
import { MONEY_MAX } from '../../src/domain/money.ts';
import { FAILURE_CODES } from '../../src/domain/transfer.ts';
import { ANSWER_VIEWS, type AnswerName } from '../../src/main/api/views.ts';
import { PROBLEMS, type ProblemCode } from '../../src/main/http/problem.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { awaitFinal, type Answer, request, type Service, startService } from '../support/service.ts';

type Method = 'GET' | 'POST' | 'DELETE';
type Row = Record<string, unknown>;

const LARGEST = Number(MONEY_MAX);
const WAIT = { prefer: 'wait=20' };
const MADE_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** So long that a lock which a test holds never makes a job start again. */
const PATIENCE = { DB_LOCK_TIMEOUT_MS: '60000', DB_STATEMENT_TIMEOUT_MS: '60000' };

let database: TestDatabase;
let service: Service;
let lastNumber = 0;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '4', LOG_LEVEL: 'warn', ...PATIENCE } });
});

test('transfers: one is accepted as pending, found at its Location, and completed', async () => {
  const [from, to] = [await open({ balance: 100 }), await open()];
  const sent = { from_account: from, to_account: to, amount: 40, description: 'Käse 🧀', metadata: { order: '7' } };
  const { body, headers } = await answered(202, 'Transfer', 'POST', '/transfers', sent);
  const { id, created_at } = body;
  const location = `/transfers/${String(id)}`;
  assert.match(String(id), MADE_ID);
  const pending = {
    id,
    kind: 'transfer',
    status: 'pending',
    failure_code: null,
    ...sent,
    parent_id: null,
    group_id: null,
    currency: null,
    request_id: id,
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

test('transfers: who prefers to wait is answered with the final state', async () => {
  const [from, to] = [await open({ balance: 100 }), await open()];
  const { body, headers } = await answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 100), WAIT);
  assert.deepEqual([body['status'], body['currency'], headers['preference-applied']], ['completed', 'USD', 'wait=20']);
  assert.equal(headers['location'], `/transfers/${String(body['id'])}`);
  assert.deepEqual(await look('Transfer', `/transfers/${String(body['id'])}`), body);
  const again = await answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 1), WAIT);
  assert.deepEqual([again.body['status'], again.body['failure_code']], ['failed', 'insufficient_funds']);
  assert.deepEqual(await look('Transfer', `/transfers/${String(again.body['id'])}`), again.body);
});

test('transfers: who waited in vain is told that it is pending, and it completes later', async (t) => {
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

test('transfers: the largest amount moves to the unit', async () => {
  const [from, to] = [await open({ currency: 'KRW', balance: LARGEST }), await open({ currency: 'KRW' })];
  const transfer = await settle(order(from, to, LARGEST));
  assert.deepEqual([transfer['status'], transfer['amount']], ['completed', LARGEST]);
  assert.deepEqual(await balancesOf(from, to), [0, LARGEST]);
  const back = await settle(order(to, from, LARGEST - 1));
  assert.equal(back['status'], 'completed');
  assert.deepEqual(await balancesOf(from, to), [LARGEST - 1, 1]);
});

test('transfers: money enters from @external and leaves through it, each currency by its own', async () => {
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

test('transfers: absent, null and empty metadata are kept apart, as are absent and given texts', async () => {
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

// What is refused at once.

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
  test(`transfers: ${name} is refused at once, and nothing is kept`, async () => {
    const counted = await count();
    const key = { 'idempotency-key': `refused: ${name}`.replaceAll(' ', '-') };
    await refused(code, 'POST', '/transfers', { ...order('A', 'B', 5), ...fields }, key);
    assert.deepEqual(await count(), counted);
  });
}

// What needs the books, and is kept with the code of the rule that refused it.

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
    const told = [transfer['status'], transfer['failure_code'], transfer['currency'], transfer['amount']];
    assert.deepEqual(told, ['failed', code, currency, sent['amount']]);
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

test('transfers: of many that together want more than there is, as many succeed as there is money for', async () => {
  const [from, to] = [await open({ balance: 25 }), await open()];
  const endings = await Promise.all(Array.from({ length: 20 }, () => settle(order(from, to, 2))));
  assert.equal(endings.filter(({ status }) => status === 'completed').length, 12);
  assert.equal(endings.filter((each) => each['failure_code'] === 'insufficient_funds').length, 8);
  assert.deepEqual(await balancesOf(from, to), [1, 24]);
});

// Idempotency.

test('transfers: the same key and request name the same transfer, as often as it is sent', async () => {
  const [from, to] = [await open({ balance: 100 }), await open()];
  const key = newKey();
  const first = await answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 30), { ...WAIT, ...key });
  assert.equal(first.headers['idempotency-replayed'], undefined);
  const counted = await count();
  for (const _ of [1, 2]) {
    const again = await answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 30), key);
    assert.deepEqual(again.body, first.body);
    assert.equal(again.headers['idempotency-replayed'], 'true');
    assert.equal(again.headers['location'], first.headers['location']);
  }
  assert.deepEqual(await count(), counted);
  assert.deepEqual(await balancesOf(from, to), [70, 30]);
});

test('transfers: a replay has a request id of its own, and tells that of the first', async () => {
  const to = await open();
  const headers = { ...WAIT, ...newKey() };
  const first = { ...headers, 'x-request-id': 'first-try' };
  const again = { ...headers, 'x-request-id': 'second-try' };
  await answered(200, 'Transfer', 'POST', '/transfers', order('@external', to, 1), first);
  const replayed = await answered(200, 'Transfer', 'POST', '/transfers', order('@external', to, 1), again);
  assert.deepEqual([replayed.headers['x-request-id'], replayed.body['request_id']], ['second-try', 'first-try']);
  assert.deepEqual(itemsOf(await look('TransferPage', '/transfers?request_id=second-try')), []);
});

test('transfers: a key stands for what a request says, not for how it is written', async () => {
  const to = await open();
  const key = newKey();
  const first = `{"from_account":"@external","to_account":"${to}","amount":5,"metadata":{"a":"1","b":"ä"}}`;
  const { body } = await answered(200, 'Transfer', 'POST', '/transfers', first, { ...WAIT, ...key });
  for (const written of [
    ` { "amount" : 5 , "to_account":"${to}",\r\n"from_account":"@external","metadata":{"b":"\\u00e4","a":"1"} } `,
    `{"description":null,"metadata":{"b":"ä","a":"1"},"to_account":"${to}","amount":5,"from_account":"\\u0040external"}`,
  ]) {
    const again = await answered(200, 'Transfer', 'POST', '/transfers', written, key);
    assert.deepEqual([again.body, again.headers['idempotency-replayed']], [body, 'true']);
  }
  assert.deepEqual(await balancesOf(to), [5]);
});

test('transfers: the same key with any other request is refused, and says whose it is', async () => {
  const [from, to, other] = [await open({ balance: 100 }), await open(), await open({ balance: 100 })];
  const key = newKey();
  const sent = { ...order(from, to, 5), metadata: { a: '1' } };
  const first = await answered(200, 'Transfer', 'POST', '/transfers', sent, { ...WAIT, ...key });
  const counted = await count();
  for (const change of [
    { amount: 6 },
    { from_account: other },
    { to_account: other },
    { from_account: to, to_account: from },
    { currency: 'USD' },
    { description: 'x' },
    { metadata: { a: '2' } },
    { metadata: { a: '1', b: '2' } },
    { metadata: {} },
    { metadata: null },
  ]) {
    const problem = await refused('idempotency_key_reused', 'POST', '/transfers', { ...sent, ...change }, key);
    assert.equal(problem['transfer_id'], first.body['id'], JSON.stringify(change));
  }
  assert.deepEqual(await count(), counted);
  assert.deepEqual(await balancesOf(from, to, other), [95, 5, 100]);
});

test('transfers: a failed transfer keeps its key, even when it would succeed now', async () => {
  const [from, to] = [await open(), await open()];
  const key = newKey();
  const failed = await answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 5), { ...WAIT, ...key });
  assert.equal(failed.body['failure_code'], 'insufficient_funds');
  assert.equal((await settle(order('@external', from, 5)))['status'], 'completed');
  const again = await answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 5), { ...WAIT, ...key });
  assert.deepEqual([again.body, again.headers['idempotency-replayed']], [failed.body, 'true']);
  assert.deepEqual(await balancesOf(from, to), [5, 0]);
});

test('transfers: a replay while it is pending says so, or waits with the first', async (t) => {
  const [from, to] = [await open({ balance: 5 }), await open()];
  const release = await hold(t, from);
  const key = newKey();
  const first = await answered(202, 'Transfer', 'POST', '/transfers', order(from, to, 5), key);
  const again = await answered(202, 'Transfer', 'POST', '/transfers', order(from, to, 5), key);
  assert.deepEqual([again.body, again.headers['idempotency-replayed']], [first.body, 'true']);
  const waiting = answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 5), { ...WAIT, ...key });
  await release();
  const { body } = await waiting;
  assert.deepEqual([body['id'], body['status']], [first.body['id'], 'completed']);
  assert.deepEqual(await balancesOf(from, to), [0, 5]);
});

test('transfers: of many with one key at the same time, one takes effect', async () => {
  const [from, to] = [await open({ balance: 100 }), await open()];
  const headers = { ...WAIT, ...newKey() };
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => answered(200, 'Transfer', 'POST', '/transfers', order(from, to, 3), headers)),
  );
  assert.equal(new Set(answers.map(({ body }) => body['id'])).size, 1);
  assert.equal(answers.filter(({ headers }) => headers['idempotency-replayed'] === undefined).length, 1);
  assert.deepEqual(await balancesOf(from, to), [97, 3]);
});

test('transfers: a key may be any visible ASCII, up to 255 characters, and is told from one that differs by case', async () => {
  const to = await open();
  const ids = new Set<unknown>();
  for (const key of ['!"#$%&\'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~', 'k'.repeat(255), `K${'k'.repeat(254)}`, '0']) {
    const headers = { 'idempotency-key': key };
    const first = await answered(202, 'Transfer', 'POST', '/transfers', order('@external', to, 1), headers);
    const again = await request<Row>(service, 'POST', '/transfers', order('@external', to, 1), { ...WAIT, ...headers });
    assert.deepEqual([again.status, again.body['id']], [200, first.body['id']]);
    ids.add(first.body['id']);
  }
  assert.equal(ids.size, 4);
  assert.deepEqual(await balancesOf(to), [4]);
});

test('transfers: a request that was refused does not use its key up', async () => {
  const to = await open();
  const key = newKey();
  await refused('amount_not_positive', 'POST', '/transfers', order('@external', to, 0), key);
  await refused('invalid_request', 'POST', '/transfers', { ...order('@external', to, 1), x: 1 }, key);
  const { headers } = await answered(202, 'Transfer', 'POST', '/transfers', order('@external', to, 1), key);
  assert.equal(headers['idempotency-replayed'], undefined);
});

// Request ids.

test('transfers: a request id is echoed, stored with the transfer, and found', async () => {
  const to = await open();
  const requestId = 'Order/2026:7+a=b@shop.example-x_1';
  const sent = await answered(202, 'Transfer', 'POST', '/transfers', order('@external', to, 1), {
    'x-request-id': requestId,
  });
  assert.deepEqual([sent.headers['x-request-id'], sent.body['request_id']], [requestId, requestId]);
  assert.notEqual(sent.body['id'], requestId);
  const second = await settle(order('@external', to, 2), { 'x-request-id': requestId });
  await awaitFinal(service, String(sent.body['id']));
  const found = await look('TransferPage', `/transfers?request_id=${encodeURIComponent(requestId)}`);
  assert.deepEqual(idsOf(itemsOf(found)).toSorted(), [sent.body['id'], second['id']].map(String).toSorted());
});

test('transfers: a request id is made where none is given or a malformed one, and serves as the id of the transfer', async () => {
  const to = await open();
  for (const headers of [{}, { 'x-request-id': 'not one' }, { 'x-request-id': 'x'.repeat(129) }]) {
    const sent = await answered(200, 'Transfer', 'POST', '/transfers', order('@external', to, 1), {
      ...WAIT,
      ...headers,
    });
    assert.match(String(sent.headers['x-request-id']), MADE_ID);
    assert.deepEqual(
      [sent.body['id'], sent.body['request_id']],
      [sent.headers['x-request-id'], sent.headers['x-request-id']],
    );
    const found = await look('TransferPage', `/transfers?request_id=${String(sent.body['id'])}`);
    assert.deepEqual(itemsOf(found), [sent.body]);
  }
});

test('transfers: a request id of 128 characters is one, also while the transfer is pending', async (t) => {
  const from = await open({ balance: 5 });
  const release = await hold(t, from);
  const requestId = 'r'.repeat(128);
  const sent = await answered(202, 'Transfer', 'POST', '/transfers', order(from, '@external', 1), {
    'x-request-id': requestId,
  });
  assert.deepEqual(itemsOf(await look('TransferPage', `/transfers?request_id=${requestId}`)), [sent.body]);
  await release();
  await awaitFinal(service, String(sent.body['id']));
});

// Lists.

test('transfers: the list of an account has all it is named in, pending first, on pages that join', async (t) => {
  const [own, other, stranger] = [
    await open({ balance: 100 }),
    await open({ balance: 100 }),
    await open({ balance: 9 }),
  ];
  const settled: Row[] = [];
  for (let round = 1; round <= 4; round += 1) {
    settled.push(await settle(order(own, other, round)));
    settled.push(await settle(order(other, own, 1000)));
    settled.push(await settle(order(other, own, round)));
    settled.push(await settle(order(own, 'NOBODY', round)));
    await settle(order(stranger, other, 1));
  }
  const release = await hold(t, own);
  const pending: Row[] = [];
  for (const sent of [order(own, other, 1), order(other, own, 1), order(own, 'NOBODY', 1), order(own, other, 5000)]) {
    pending.push((await answered(202, 'Transfer', 'POST', '/transfers', sent)).body);
  }
  const opening = (await listOf(own)).at(-1);
  assert.equal(opening?.['description'], 'Opening balance');
  const expected = [...pending.toReversed(), ...settled.toReversed(), opening];
  for (const limit of [1, 2, 3, 4, 5, 8, 20, 21, 22]) {
    assert.deepEqual(await allPages(`/transfers?account=${own}`, limit), expected, `limit=${limit}`);
  }
  for (const status of ['pending', 'completed', 'failed']) {
    const ofStatus = expected.filter((each) => each?.['status'] === status);
    assert.ok(ofStatus.length >= 4);
    for (const limit of [1, 3, 100]) {
      const items = await allPages(`/transfers?account=${own}&status=${status}`, limit);
      assert.deepEqual(items, ofStatus, `status=${status} limit=${limit}`);
    }
  }
  await release();
  for (const { id } of pending) await awaitFinal(service, String(id));
  const after = await listOf(own);
  assert.deepEqual(idsOf(after).toSorted(), idsOf(expected).toSorted());
  assert.deepEqual(
    [...after].sort((a, b) => Number(b['journal_number']) - Number(a['journal_number'])),
    after,
  );
});

test('transfers: the list of all has every transfer once, pending first, on pages that join', async (t) => {
  const from = await open({ balance: 10 });
  const release = await hold(t, from);
  const pending: Row[] = [];
  for (const amount of [1, 2, 3]) {
    pending.push((await answered(202, 'Transfer', 'POST', '/transfers', order(from, '@external', amount))).body);
  }
  const known = await database.query<{ id: string }>(
    'select id from transfers order by journal_number desc, journal_position desc',
  );
  const expected = [...idsOf(pending).toReversed(), ...known.map(({ id }) => id)];
  for (const limit of [1, 2, 7, expected.length - 1, expected.length, 1000]) {
    assert.deepEqual(idsOf(await allPages('/transfers', limit)), expected, `limit=${limit}`);
  }
  for (const status of ['completed', 'failed']) {
    const items = await allPages(`/transfers?status=${status}`, 5);
    const rows = await database.query('select id from transfers where status = $1', [status]);
    assert.equal(items.length, rows.length);
    assert.ok(items.every((item) => item['status'] === status));
  }
  assert.deepEqual(await allPages('/transfers?status=pending', 2), pending.toReversed());
  await release();
  for (const { id } of pending) await awaitFinal(service, String(id));
});

test('transfers: a list may be cut at instants, from the first one on and before the last', async (t) => {
  const [own, other] = [await open({ balance: 100 }), await open({ balance: 100 })];
  const all: Row[] = [];
  for (const amount of [1, 2, 1000, 3]) all.push(await settle(order(own, other, amount)));
  const release = await hold(t, own);
  all.push((await answered(202, 'Transfer', 'POST', '/transfers', order(own, other, 4))).body);
  const created = all.map((each) => String(each['created_at']));
  assert.equal(new Set(created).size, all.length);
  for (const [first, since] of created.entries()) {
    for (const [last, until] of created.entries()) {
      const expected = idsOf(all.slice(first, last)).toReversed();
      const found = await allPages(`/transfers?account=${own}&since=${since}&until=${until}`, 2);
      assert.deepEqual(idsOf(found), expected, `from ${first} to ${last}`);
      const everywhere = await allPages(`/transfers?since=${since}&until=${until}`, 2);
      assert.deepEqual(idsOf(everywhere), expected, `from ${first} to ${last}`);
    }
  }
  await release();
  await awaitFinal(service, String(all.at(-1)?.['id']));
});

test('transfers: filters narrow a list together', async () => {
  const [own, other, third] = [await open({ balance: 100 }), await open(), await open()];
  const tag = (name: string) => ({ 'x-request-id': `${own}-${name}` });
  const paid = await settle(order(own, other, 1), tag('a'));
  const failed = await settle(order(own, other, 1000), tag('a'));
  const elsewhere = await settle(order(own, third, 1), tag('a'));
  const tagged = await settle(order(own, other, 2), tag('b'));
  const find = async (query: string) => idsOf(await allPages(`/transfers?${query}`, 2));
  const of = (...transfers: Row[]) => idsOf(transfers);
  assert.deepEqual(await find(`request_id=${own}-a`), of(elsewhere, failed, paid));
  assert.deepEqual(await find(`request_id=${own}-a&status=completed`), of(elsewhere, paid));
  assert.deepEqual(await find(`request_id=${own}-a&account=${other}`), of(failed, paid));
  assert.deepEqual(await find(`request_id=${own}-a&account=${other}&status=failed`), of(failed));
  assert.deepEqual(await find(`account=${other}&status=completed`), of(tagged, paid));
  assert.deepEqual(await find(`account=${own}&request_id=${own}-b&status=failed`), []);
  assert.deepEqual(await find(`account=${other}&since=${String(failed['created_at'])}`), of(tagged, failed));
  assert.deepEqual(await find(`account=${other}&status=completed&until=${String(tagged['created_at'])}`), of(paid));
  assert.deepEqual(await find(`account=${third}&request_id=${own}-a&status=completed`), of(elsewhere));
  assert.deepEqual(await find(`account=${third}&currency=USD`), of(elsewhere));
  assert.deepEqual(await find('account=NOBODY-AT-ALL'), []);
});

test('transfers: a currency narrows a list, that of @external and that of all', async (t) => {
  const listed: { currency: string; from: string; expected: Row[] }[] = [];
  for (const currency of ['NZD', 'AUD']) {
    const [from, to] = [await open({ currency, overdraft_limit: 9 }), await open({ currency })];
    const settled = [await settle(order('@external', to, 5)), await settle(order(from, '@external', 10))];
    listed.push({ currency, from, expected: settled.toReversed() });
  }
  const releases = [];
  for (const { from } of listed) releases.push(await hold(t, from));
  for (const { from, expected } of listed) {
    expected.unshift((await answered(202, 'Transfer', 'POST', '/transfers', order(from, '@external', 1))).body);
  }
  for (const { currency, expected } of listed) {
    assert.deepEqual(
      expected.map(({ status }) => status),
      ['pending', 'failed', 'completed'],
    );
    assert.deepEqual(await allPages(`/transfers?account=@external&currency=${currency}`, 2), expected);
    assert.deepEqual(await allPages(`/transfers?currency=${currency}&since=2026-01-01T00:00:00Z`, 2), expected);
  }
  for (const release of releases) await release();
  for (const { expected } of listed) await awaitFinal(service, String(expected[0]?.['id']));
});

const UNINDEXED = ['currency=USD', 'metadata=order', 'currency=USD&metadata=order'];
const UNBOUNDED = ['', '&status=completed', '&status=failed', '&until=2026-01-01T00:00:00Z', '&limit=1'];
const BOUNDED = [
  'account=NOBODY-AT-ALL',
  'since=2026-01-01T00:00:00Z',
  'status=pending',
  'request_id=none',
  `group_id=${crypto.randomUUID()}`,
  `parent_id=${crypto.randomUUID()}`,
];

test('transfers: a filter without an index needs an account, a window or an id', async () => {
  for (const filter of UNINDEXED) {
    for (const more of UNBOUNDED) {
      const problem = await refused('filter_too_wide', 'GET', `/transfers?${filter}${more}`);
      assert.match(String(problem['detail']), /`account`, .*`since`/, filter);
    }
    for (const bound of BOUNDED) await look('TransferPage', `/transfers?${filter}&${bound}`);
  }
  await look('TransferPage', '/transfers?currency=USD&metadata=order:7');
  for (const more of UNBOUNDED) await look('TransferPage', `/transfers?${more.slice(1)}`);
});

// A full queue.

test('transfers: a full queue refuses with 429, keeps nothing, and lets in again when it has drained', async (t) => {
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

test('transfers: after all this the promises are kept', async () => {
  await checkPromises(database, { nothingPending: true });
});

/** Sends a request and holds its answer against the schema of this name: every field there and right, and no other. */
async function answered(
  status: number,
  view: AnswerName,
  method: Method,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
): Promise<Answer<Row>> {
  const answer = await request(service, method, path, body, headers);
  assert.equal(answer.status, status, answer.text);
  assert.ok(answer.headers['x-request-id']);
  assert.equal(answer.headers['content-type'], status < 400 ? 'application/json' : 'application/problem+json');
  // Parsing leaves out what the view does not have.
  assert.deepEqual(ANSWER_VIEWS[view].parse(answer.body), answer.body);
  return answer;
}

async function refused(
  code: ProblemCode,
  method: Method,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
): Promise<Row> {
  const answer = await answered(PROBLEMS[code].status, 'Problem', method, path, body, headers);
  assert.equal(answer.body['code'], code, answer.text);
  return answer.body;
}

async function look(view: AnswerName, path: string): Promise<Row> {
  return (await answered(200, view, 'GET', path)).body;
}

/** Opens an account and returns its number. */
async function open(fields: Row = {}): Promise<string> {
  lastNumber += 1;
  const account = { account_number: `ACC-${lastNumber}`, name: 'Somebody', ...fields };
  const { body } = await answered(201, 'Account', 'POST', '/accounts', account);
  return String(body['account_number']);
}

async function openClosed(): Promise<string> {
  const account = await open();
  const { status, text } = await request(service, 'DELETE', `/accounts/${account}`);
  assert.equal(status, 204, text);
  return account;
}

/** Orders a transfer and returns it in its final state. */
async function settle(sent: Row, headers: Record<string, string> = {}): Promise<Row> {
  const { body } = await answered(200, 'Transfer', 'POST', '/transfers', sent, { ...WAIT, ...headers });
  return body;
}

/** Locks an account, so that its transfers stay pending until the returned function is called, or the test ends. */
async function hold(t: TestContext, account: string): Promise<() => Promise<void>> {
  const client = await database.connect();
  let held = true;
  const release = async (): Promise<void> => {
    if (held) await client.query('rollback');
    held = false;
  };
  onEnd(t, release);
  await client.query('begin');
  const locked = await client.query('select from accounts where account_number = $1 for update', [account]);
  assert.equal(locked.rowCount, 1);
  return release;
}

async function balancesOf(...accounts: string[]): Promise<unknown[]> {
  const shown = await Promise.all(accounts.map((account) => look('Account', `/accounts/${account}`)));
  return shown.map(({ balance }) => balance);
}

async function listOf(account: string, more = ''): Promise<Row[]> {
  return itemsOf(await look('TransferPage', `/transfers?account=${account}&limit=1000${more}`));
}

/** The items of all pages, following `next` to its end. */
async function allPages(path: string, limit: number): Promise<Row[]> {
  const items: Row[] = [];
  const seen = new Set<string>();
  let after = '';
  for (;;) {
    const page = await look('TransferPage', `${path}${path.includes('?') ? '&' : '?'}limit=${limit}${after}`);
    items.push(...itemsOf(page));
    for (const item of itemsOf(page)) seen.add(JSON.stringify(item));
    assert.equal(seen.size, items.length, 'an item comes twice');
    assert.ok(itemsOf(page).length <= limit);
    const { next } = page;
    if (typeof next !== 'string') return items;
    assert.equal(itemsOf(page).length, limit);
    after = `&after=${encodeURIComponent(next)}`;
  }
}

/** How many rows each table has. */
async function count(): Promise<Row | undefined> {
  const [row] = await database.query(
    `select (select count(*) from accounts) as accounts, (select count(*) from pending_transfers) as pending,
       (select count(*) from transfers) as transfers, (select count(*) from entries) as entries,
       (select count(*) from journal) as journal, (select count(*) from idempotency_keys) as keys`,
  );
  return row;
}

function order(from: string, to: string, amount: number): Row {
  return { from_account: from, to_account: to, amount };
}

function newKey(): Record<string, string> {
  return { 'idempotency-key': crypto.randomUUID() };
}

function itemsOf(page: Row): Row[] {
  const { items } = page;
  assert.ok(Array.isArray(items));
  return items;
}

function idsOf(transfers: readonly (Row | undefined)[]): string[] {
  return transfers.map((each) => String(each?.['id']));
}
