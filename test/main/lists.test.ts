// Lists over HTTP, on a real database: every filter, in both directions, on contiguous pages, and while rows are added.
// The lists of transfers by account, window and id are in transfers-lists.test.ts.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { AnswerName } from '../../src/main/api/views.ts';
import { checkPromises } from '../support/promises/check.ts';
import { awaitFinal, request } from '../support/service.ts';
import { until } from '../support/until.ts';
import {
  answered,
  database,
  hold as lock,
  idsOf,
  itemsOf,
  look,
  open,
  order,
  refused,
  type Row,
  service,
  settle,
  start,
  WAIT,
} from './transfers.ts';

before(start);

function pointersOf(problem: Row): unknown[] {
  return itemsOf({ items: problem['errors'] }).map(({ pointer }) => pointer);
}

/** The items of all pages that follow a cursor. */
async function pagesOf(view: AnswerName, path: string, limit: number, from?: string): Promise<Row[]> {
  const items: Row[] = [];
  let after = from;
  do {
    const cursor = after === undefined ? '' : `&after=${encodeURIComponent(after)}`;
    const page = await look(view, `${path}${path.includes('?') ? '&' : '?'}limit=${limit}${cursor}`);
    items.push(...itemsOf(page));
    after = typeof page['next'] === 'string' ? page['next'] : undefined;
    assert.equal(itemsOf(page).length, after === undefined ? itemsOf(page).length : limit);
  } while (after !== undefined);
  return items;
}

/** Checks a list against the expected items, the newest or smallest first: in both directions, with several limits. */
async function checkList(
  view: AnswerName,
  path: string,
  expected: readonly Row[],
  [first, last]: readonly [string, string] = ['newest', 'oldest'],
): Promise<void> {
  const separator = path.includes('?') ? '&' : '?';
  assert.deepEqual(await pagesOf(view, path, 1000), expected, path);
  for (const limit of [1, 2, 3, Math.max(1, expected.length), 1000]) {
    assert.deepEqual(await pagesOf(view, `${path}${separator}order=${first}`, limit), expected, `${path} ${limit}`);
    const reversed = await pagesOf(view, `${path}${separator}order=${last}`, limit);
    assert.deepEqual(reversed, expected.toReversed(), `${path} ${last} ${limit}`);
  }
  // From a cursor, the other direction goes back.
  for (const [index] of expected.entries()) {
    const { next } = await look(view, `${path}${separator}order=${first}&limit=${index + 1}`);
    if (typeof next !== 'string') continue;
    const back = await pagesOf(view, `${path}${separator}order=${last}`, 1000, next);
    assert.deepEqual(back, expected.slice(0, index).toReversed(), `${path} back from ${index}`);
  }
}

async function reserve(from: string, to: string, amount: number, more: Row = {}): Promise<Row> {
  return (await answered(200, 'Transfer', 'POST', '/holds', { ...order(from, to, amount), ...more }, WAIT)).body;
}

async function end(hold: Row, how: 'capture' | 'void', body: Row = {}): Promise<void> {
  const { body: ended } = await answered(200, 'Transfer', 'POST', `/holds/${String(hold['id'])}/${how}`, body, WAIT);
  assert.equal(ended['status'], 'completed');
}

test('lists: holds of an account, by state, in both directions', async (t) => {
  const [own, other] = [await open({ balance: 1000 }), await open({ balance: 1000 })];
  const made: Row[] = [];
  for (const amount of [100, 10, 20, 30, 40, 5000]) made.push(await reserve(own, other, amount));
  const [part, captured, released, voided, untouched, failed] = made;
  assert.ok(part && captured && released && voided && untouched && failed);
  await reserve(other, own, 7);
  await end(part, 'capture', { amount: 60 });
  await end(captured, 'capture');
  await end(released, 'capture', { amount: 5, final: true });
  await end(voided, 'void');
  const mortal = await reserve(own, other, 3, { expires_in: 1 });
  const show = async (hold: Row) => await look('Hold', `/holds/${String(hold['id'])}`);
  await until(async () => (await show(mortal))['state'] === 'expired', { what: 'the expiry of a hold' });
  const unlock = await lock(t, own);
  const { body: pending } = await answered(202, 'Transfer', 'POST', '/holds', order(own, other, 2));
  const all = await Promise.all([pending, mortal, untouched, voided, released, captured, part].map(show));
  await checkList('HoldPage', `/holds?account=${own}`, all);
  for (const [state, count] of Object.entries({ pending: 1, open: 2, captured: 2, voided: 1, expired: 1 })) {
    const ofState = all.filter((hold) => hold['state'] === state);
    assert.equal(ofState.length, count, state);
    await checkList('HoldPage', `/holds?account=${own}&state=${state}`, ofState);
  }
  await checkList('HoldPage', `/holds?account=${own}&state=failed`, [await show(failed)]);
  await checkList('HoldPage', `/holds?account=NO-SUCH-ACCOUNT`, []);
  await checkList('HoldPage', '/holds?state=pending', [await show(pending)]);
  const everywhere = await pagesOf('HoldPage', '/holds', 3);
  const rows = await database.query('select from holds');
  assert.equal(everywhere.length, rows.length + 1, 'Each hold, and the pending one.');
  await unlock();
  await awaitFinal(service, String(pending['id']));
});

test('lists: the remaining amounts of the open holds of an account are what it holds', async () => {
  const [own, other] = [await open({ balance: 1000 }), await open({ balance: 1000 })];
  for (const amount of [100, 70, 5]) {
    const made = await reserve(own, other, amount);
    await reserve(other, own, 1);
    if (amount > 50) await end(made, 'capture', { amount: amount - 50 });
  }
  const sum = itemsOf(await look('HoldPage', `/holds?account=${own}&state=open`)).reduce(
    (total, { remaining }) => total + Number(remaining),
    0,
  );
  assert.deepEqual([sum, (await look('Account', `/accounts/${own}`))['held']], [105, 105]);
});

test('lists: a state of the holds of a whole ledger is refused', async () => {
  for (const state of ['open', 'captured', 'voided', 'expired', 'failed']) {
    const problem = await refused('filter_too_wide', 'GET', `/holds?state=${state}`);
    assert.match(String(problem['detail']), /`account`/);
    assert.deepEqual(problem['errors'], [
      { pointer: '/state', detail: '`state` has no index, and needs another filter' },
    ]);
  }
});

test('lists: transfers by kind, failure code, amount and description, alone and together', async (t) => {
  const [own, other] = [await open({ balance: 1000 }), await open({ balance: 1000 })];
  const opening = itemsOf(await look('TransferPage', `/transfers?account=${own}`));
  const note = (description: string) => ({ description });
  const paid = await settle({ ...order(own, other, 5), ...note('Rent') });
  const back = await settle({ ...order(other, own, 7), ...note('rent') });
  const tooMuch = await settle({ ...order(own, other, 5000), ...note('Rent') });
  const nowhere = await settle(order(own, 'NOSUCH', 5));
  const held = await reserve(own, other, 40, note('Rent'));
  await end(held, 'capture', { amount: 6, ...note('Lunch') });
  await end(held, 'void');
  const newest = await look('TransferPage', `/transfers?account=${own}&limit=2`);
  const [voided, captured] = itemsOf(newest);
  const unlock = await lock(t, own);
  const sent = { ...order(own, other, 5), ...note('Rent') };
  const { body: pending } = await answered(202, 'Transfer', 'POST', '/transfers', sent);
  assert.ok(voided && captured);
  const all = [pending, voided, captured, held, nowhere, tooMuch, back, paid, ...opening];
  const find = async (query: string, wanted: readonly Row[]) => {
    assert.ok(wanted.length < all.length);
    await checkList('TransferPage', `/transfers?account=${own}&${query}`, wanted);
  };
  await checkList('TransferPage', `/transfers?account=${own}`, all);
  for (const kind of ['transfer', 'hold', 'capture', 'void', 'expiry', 'reversal']) {
    await find(
      `kind=${kind}`,
      all.filter((each) => each['kind'] === kind),
    );
  }
  await find('failure_code=insufficient_funds', [tooMuch]);
  await find('failure_code=destination_not_found', [nowhere]);
  await find('failure_code=source_closed', []);
  await find('failure_code=insufficient_funds&status=completed', []);
  await find('failure_code=insufficient_funds&status=pending', []);
  await find(
    'amount_min=7',
    all.filter(({ amount }) => Number(amount) >= 7),
  );
  await find(
    'amount_max=6',
    all.filter(({ amount }) => Number(amount) <= 6),
  );
  await find('amount_min=6&amount_max=7', [captured, back]);
  await find('amount_min=7&amount_max=6', []);
  await find('description=Rent', [pending, held, tooMuch, paid]);
  await find('description=Ren', []);
  await find('description=Rent&kind=transfer&status=completed', [paid]);
  await find('description=Rent&amount_max=5', [pending, paid]);
  await find(`kind=capture&since=${String(paid['created_at'])}`, [captured]);
  // Without an account.
  const since = `since=${String(paid['created_at'])}`;
  await checkList('TransferPage', `/transfers?description=Rent&${since}`, [pending, held, tooMuch, paid]);
  await checkList('TransferPage', `/transfers?amount_min=5000&${since}`, [tooMuch]);
  await checkList('TransferPage', '/transfers?status=pending&description=Rent', [pending]);
  const everywhere = await pagesOf('TransferPage', '/transfers', 1000);
  for (const query of [
    'kind=transfer',
    'kind=void',
    'kind=expiry&status=completed',
    'failure_code=insufficient_funds',
    'failure_code=insufficient_funds&kind=transfer',
  ]) {
    const wanted = [...new URLSearchParams(query)];
    await checkList(
      'TransferPage',
      `/transfers?${query}`,
      everywhere.filter((each) => wanted.every(([name, value]) => each[name] === value)),
    );
  }
  await unlock();
  await awaitFinal(service, String(pending['id']));
});

test('lists: a value that no filter has is refused by its name', async () => {
  const cases = {
    '/transfers': ['kind=gift', 'failure_code=bad_luck', 'amount_min=-1', 'amount_max=1.5', 'amount_min=1e3'],
    '/transfers?account=@external': ['description=', 'order=asc', `description=${'x'.repeat(501)}`],
    '/accounts': ['status=gone', 'currency=XXQ', 'order=newest', `name=${'x'.repeat(201)}`],
    '/holds': ['state=done', 'account=*', 'order=up', 'limit=0', 'after=x'],
    '/ledgers': ['order=newest'],
    '/approvals': ['order=asc'],
    '/audit-log': ['order=asc'],
    [`/accounts/${await open()}/entries`]: ['since=today', 'until=x', 'order=asc'],
  };
  for (const [path, queries] of Object.entries(cases)) {
    for (const query of queries) {
      const problem = await refused('invalid_request', 'GET', `${path}${path.includes('?') ? '&' : '?'}${query}`);
      assert.deepEqual(pointersOf(problem), [`/${query.split('=')[0]}`], query);
    }
  }
});

test('lists: accounts by status, currency and metadata, in both directions', async () => {
  const metadata = { batch: crypto.randomUUID() };
  const numbers: string[] = [];
  for (const currency of ['SEK', 'SEK', 'SEK', 'NOK', 'NOK']) numbers.push(await open({ currency, metadata }));
  const [frozen, receiving, closed] = numbers.slice(1);
  const change = async (number: string | undefined, status: string) => {
    const row = await database.query('update accounts set status = $1 where account_number = $2 returning 1', [
      status,
      number,
    ]);
    assert.equal(row.length, 1);
  };
  await change(frozen, 'frozen');
  await change(receiving, 'receive_only');
  await change(closed, 'closed');
  const all = await pagesOf('AccountPage', '/accounts', 1000);
  const check = async (query: string, wanted: (account: Row) => boolean, count?: number) => {
    const expected = all.filter(wanted);
    if (count !== undefined) assert.equal(expected.length, count, query);
    await checkList('AccountPage', `/accounts?${query}`, expected, ['asc', 'desc']);
  };
  const isOwn = (account: Row) => numbers.includes(String(account['account_number']));
  await check('status=frozen', ({ status }) => status === 'frozen', 1);
  await check('status=closed', ({ status }) => status === 'closed', 1);
  await check('status=open', ({ status }) => status === 'open');
  await check('currency=SEK', ({ currency }) => currency === 'SEK', 4);
  await check(
    'currency=SEK&status=receive_only',
    (each) => each['currency'] === 'SEK' && each['status'] === 'receive_only',
    1,
  );
  await check('currency=NOK&status=frozen', () => false, 0);
  await check(`metadata=batch:${metadata.batch}`, isOwn, 5);
  await check(`metadata=batch:${metadata.batch}&currency=NOK`, (each) => isOwn(each) && each['currency'] === 'NOK', 2);
  await database.query(`update accounts set status = 'open' where status <> 'open'`);
});

test('lists: entries between two instants, the first included and the last not', async () => {
  const [own, other] = [await open({ balance: 100 }), await open({ balance: 100 })];
  for (const amount of [1, 2, 3, 4]) {
    await settle(order(own, other, amount));
    await settle(order(other, own, 1));
  }
  const path = `/accounts/${own}/entries`;
  const all = await pagesOf('EntryPage', path, 1000);
  assert.equal(all.length, 9);
  await checkList('EntryPage', path, all);
  const instants = all.map((entry) => String(entry['settled_at']));
  assert.equal(new Set(instants).size, all.length);
  for (const since of [undefined, instants[2], instants[5]]) {
    for (const until of [undefined, instants[1], instants[5]]) {
      const query = [...(since ? [`since=${since}`] : []), ...(until ? [`until=${until}`] : [])].join('&');
      // Instants have fewer digits when they end in zeros, so they are compared as instants.
      const wanted = all.filter((_, index) => {
        const isLate = until !== undefined && index <= instants.indexOf(until);
        return !isLate && (since === undefined || index <= instants.indexOf(since));
      });
      await checkList('EntryPage', query === '' ? path : `${path}?${query}`, wanted);
    }
  }
  await checkList('EntryPage', `${path}?until=2026-01-01T00:00:00Z`, []);
  await checkList('EntryPage', `${path}?since=2200-01-01T00:00:00Z`, []);
  const [newest = ''] = instants;
  const micros = newest.replace(/(?:\.(\d+))?Z$/, (_, digits = '') => `.${String(digits).padEnd(6, '0')}`);
  await checkList('EntryPage', `${path}?since=${micros}0000001Z`, []);
  await checkList('EntryPage', `${path}?since=${micros}0000000Z`, all.slice(0, 1));
});

test('lists: ledgers in both directions', async () => {
  for (const name of ['aa', 'zz']) await answered(201, 'Ledger', 'POST', '/ledgers', { name });
  const all = await pagesOf('LedgerPage', '/ledgers', 1000);
  assert.deepEqual(
    all.map(({ name }) => name),
    ['aa', 'main', 'zz'],
  );
  await checkList('LedgerPage', '/ledgers', all, ['asc', 'desc']);
});

test('lists: approvals and the audit log in both directions', async () => {
  for (let index = 0; index < 5; index += 1) {
    await database.query(
      `insert into audit_log (ledger_id, id, action, subject) values (1, $1, 'refused', 'GET /accounts')`,
      [`0192f0c4-0000-7000-8000-00000000000${index}`],
    );
    await database.query(
      `insert into approvals (ledger_id, id, expires_at, kind, state, requested_by, idempotency_key, request, decided_by, decided_at)
       values (1, $1, now() + interval '1 day', 'account', 'rejected', 'key', $2, '{"accountNumber":"A","overdraftLimit":"1"}', 'key', now())`,
      [`0192f0c4-0000-7000-8000-00000000000${index}`, `key-${index}`],
    );
  }
  const log = await pagesOf('AuditLogPage', '/audit-log', 1000);
  assert.equal(log.length, 5);
  await checkList('AuditLogPage', '/audit-log', log);
  await checkList('AuditLogPage', '/audit-log?refused=false', []);
  const approvals = await pagesOf('ApprovalPage', '/approvals', 1000);
  assert.equal(approvals.length, 5);
  await checkList('ApprovalPage', '/approvals', approvals);
  await checkList('ApprovalPage', '/approvals?state=rejected', approvals);
  await checkList('ApprovalPage', '/approvals?state=pending', []);
});

/** Reads all pages of a list, and makes something new before each. */
async function readWhile(view: AnswerName, path: string, make: () => Promise<unknown>): Promise<string[]> {
  const ids: string[] = [];
  let after = '';
  for (let pages = 0; pages < 40; pages += 1) {
    await make();
    const page = await look(view, `${path}&limit=3${after}`);
    ids.push(...idsOf(itemsOf(page)));
    assert.equal(new Set(ids).size, ids.length, 'a duplicate item');
    if (typeof page['next'] !== 'string') return ids;
    after = `&after=${encodeURIComponent(page['next'])}`;
  }
  return ids;
}

for (const direction of ['newest', 'oldest']) {
  test(`lists: holds are on one page each, ${direction} first, while others are made and end`, async () => {
    const [own, other] = [await open({ balance: 1000 }), await open()];
    const made: Row[] = [];
    for (let index = 0; index < 12; index += 1) made.push(await reserve(own, other, 1));
    const rest = [...made];
    const seen = await readWhile('HoldPage', `/holds?account=${own}&order=${direction}`, async () => {
      const ending = rest.pop();
      if (ending) await end(ending, 'void');
      if (direction === 'newest') await reserve(own, other, 1);
    });
    const first = idsOf(made);
    const shown = seen.filter((id) => first.includes(id));
    assert.deepEqual(shown, direction === 'newest' ? first.toReversed() : first);
  });

  test(`lists: transfers are on one page each, ${direction} first, while pending ones are settled`, async (t) => {
    const [own, other, payer] = [await open({ balance: 1000 }), await open(), await open({ balance: 100 })];
    const before: Row[] = [];
    for (let index = 0; index < 5; index += 1) before.push(await settle(order(own, other, 1)));
    const unlock = await lock(t, own);
    for (let index = 0; index < 7; index += 1) {
      before.push((await answered(202, 'Transfer', 'POST', '/transfers', order(own, other, 1))).body);
    }
    let reads = 0;
    const seen = await readWhile('TransferPage', `/transfers?account=${other}&order=${direction}`, async () => {
      reads += 1;
      if (reads === 3) {
        await unlock();
        for (const { id } of before) await awaitFinal(service, String(id));
      }
      // Those before the third page stay pending too: a running job may have locked the account.
      if (reads < 6) await request(service, 'POST', '/transfers', order(payer, other, 1));
    });
    const isIdle = async () => itemsOf(await look('TransferPage', '/transfers?status=pending')).length === 0;
    await until(isIdle, { what: 'an empty queue' });
    const first = idsOf(before);
    const shown = seen.filter((id) => first.includes(id));
    assert.deepEqual(shown, direction === 'newest' ? first.toReversed() : first);
  });
}

test('lists: the promises are kept afterwards', async () => {
  // The planted approvals and refusals are of no journal.
  await database.query('delete from approvals');
  await checkPromises(database, { nothingPending: true });
});
