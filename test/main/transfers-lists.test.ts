// Transfers over HTTP, on a real database. Every answer is validated against its schema in the OpenAPI document, and
// may have nothing else. A row lock in SQL keeps transfers pending. Here: lists.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { checkPromises } from '../support/promises/check.ts';
import { awaitFinal } from '../support/service.ts';
import {
  allPages,
  answered,
  database,
  hold,
  idsOf,
  listOf,
  look,
  open,
  order,
  refused,
  type Row,
  service,
  settle,
  start,
} from './transfers.ts';

before(start);

// Lists.

test('transfers: the list of an account has all its transfers, pending first, on contiguous pages', async (t) => {
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
    settled.push(await settle(order(own, 'NOSUCH', round)));
    await settle(order(stranger, other, 1));
  }
  const release = await hold(t, own);
  const pending: Row[] = [];
  for (const sent of [order(own, other, 1), order(other, own, 1), order(own, 'NOSUCH', 1), order(own, other, 5000)]) {
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

test('transfers: the list of a ledger has every transfer once, pending first, on contiguous pages', async (t) => {
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

test('transfers: a list may be bounded by instants, including the first and excluding the last', async (t) => {
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

test('transfers: filters combine', async () => {
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
  assert.deepEqual(await find('account=NO-SUCH-ACCOUNT'), []);
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

const UNINDEXED = [
  'currency=USD',
  'metadata=order',
  'currency=USD&metadata=order',
  'kind=hold',
  'kind=capture',
  'amount_min=1',
  'amount_max=5',
  'description=Rent',
];
const UNBOUNDED = ['', '&status=completed', '&status=failed', '&until=2026-01-01T00:00:00Z', '&limit=1'];
const BOUNDED = [
  'account=NO-SUCH-ACCOUNT',
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

test('transfers: the promises are kept afterwards', async () => {
  await checkPromises(database, { nothingPending: true });
});
