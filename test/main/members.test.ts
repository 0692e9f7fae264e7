// Every refusal of a request names the members that it is about, by JSON pointers: those that the schema refuses, and
// those that a rule refuses after it, alone and in a list.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { PROBLEMS, type ProblemCode } from '../../src/main/http/problem.ts';
import { createDatabase } from '../support/database.ts';
import { makeKey, type TestKey } from '../support/keys.ts';
import { request, type Service, startService } from '../support/service.ts';

type Errors = { code: string; errors?: { pointer: string; detail: string }[] };

const TRANSFER = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
const ID = '01a215bb-257a-7d72-8929-6b781d8cb553';

let service: Service;
let admin: TestKey;
/** It may use the accounts of a shop, order at most 100 minor units, and neither fund nor administer accounts. */
let shop: TestKey;

before(async (t) => {
  const database = await createDatabase(t);
  admin = await makeKey(database);
  shop = await makeKey(database, {
    scopes: ['accounts:write', 'transfers:write', 'holds:write', 'transfers:read'],
    limits: { accountPrefix: 'SHOP', amountMax: 100n },
  });
  service = await startService(t, { database, env: { THREADS: '1', LOG_LEVEL: 'warn' } });
  for (const account_number of ['ANN', 'BOB', 'SHOP-1', 'SHOP-2']) {
    const account = { account_number, name: 'x', currency: 'USD', balance: 1000, overdraft_limit: 50 };
    const { status, text } = await request(service, 'POST', '/accounts', account, admin.headers);
    assert.equal(status, 201, text);
  }
});

async function pointersOf(
  code: ProblemCode,
  method: 'GET' | 'POST' | 'PATCH',
  path: string,
  { body, key = admin }: { body?: unknown; key?: TestKey } = {},
): Promise<string[]> {
  const answer = await request<Errors>(service, method, path, body, { prefer: 'wait=9', ...key.headers });
  assert.deepEqual([answer.status, answer.body.code], [PROBLEMS[code].status, code], answer.text);
  return (answer.body.errors ?? []).map(({ pointer }) => pointer);
}

/** A list of valid items in which those at the named places are replaced. */
function listOf(count: number, item: object, bad: Record<number, object>): object[] {
  return Array.from({ length: count }, (_, index) => ({ ...item, ...bad[index] }));
}

test('members: a group names each member that its schema refuses', async () => {
  const transfers = listOf(30, TRANSFER, { 17: { amount: '5' }, 3: { extra: 1 }, 20: { currency: 'XXQ' } });
  assert.deepEqual(await pointersOf('invalid_request', 'POST', '/transfers', { body: { transfers } }), [
    '/transfers/3',
    '/transfers/17/amount',
    '/transfers/20/currency',
  ]);
});

test('members: a group names each member that cannot be settled, and its first one decides the code', async () => {
  const transfers = listOf(30, TRANSFER, { 17: { amount: 0 }, 3: { to_account: 'ANN' }, 20: { amount: -1 } });
  assert.deepEqual(await pointersOf('same_account', 'POST', '/transfers', { body: { transfers } }), [
    '/transfers/3/to_account',
    '/transfers/17/amount',
    '/transfers/20/amount',
  ]);
  const both = listOf(2, TRANSFER, { 1: { to_account: 'ANN', amount: 0 } });
  assert.deepEqual(await pointersOf('amount_not_positive', 'POST', '/transfers', { body: { transfers: both } }), [
    '/transfers/1/amount',
    '/transfers/1/to_account',
  ]);
});

test('members: at most 20 errors are reported', async () => {
  const transfers = listOf(100, { ...TRANSFER, amount: 0 }, {});
  const pointers = await pointersOf('amount_not_positive', 'POST', '/transfers', { body: { transfers } });
  assert.deepEqual(
    pointers,
    Array.from({ length: 20 }, (_, index) => `/transfers/${index}/amount`),
  );
});

test('members: transfers, holds, captures and reversals name their own member', async () => {
  const nothing = { ...TRANSFER, amount: 0 };
  for (const path of ['/transfers', '/holds']) {
    assert.deepEqual(await pointersOf('amount_not_positive', 'POST', path, { body: nothing }), ['/amount']);
    const same = { ...TRANSFER, to_account: 'ANN' };
    assert.deepEqual(await pointersOf('same_account', 'POST', path, { body: same }), ['/to_account']);
    const unknown = { ...TRANSFER, currency: 'XXQ' };
    assert.deepEqual(await pointersOf('invalid_request', 'POST', path, { body: unknown }), ['/currency']);
  }
  const headers = { prefer: 'wait=9', ...admin.headers };
  const hold = await request<{ id: string }>(service, 'POST', '/holds', TRANSFER, headers);
  const moved = await request<{ id: string }>(service, 'POST', '/transfers', TRANSFER, headers);
  for (const path of [`/holds/${hold.body.id}/capture`, `/transfers/${moved.body.id}/reversals`]) {
    assert.deepEqual(await pointersOf('amount_not_positive', 'POST', path, { body: { amount: 0 } }), ['/amount']);
    const body = { amount: '1', description: '' };
    assert.deepEqual(await pointersOf('invalid_request', 'POST', path, { body }), ['/amount', '/description']);
  }
  // What the path names is not a member.
  assert.deepEqual(await pointersOf('hold_not_found', 'POST', `/holds/${ID}/capture`, { body: {} }), []);
});

test('members: openings name each account that is refused', async () => {
  const names = { 0: { account_number: 'NEW-0' }, 1: { account_number: 'NEW-1' }, 2: { account_number: 'NEW-2' } };
  const open = async (code: ProblemCode, bad: Record<number, object>) =>
    await pointersOf(code, 'POST', '/accounts', { body: { accounts: listOf(5, { name: 'x' }, bad) } });
  assert.deepEqual(await open('invalid_request', { 3: { email: 'x' }, 4: { balance: -1 } }), [
    '/accounts/3/email',
    '/accounts/4/balance',
  ]);
  assert.deepEqual(
    await open('account_exists', { ...names, 3: { account_number: 'NEW-0' }, 4: { account_number: 'NEW-1' } }),
    ['/accounts/3/account_number', '/accounts/4/account_number'],
  );
  assert.deepEqual(
    await open('account_exists', { ...names, 1: { account_number: 'ANN' }, 4: { account_number: 'BOB' } }),
    ['/accounts/1/account_number', '/accounts/4/account_number'],
  );
  assert.deepEqual(
    await pointersOf('account_exists', 'POST', '/accounts', { body: { name: 'x', account_number: 'ANN' } }),
    ['/account_number'],
  );
});

test('members: the limits of a key name each member that exceeds them', async () => {
  const own = { from_account: 'SHOP-1', to_account: 'SHOP-2', amount: 1 };
  const transfers = listOf(9, own, { 2: { to_account: 'ANN' }, 4: { amount: 101 }, 6: { from_account: 'BOB' } });
  assert.deepEqual(await pointersOf('not_allowed', 'POST', '/transfers', { body: { transfers }, key: shop }), [
    '/transfers/2/to_account',
    '/transfers/4/amount',
    '/transfers/6/from_account',
  ]);
  const funded = listOf(3, own, { 1: { from_account: '@external' } });
  assert.deepEqual(
    await pointersOf('insufficient_scope', 'POST', '/transfers', { body: { transfers: funded }, key: shop }),
    ['/transfers/1/from_account'],
  );
  assert.deepEqual(await pointersOf('not_allowed', 'POST', '/holds', { body: { ...own, amount: 101 }, key: shop }), [
    '/amount',
  ]);
  const open = async (code: ProblemCode, bad: Record<number, object>) => {
    const accounts = listOf(4, { name: 'x' }, { 0: {}, 1: {}, 2: {}, 3: {}, ...bad }).map((account, index) => ({
      account_number: `SHOP-NEW-${index}`,
      ...account,
    }));
    return await pointersOf(code, 'POST', '/accounts', { body: { accounts }, key: shop });
  };
  assert.deepEqual(await open('not_allowed', { 3: { account_number: 'OTHER' } }), ['/accounts/3/account_number']);
  assert.deepEqual(await open('insufficient_scope', { 1: { overdraft_limit: 1 }, 2: { overdraft_limit: 1 } }), [
    '/accounts/1/overdraft_limit',
    '/accounts/2/overdraft_limit',
  ]);
  assert.deepEqual(await open('insufficient_scope', { 2: { balance: 1 } }), ['/accounts/2/balance']);
});

test('members: a change of an account names each field that cannot be changed so', async () => {
  const change = async (code: ProblemCode, body: object) =>
    await pointersOf(code, 'PATCH', '/accounts/SHOP-1', { body });
  assert.deepEqual(await change('immutable_field', { balance: 1, currency: 'EUR', name: 'x' }), [
    '/balance',
    '/currency',
  ]);
  const spend = { from_account: 'SHOP-1', to_account: 'SHOP-2', amount: 1040 };
  const headers = { prefer: 'wait=9', ...admin.headers };
  assert.equal((await request(service, 'POST', '/transfers', spend, headers)).body['status'], 'completed');
  assert.deepEqual(await change('overdraft_in_use', { overdraft_limit: 1 }), ['/overdraft_limit']);
});

test('members: query parameters are named too', async () => {
  assert.deepEqual(await pointersOf('invalid_request', 'GET', '/transfers?limit=0&status=x'), ['/status', '/limit']);
  for (const path of ['/transfers', '/accounts', '/ledgers', '/approvals', '/audit-log']) {
    assert.deepEqual(await pointersOf('invalid_request', 'GET', `${path}?after=?`), ['/after'], path);
  }
  const external = await pointersOf('invalid_request', 'GET', '/transfers?account=@external');
  assert.deepEqual(external, ['/currency']);
});
