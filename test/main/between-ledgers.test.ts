// Goal: a caller moves money to another ledger with one request, sees it pending until both ledgers have settled it, and
// moves nothing if the other ledger refuses it. Method: requests over HTTP, and the books of both ledgers.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { z } from 'zod';
import { onEnd } from '../support/cleanup.ts';
import { type Answer, awaitFinal, request } from '../support/service.ts';
import { checkPromises } from '../support/promises/check.ts';
import { toStepId } from '../../src/domain/between-ledgers.ts';
import { createHash } from 'node:crypto';
import { answered, database, look, refused, type Row, service, start, WAIT } from './transfers.ts';

const SHOP = '/ledgers/shop';

before(async (t) => {
  await start(t);
  onEnd(t, async () => await checkPromises(database, { nothingPending: true }));
  await request(service, 'POST', '/ledgers', { name: 'shop' });
  const open = async (prefix: string, number: string, balance = 0, currency = 'USD') => {
    const body = { account_number: number, name: number, balance, currency };
    assert.equal((await request(service, 'POST', `${prefix}/accounts`, body)).status, 201);
  };
  await open('', 'ANN', 10_000);
  await open('', 'EVE', 500);
  await open('', 'YEN', 500, 'JPY');
  await open(SHOP, 'BOB', 1000);
  await open(SHOP, 'ICE');
});

async function send(fields: Row = {}, headers: Record<string, string> = WAIT): Promise<Answer<Row>> {
  const body = { from_account: 'ANN', to_account: 'BOB', to_ledger: 'shop', amount: 100, ...fields };
  return await request(service, 'POST', '/transfers', body, headers);
}

const rowsOf = (value: unknown): Row[] => z.array(z.record(z.string(), z.unknown())).parse(value);
const balanceOf = async (path: string): Promise<unknown> => (await request(service, 'GET', path)).body['balance'];
const idOf = ({ body }: Answer<Row>): string => String(body['id']);

test('between ledgers: a caller that waits gets the final state of both ledgers', async () => {
  const [ann, bob] = [await balanceOf('/accounts/ANN'), await balanceOf(`${SHOP}/accounts/BOB`)];
  const headers = { ...WAIT, 'x-request-id': 'invoice-7' };
  const sent = await answered(
    200,
    'Transfer',
    'POST',
    '/transfers',
    {
      from_account: 'ANN',
      to_account: 'BOB',
      to_ledger: 'shop',
      amount: 250,
      description: 'Invoice 7',
      metadata: { invoice: '7' },
    },
    headers,
  );
  const shown = sent.body;
  const id = idOf(sent);
  assert.equal(sent.headers['location'], `/transfers/${id}`);
  assert.deepEqual(
    [
      shown['status'],
      shown['kind'],
      shown['from_account'],
      shown['to_account'],
      shown['to_ledger'],
      shown['from_ledger'],
    ],
    ['completed', 'hold', 'ANN', 'BOB', 'shop', undefined],
  );
  assert.equal(await balanceOf('/accounts/ANN'), Number(ann) - 250);
  assert.equal(await balanceOf(`${SHOP}/accounts/BOB`), Number(bob) + 250);
  assert.deepEqual(await look('Transfer', `/transfers/${id}`), sent.body);
  const credit = await look('Transfer', `${SHOP}/transfers/${id}`);
  assert.deepEqual(
    [
      'kind',
      'status',
      'from_account',
      'from_ledger',
      'to_account',
      'to_ledger',
      'amount',
      'description',
      'request_id',
    ].map((name) => credit[name]),
    ['transfer', 'completed', 'ANN', 'main', 'BOB', undefined, 250, 'Invoice 7', 'invoice-7'],
  );
  assert.deepEqual(credit['metadata'], { invoice: '7' });
  const captureId = toStepId(createHash('sha256').update(`${id}:capture`).digest());
  const capture = await look('Transfer', `/transfers/${captureId}`);
  assert.deepEqual(
    [capture['kind'], capture['status'], capture['parent_id'], capture['completed_at']],
    ['capture', 'completed', id, shown['completed_at']],
  );
});

test('between ledgers: a caller that does not wait is answered 202, and sees the end later', async () => {
  const sent = await send({}, {});
  assert.deepEqual([sent.status, sent.body['status'], sent.body['to_ledger']], [202, 'pending', 'shop']);
  const final = await awaitFinal(service, idOf(sent));
  assert.equal(final['status'], 'completed');
});

test('between ledgers: one idempotency key is one transfer', async () => {
  const before = Number(await balanceOf(`${SHOP}/accounts/BOB`));
  const key = { ...WAIT, 'idempotency-key': 'between-1' };
  const [first, again] = [await send({}, key), await send({}, key)];
  assert.equal(again.headers['idempotency-replayed'], 'true');
  assert.deepEqual(again.body, first.body);
  assert.equal(await balanceOf(`${SHOP}/accounts/BOB`), before + 100);
  assert.equal((await send({ to_account: 'ICE' }, key)).body['code'], 'idempotency_key_reused');
});

test('between ledgers: a transfer that the other ledger refuses fails with its code, and moves nothing', async () => {
  await request(service, 'PATCH', `${SHOP}/accounts/ICE`, { status: 'frozen' });
  const ann = await look('Account', '/accounts/ANN');
  for (const [to, code, from = 'ANN'] of [
    ['NOSUCH', 'destination_not_found'],
    ['ICE', 'destination_frozen'],
    ['BOB', 'currency_mismatch', 'YEN'],
  ] as const) {
    const sent = await send({ from_account: from, to_account: to });
    assert.deepEqual([sent.status, sent.body['status'], sent.body['failure_code']], [200, 'failed', code], sent.text);
    assert.notEqual(sent.body['completed_at'], null);
    const credit = await look('Transfer', `${SHOP}/transfers/${idOf(sent)}`);
    assert.deepEqual([credit['status'], credit['failure_code']], ['failed', code]);
  }
  assert.deepEqual({ ...(await look('Account', '/accounts/ANN')) }, ann);
});

test('between ledgers: a transfer that its own ledger refuses never reaches the other', async () => {
  const sent = await send({ amount: 9_000_000 });
  assert.deepEqual([sent.body['status'], sent.body['failure_code']], ['failed', 'insufficient_funds']);
  await refused('transfer_not_found', 'GET', `${SHOP}/transfers/${idOf(sent)}`);
  const unmet = await send({ if: { min_available_after: 9_000_000 } });
  assert.equal(unmet.body['failure_code'], 'min_available_not_met');
});

test('between ledgers: an account may have the same number in both ledgers', async () => {
  const body = { account_number: 'ANN', name: 'Ann at the shop' };
  assert.equal((await request(service, 'POST', `${SHOP}/accounts`, body)).status, 201);
  const sent = await send({ to_account: 'ANN' });
  assert.equal(sent.body['status'], 'completed', sent.text);
  const back = await request(
    service,
    'POST',
    `${SHOP}/transfers`,
    {
      from_account: 'ANN',
      to_account: 'ANN',
      to_ledger: 'main',
      amount: 100,
    },
    WAIT,
  );
  assert.equal(back.body['status'], 'completed', back.text);
});

test('between ledgers: the accounts of the ledgers are opposite, are read like any other, and are changed by no caller', async () => {
  const there = await look('Account', '/accounts/@ledger:shop?currency=USD');
  const here = await look('Account', `${SHOP}/accounts/@ledger:main?currency=USD`);
  assert.equal(Number(there['balance']) + Number(here['balance']), 0);
  assert.equal(there['available'], null);
  const { items } = await look('EntryPage', '/accounts/@ledger:shop/entries?currency=USD');
  assert.ok(Array.isArray(items) && items.length > 0);
  const listed = await look('TransferPage', '/transfers?account=@ledger:shop&currency=USD');
  assert.ok(Array.isArray(listed['items']) && listed['items'].length > 0);
  const change = await request(service, 'PATCH', '/accounts/@ledger:shop', { status: 'frozen' });
  assert.equal(change.status, 404, change.text);
  await refused('account_not_found', 'DELETE', '/accounts/@ledger:shop');
  for (const body of [
    { from_account: '@ledger:shop', to_account: 'ANN', amount: 1 },
    { from_account: 'ANN', to_account: '@ledger:shop', amount: 1 },
  ]) {
    await refused('invalid_request', 'POST', '/transfers', body);
    await refused('invalid_request', 'POST', '/holds', body);
  }
  await refused('invalid_request', 'POST', '/accounts', { account_number: '@ledger:x', name: 'X' });
  // A page that ends with such an account has a cursor.
  const page = await look('AccountPage', '/accounts?limit=3');
  assert.match(String(page['next']), /^@ledger:shop:JPY$/);
  const next = await look('AccountPage', `/accounts?limit=1&after=${String(page['next'])}`);
  assert.equal(rowsOf(next['items'])[0]?.['account_number'], '@ledger:shop');
});

test('between ledgers: parts of a transfer cannot be captured, voided or reversed by a caller', async () => {
  const id = idOf(await send());
  await refused('between_ledgers', 'POST', `/holds/${id}/capture`, {});
  await refused('between_ledgers', 'POST', `/holds/${id}/void`, {});
  await refused('between_ledgers', 'POST', `/transfers/${id}/reversals`, {});
  await refused('between_ledgers', 'POST', `${SHOP}/transfers/${id}/reversals`, {});
  const captureId = toStepId(createHash('sha256').update(`${id}:capture`).digest());
  await refused('between_ledgers', 'POST', `/transfers/${captureId}/reversals`, {});
});

test('between ledgers: what cannot be done is refused before anything is stored', async () => {
  const count = async () => (await database.query('select from transfers')).length;
  const before = await count();
  const tested = await request(service, 'POST', '/ledgers', { name: 'tested', clock: 'manual' });
  assert.equal(tested.status, 201, tested.text);
  const body = { from_account: 'ANN', to_account: 'BOB', to_ledger: 'shop', amount: 1 };
  const cases: [pointer: string, body: Row, path?: string][] = [
    ['/to_ledger', { ...body, to_ledger: 'main' }],
    ['/to_ledger', { ...body, to_ledger: 'nosuch' }],
    ['/to_ledger', { ...body, to_ledger: 'tested' }],
    ['/to_ledger', body, '/ledgers/tested/transfers'],
    ['/to_account', { ...body, to_account: '@external' }],
    ['/from_account', { ...body, from_account: '@external' }],
    ['/to_ledger', body, '/transfers?dry_run=true'],
    ['/transfers/1/to_ledger', { atomic: true, transfers: [{ ...body, to_ledger: undefined }, body] }],
  ];
  for (const [pointer, sent, path = '/transfers'] of cases) {
    const problem = await refused('between_ledgers', 'POST', path, sent);
    const [error] = rowsOf(problem['errors']);
    assert.equal(error?.['pointer'], pointer, JSON.stringify(problem));
  }
  await refused('invalid_request', 'POST', '/transfers', { ...body, to_ledger: 'No Name' });
  await refused('invalid_request', 'POST', '/holds', body);
  assert.equal(await count(), before);
});

test('between ledgers: members of a group that is not atomic go to several ledgers', async () => {
  const member = { from_account: 'ANN', to_account: 'BOB', amount: 5 };
  const sent = await answered(
    200,
    'Group',
    'POST',
    '/transfers',
    {
      transfers: [
        { ...member, to_ledger: 'shop' },
        { ...member, to_account: 'EVE' },
        { ...member, to_ledger: 'shop', to_account: 'NOSUCH' },
      ],
    },
    WAIT,
  );
  const members = rowsOf(sent.body['transfers']);
  assert.deepEqual(
    members.map(({ status, failure_code, to_ledger }) => [status, failure_code, to_ledger]),
    [
      ['completed', null, 'shop'],
      ['completed', null, undefined],
      ['failed', 'destination_not_found', 'shop'],
    ],
  );
});

test('between ledgers: lists by status, and events, show a transfer as it stands', async () => {
  const [delivered, failed] = [await send(), await send({ to_account: 'NOSUCH' })];
  const locked = await database.connect();
  await locked.query(`begin; select from accounts where ledger_id = 2 and account_number = 'BOB' for update`);
  const open = await send({}, { prefer: 'wait=1' });
  assert.deepEqual([open.status, open.body['status']], [202, 'pending']);
  const ids = async (query: string) => {
    const page = await look('TransferPage', `/transfers?limit=1000&${query}`);
    return rowsOf(page['items']).map(({ id, status }) => [id, status]);
  };
  const has = (list: unknown[][], { body }: Answer<Row>) => list.some(([id]) => id === body['id']);
  for (const scope of ['', '&account=ANN']) {
    for (const [status, shown] of [
      ['pending', open],
      ['completed', delivered],
      ['failed', failed],
    ] as const) {
      const list = await ids(`status=${status}${scope}`);
      for (const each of [open, delivered, failed]) assert.equal(has(list, each), each === shown, `${status}${scope}`);
      assert.ok(
        list.every(([, each]) => each === status),
        JSON.stringify(list),
      );
    }
    const all = await ids(scope.slice(1));
    assert.deepEqual(
      [open, delivered, failed].map(({ body }) => all.find(([id]) => id === body['id'])?.[1]),
      ['pending', 'completed', 'failed'],
    );
  }
  await locked.query('rollback');
  assert.equal((await awaitFinal(service, idOf(open)))['status'], 'completed');
  const { items } = await look('EventPage', '/events?limit=1000');
  const records = rowsOf(items).flatMap(({ transfers }) => rowsOf(transfers));
  const typesOf = (id: string) =>
    records.filter((record) => record['id'] === id || record['parent_id'] === id).map(({ type }) => type);
  assert.deepEqual(typesOf(idOf(delivered)), ['hold.opened', 'transfer.completed']);
  assert.deepEqual(typesOf(idOf(failed)), ['hold.opened', 'transfer.failed']);
});
