// Accounts over HTTP, on a real database. Every answer is validated against its schema in the OpenAPI document, and may
// have nothing else.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { MONEY_MAX } from '../../src/domain/money.ts';
import { ANSWER_VIEWS, type AnswerName } from '../../src/main/api/views.ts';
import { PROBLEMS, type ProblemCode } from '../../src/main/http/problem.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { awaitFinal, type Answer, request, type Service, startService } from '../support/service.ts';

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
type Row = Record<string, unknown>;

const LARGEST = Number(MONEY_MAX);
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/;

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '2', LOG_LEVEL: 'warn' } });
});

test('accounts: a name is enough to open an account', async () => {
  const answer = await answered(201, 'Account', 'POST', '/accounts', { name: 'Ann' });
  const { account_number, created_at, ...rest } = answer.body;
  assert.match(String(account_number), /^ACC\d{12}$/);
  assert.match(String(created_at), INSTANT);
  assert.ok(Math.abs(Date.now() - Date.parse(String(created_at))) < 60_000);
  assert.deepEqual(rest, {
    object: 'account',
    name: 'Ann',
    email: null,
    phone: null,
    date_of_birth: null,
    currency: 'USD',
    status: 'open',
    balance: 0,
    held: 0,
    overdraft_limit: 0,
    available: 0,
    entry_count: 0,
    metadata: {},
    opening_transfer_id: null,
  });
  assert.equal(answer.headers['location'], `/accounts/${String(account_number)}`);
  assert.deepEqual(await show(String(account_number)), withoutOpening(answer.body));
});

test('accounts: an account with every field is shown as sent', async () => {
  const sent = {
    account_number: 'Full.Account_1-x',
    name: 'Ångström & Söhne 🧀',
    email: 'ann@bank.example',
    phone: '+49 (30) 123-456.7',
    date_of_birth: '2000-02-29',
    currency: 'JPY',
    overdraft_limit: 250,
    metadata: { customer: '7', constructor: 'x', note: '"quoted" \\ and v1.5e3' },
  };
  const { body } = await answered(201, 'Account', 'POST', '/accounts', { ...sent, balance: 1000 });
  const expected = { ...sent, status: 'open', balance: 1000, held: 0, available: 1250, entry_count: 1 };
  assert.deepEqual({ ...body, ...expected }, body);
  assert.deepEqual(await show(sent.account_number), withoutOpening(body));
});

test('accounts: texts may have their documented length, and optional ones may be absent or null', async () => {
  const short = Array.from({ length: 40 }, (_, index) => [`k${index}`.padEnd(40, 'x'), 'v']);
  const long = Array.from({ length: 10 }, (_, index) => [`l${index}`.padEnd(40, 'x'), 'v'.repeat(500)]);
  const metadata = Object.fromEntries([...short, ...long]);
  const longest = { account_number: 'a'.repeat(34), name: 'n'.repeat(200), metadata };
  const { body } = await answered(201, 'Account', 'POST', '/accounts', {
    ...longest,
    email: null,
    phone: null,
    date_of_birth: null,
  });
  assert.deepEqual({ ...body, ...longest, email: null, phone: null, date_of_birth: null }, body);
});

test('accounts: an opening balance is a transfer from @external', async () => {
  const account = await open({ currency: 'CHF', balance: 1234 });
  assert.equal(account['balance'], 1234);
  const transfer = await look('Transfer', `/transfers/${String(account['opening_transfer_id'])}`);
  assert.deepEqual(
    { ...transfer, created_at: '', completed_at: '', journal_number: 0, id: '', request_id: '' },
    {
      object: 'transfer',
      id: '',
      kind: 'transfer',
      parent_id: null,
      group_id: null,
      status: 'completed',
      failure_code: null,
      from_account: '@external',
      to_account: account['account_number'],
      amount: 1234,
      currency: 'CHF',
      description: 'Opening balance',
      metadata: null,
      request_id: '',
      ordered_by: null,
      approved_by: null,
      conversion: null,
      created_at: '',
      completed_at: '',
      journal_number: 0,
    },
  );
  const outside = await look('Account', '/accounts/@external?currency=CHF');
  assert.deepEqual([outside['balance'], outside['available'], outside['entry_count']], [-1234, null, 1]);
  assert.deepEqual(await entriesOf(account), [[1, 1234, 1234]]);
});

test('accounts: the opening transfer carries the request id of its caller', async () => {
  const headers = { 'x-request-id': 'opening/of:an+account=1' };
  const { body } = await answered(201, 'Account', 'POST', '/accounts', { name: 'x', balance: 1 }, headers);
  const page = await look('TransferPage', '/transfers?request_id=opening/of:an%2Baccount=1');
  assert.deepEqual(idsOf(page), [body['opening_transfer_id']]);
});

test('accounts: the largest balance is exact, and one that @external cannot fund is refused', async () => {
  const first = await open({ currency: 'ISK', balance: LARGEST });
  assert.deepEqual([first['balance'], first['available']], [LARGEST, LARGEST]);
  const second = await open({ currency: 'ISK', balance: 1 });
  assert.deepEqual([second['balance'], second['entry_count']], [0, 0]);
  const opening = await look('Transfer', `/transfers/${String(second['opening_transfer_id'])}`);
  assert.deepEqual([opening['status'], opening['failure_code']], ['failed', 'balance_out_of_bounds']);
});

test('accounts: the available amount never exceeds what one transfer can move', async () => {
  const account = await open({ currency: 'CLP', balance: 5, overdraft_limit: LARGEST });
  assert.equal(account['available'], LARGEST);
});

test('accounts: a number is taken once, in any currency', async () => {
  const account = await open({ name: 'First', balance: 5 });
  const again = { account_number: account['account_number'], name: 'Second', balance: 7 };
  await changingNothing(async () => {
    await refused('account_exists', 'POST', '/accounts', again);
    await refused('account_exists', 'POST', '/accounts', { ...again, currency: 'EUR' });
  });
  assert.equal((await show(numberOf(account)))['name'], 'First');
});

test('accounts: of many concurrent requests for one number, one succeeds', async () => {
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      request(service, 'POST', '/accounts', { account_number: 'CONTENDED', name: `Caller ${index}`, balance: 10 }),
    ),
  );
  assert.deepEqual(
    [201, 409].map((status) => answers.filter((answer) => answer.status === status).length),
    [1, 9],
  );
  const account = await show('CONTENDED');
  assert.deepEqual([account['balance'], account['entry_count']], [10, 1]);
});

test('accounts: numbers differ by case', async () => {
  await open({ account_number: 'casing', balance: 1 });
  await open({ account_number: 'CASING', balance: 2 });
  assert.deepEqual([(await show('casing'))['balance'], (await show('CASING'))['balance']], [1, 2]);
});

test('accounts: the list has every account once, in order of number, for any page size', async () => {
  for (const currency of ['SEK', 'NOK', 'DKK']) await open({ currency, balance: 1 });
  const known = await database.query<{ key: string }>(
    'select account_number as key from accounts order by account_number, currency',
  );
  for (const limit of [1, 3, known.length - 1, known.length, known.length + 1]) {
    const items = await allPages('AccountPage', '/accounts', limit);
    assert.deepEqual(
      items.map((item) => item['account_number']),
      known.map(({ key }) => key),
      `limit=${limit}`,
    );
  }
  const all = await look('AccountPage', '/accounts?limit=1000');
  for (const item of itemsOf(all)) {
    const path = `/accounts/${String(item['account_number'])}?currency=${String(item['currency'])}`;
    assert.deepEqual(await look('Account', path), item);
  }
});

test('accounts: the metadata filter needs a value', async () => {
  const account = await open({ name: 'Shop', metadata: { segment: 'retail' } });
  for (const more of ['', '&limit=1', '&after=@external:USD']) {
    const problem = await refused('filter_too_wide', 'GET', `/accounts?metadata=segment${more}`);
    assert.match(String(problem['detail']), /`metadata=key:value`/);
  }
  const found = await look('AccountPage', '/accounts?metadata=segment:retail');
  assert.deepEqual(
    itemsOf(found).map((item) => item['account_number']),
    [account['account_number']],
  );
});

test('accounts: the list shows 50 accounts per page by default', async () => {
  await Promise.all(
    Array.from({ length: 60 }, async (_, n) => await open({ account_number: `ZZ${n + 1}`, name: 'one of many' })),
  );
  const page = await look('AccountPage', '/accounts');
  assert.equal(itemsOf(page).length, 50);
  assert.equal(typeof page['next'], 'string');
});

const CHANGES: { field: string; value: unknown }[] = [
  { field: 'name', value: 'Another name' },
  { field: 'email', value: 'another@bank.example' },
  { field: 'phone', value: '+1 555 0100' },
  { field: 'date_of_birth', value: '1999-12-31' },
  { field: 'overdraft_limit', value: 77 },
  { field: 'metadata', value: { only: 'this' } },
  { field: 'metadata', value: {} },
  { field: 'email', value: null },
  { field: 'phone', value: null },
  { field: 'date_of_birth', value: null },
];

for (const { field, value } of CHANGES) {
  test(`accounts: ${field} can be changed to ${JSON.stringify(value)}, and nothing else changes with it`, async () => {
    const account = await open(COMPLETE);
    const { body } = await answered(200, 'Account', 'PATCH', pathOf(account), { [field]: value });
    const available = field === 'overdraft_limit' ? 77 + 100 : account['available'];
    assert.deepEqual(body, { ...withoutOpening(account), [field]: value, available });
    assert.deepEqual(await show(numberOf(account)), body);
  });
}

const COMPLETE = {
  email: 'a@bank.example',
  phone: '123',
  date_of_birth: '2000-01-01',
  metadata: { a: '1', b: '2' },
  overdraft_limit: 5,
  balance: 100,
};

test('accounts: several fields change together, and no field is no change', async () => {
  const account = await open(COMPLETE);
  const changes = { name: 'B', email: 'b@bank.example', phone: null, overdraft_limit: 0 };
  const { body } = await answered(200, 'Account', 'PATCH', pathOf(account), changes);
  assert.deepEqual({ ...body, ...changes }, body);
  const again = await answered(200, 'Account', 'PATCH', pathOf(account), {});
  assert.deepEqual(again.body, body);
});

const FIXED = ['account_number', 'balance', 'currency', 'held', 'available', 'entry_count', 'created_at'];
for (const field of FIXED) {
  test(`accounts: ${field} cannot be changed, not even to what it is`, async () => {
    const account = await open(COMPLETE);
    for (const value of [account[field], null, 'EUR', 5]) {
      await refused('immutable_field', 'PATCH', pathOf(account), { [field]: value, name: 'Another' });
    }
    assert.deepEqual(await show(numberOf(account)), withoutOpening(account));
  });
}

test('accounts: an overdraft limit cannot fall below the drawn amount, to the unit', async () => {
  const account = await open({ balance: 10, overdraft_limit: 100 });
  await transfer({ from_account: numberOf(account), to_account: '@external', amount: 70 });
  await refused('overdraft_in_use', 'PATCH', pathOf(account), { overdraft_limit: 59, name: 'Another' });
  const unchanged = await show(numberOf(account));
  assert.deepEqual([unchanged['overdraft_limit'], unchanged['name'], unchanged['balance']], [100, 'Ada', -60]);
  const { body } = await answered(200, 'Account', 'PATCH', pathOf(account), { overdraft_limit: 60 });
  assert.deepEqual([body['overdraft_limit'], body['available']], [60, 0]);
});

test('accounts: an overdraft limit cannot fall below the held amount', async () => {
  const account = await open({ overdraft_limit: 100 });
  await database.query('update accounts set held = 40 where account_number = $1', [numberOf(account)]);
  await refused('overdraft_in_use', 'PATCH', pathOf(account), { overdraft_limit: 39 });
  assert.equal((await show(numberOf(account)))['available'], 60);
  await database.query('update accounts set held = 0 where account_number = $1', [numberOf(account)]);
});

test('accounts: closing an empty account is idempotent, and it stays visible', async () => {
  const account = await open();
  for (const _ of [1, 2]) {
    const answer = await answered(204, null, 'DELETE', pathOf(account));
    assert.equal(answer.text, '');
    assert.equal(answer.headers['content-type'], undefined);
  }
  assert.deepEqual(await show(numberOf(account)), { ...withoutOpening(account), status: 'closed' });
  await refused('account_exists', 'POST', '/accounts', { account_number: account['account_number'], name: 'x' });
});

test('accounts: an account with a balance or a debt is not closed', async () => {
  const rich = await open({ balance: 1 });
  const poor = await open({ overdraft_limit: 1 });
  await transfer({ from_account: numberOf(poor), to_account: '@external', amount: 1 });
  for (const account of [rich, poor]) {
    await refused('account_not_empty', 'DELETE', pathOf(account));
    assert.equal((await show(numberOf(account)))['status'], 'open');
  }
  await transfer({ from_account: numberOf(rich), to_account: numberOf(poor), amount: 1 });
  for (const account of [rich, poor]) {
    await answered(204, null, 'DELETE', pathOf(account));
    assert.equal((await show(numberOf(account)))['status'], 'closed');
  }
  assert.deepEqual(await entriesOf(rich), [
    [1, 1, 1],
    [2, -1, 0],
  ]);
});

test('accounts: an account with a hold is not closed', async () => {
  const account = await open({ overdraft_limit: 10 });
  await database.query('update accounts set held = 10 where account_number = $1', [numberOf(account)]);
  await refused('account_not_empty', 'DELETE', pathOf(account));
  assert.equal((await show(numberOf(account)))['status'], 'open');
  await database.query('update accounts set held = 0 where account_number = $1', [numberOf(account)]);
});

test('accounts: a closed account cannot change', async () => {
  const account = await open(COMPLETE);
  await transfer({ from_account: numberOf(account), to_account: '@external', amount: 100 });
  await answered(204, null, 'DELETE', pathOf(account));
  const closed = await show(numberOf(account));
  await refused('account_closed', 'PATCH', pathOf(account), { name: 'Another' });
  await refused('account_closed', 'PATCH', pathOf(account), {});
  assert.deepEqual(await show(numberOf(account)), closed);
});

test('accounts: entries come newest first or oldest first, on pages that join without a gap', async () => {
  const account = await open({ balance: 100 });
  for (const amount of [1, 2, 3, 4, 5, 6]) {
    await transfer({ from_account: numberOf(account), to_account: '@external', amount });
  }
  const oldest = [
    [1, 100, 100],
    [2, -1, 99],
    [3, -2, 97],
    [4, -3, 94],
    [5, -4, 90],
    [6, -5, 85],
    [7, -6, 79],
  ];
  for (const limit of [1, 2, 3, 6, 7, 8]) {
    const [down, up] = [`${pathOf(account)}/entries`, `${pathOf(account)}/entries?order=oldest`];
    assert.deepEqual((await allPages('EntryPage', up, limit)).map(toTriple), oldest, `limit=${limit}`);
    assert.deepEqual((await allPages('EntryPage', down, limit)).map(toTriple), oldest.toReversed(), `limit=${limit}`);
  }
  const [entry] = itemsOf(await look('EntryPage', `${pathOf(account)}/entries?order=newest&limit=1`));
  const last = await look('Transfer', `/transfers/${String(entry?.['transfer_id'])}`);
  assert.deepEqual(
    [last['amount'], last['completed_at'], last['journal_number']],
    [6, entry?.['settled_at'], entry?.['journal_number']],
  );
});

test('accounts: an account without entries has an empty history and a balance of zero', async () => {
  const account = await open();
  assert.deepEqual(await look('EntryPage', `${pathOf(account)}/entries`), { object: 'list', items: [], next: null });
  const nothing = {
    object: 'balance',
    account_number: account['account_number'],
    currency: 'USD',
    at: null,
    balance: 0,
    entry_number: 0,
  };
  assert.deepEqual(await look('Balance', `${pathOf(account)}/balance`), nothing);
  const at = '2026-01-31T12:00:00Z';
  assert.deepEqual(await look('Balance', `${pathOf(account)}/balance?at=${at}`), { ...nothing, at });
});

test('accounts: a page after the last one is empty', async () => {
  const account = await open({ balance: 1 });
  for (const query of ['after=1', 'order=oldest&after=1', 'order=oldest&after=999999999999999999']) {
    assert.deepEqual(await look('EntryPage', `${pathOf(account)}/entries?${query}`), {
      object: 'list',
      items: [],
      next: null,
    });
  }
});

test('accounts: the balance at an instant is that of the last entry at or before it', async () => {
  const account = await open({ balance: 100 });
  for (const amount of [10, 20, 30]) {
    await transfer({ from_account: numberOf(account), to_account: '@external', amount });
  }
  const entries = itemsOf(await look('EntryPage', `${pathOf(account)}/entries?order=oldest`));
  assert.equal(entries.length, 4);
  const instants = entries.map((entry) => microsOf(String(entry['settled_at'])));
  assert.equal(new Set(instants).size, 4);
  // Each instant of settling, one microsecond before and after it, and the middle of the way to the next.
  const between = instants.slice(1).map((instant, index) => (instant + (instants[index] ?? 0n)) / 2n);
  const asked = [...instants.flatMap((instant) => [instant - 1n, instant, instant + 1n]), ...between];
  for (const instant of asked) {
    const at = renderMicros(instant);
    const last = entries.findLast((entry) => microsOf(String(entry['settled_at'])) <= instant);
    assert.deepEqual(await look('Balance', `${pathOf(account)}/balance?at=${at}`), {
      object: 'balance',
      account_number: account['account_number'],
      currency: 'USD',
      at,
      balance: last?.['balance'] ?? 0,
      entry_number: last?.['entry_number'] ?? 0,
    });
  }
  const now = await look('Balance', `${pathOf(account)}/balance`);
  assert.deepEqual([now['at'], now['balance'], now['entry_number']], [null, 40, 4]);
});

test('accounts: an instant may have any zone', async () => {
  const account = await open({ balance: 7 });
  const [entry] = itemsOf(await look('EntryPage', `${pathOf(account)}/entries`));
  const settledAt = Number(microsOf(String(entry?.['settled_at'])) / 1000n);
  const zoned = (ms: number, offsetHours: number, zone: string) =>
    new Date(settledAt + ms + offsetHours * 3_600_000).toISOString().replace('Z', zone);
  for (const [at, balance] of [
    [zoned(1, 14, '+14:00'), 7],
    [zoned(1, -12, '-12:00'), 7],
    [zoned(1, 0, '-00:00'), 7],
    [zoned(-1, 14, '+14:00'), 0],
    [zoned(-1, -12, '-12:00'), 0],
    [zoned(0, 0, '+14:00'), 0],
  ] as const) {
    const answer = await look('Balance', `${pathOf(account)}/balance?at=${encodeURIComponent(at)}`);
    assert.deepEqual([answer['at'], answer['balance']], [at, balance]);
  }
});

test('accounts: @external needs its currency if there are several', async () => {
  await open({ currency: 'EUR', balance: 3 });
  await open({ currency: 'GBP', balance: 4 });
  for (const path of ['', '/entries', '/balance']) {
    await refused('invalid_request', 'GET', `/accounts/@external${path}`);
    await refused('account_not_found', 'GET', `/accounts/@external${path}?currency=XAU`);
  }
  const balance = await look('Balance', '/accounts/@external/balance?currency=GBP');
  assert.deepEqual([balance['currency'], balance['balance'], balance['entry_number']], ['GBP', -4, 1]);
  const entries = await look('EntryPage', '/accounts/@external/entries?currency=GBP');
  assert.deepEqual(itemsOf(entries).map(toTriple), [[1, -4, -4]]);
});

test('accounts: an account is not found under another currency', async () => {
  const account = await open({ currency: 'EUR' });
  assert.equal((await look('Account', `${pathOf(account)}?currency=EUR`))['currency'], 'EUR');
  for (const path of ['', '/entries', '/balance']) {
    await refused('account_not_found', 'GET', `${pathOf(account)}${path}?currency=USD`);
  }
});

test('operations: the service is alive and ready', async () => {
  assert.deepEqual(await look('Health', '/healthz'), { status: 'alive' });
  assert.deepEqual(await look('Health', '/readyz'), { status: 'ready' });
});

test('operations: the metrics count the requests and transfers', async () => {
  const metric = async (name: string): Promise<number> => {
    const answer = await request(service, 'GET', '/metrics');
    assert.equal(answer.status, 200);
    assert.match(String(answer.headers['content-type']), /^text\/plain/);
    const line = answer.text.split('\n').find((each) => each.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1) ?? 0);
  };
  const completed = 'gopherpay_transfers_settled_total{ending="completed"}';
  const opened = 'gopherpay_request_seconds_count{method="POST",route="/accounts",status="201"}';
  const before = [await metric(completed), await metric(opened)] as const;
  await open({ balance: 1 });
  assert.deepEqual([await metric(completed), await metric(opened)], [before[0] + 1, before[1] + 1]);
  assert.equal(await metric('gopherpay_queue_transfers'), 0);
});

test('accounts: the promises are kept afterwards', async () => {
  await checkPromises(database, { nothingPending: true, limitsChanged: true });
});

/**
 * Sends a request and validates its answer against the schema of this name: every field is valid, and there is no
 * other.
 */
async function answered(
  status: number,
  view: AnswerName | null,
  method: Method,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
): Promise<Answer<Row>> {
  const answer = await request(service, method, path, body, headers);
  assert.equal(answer.status, status, answer.text);
  assert.ok(answer.headers['x-request-id']);
  if (view === null) return answer;
  assert.equal(answer.headers['content-type'], status < 400 ? 'application/json' : 'application/problem+json');
  // Parsing leaves out what the view does not have.
  assert.deepEqual(ANSWER_VIEWS[view].parse(answer.body), answer.body);
  return answer;
}

async function refused(code: ProblemCode, method: Method, path: string, body?: unknown): Promise<Row> {
  const answer = await answered(PROBLEMS[code].status, 'Problem', method, path, body);
  assert.equal(answer.body['code'], code, answer.text);
  return answer.body;
}

async function open(fields: Row = {}): Promise<Row> {
  return (await answered(201, 'Account', 'POST', '/accounts', { name: 'Ada', ...fields })).body;
}

async function transfer(order: { from_account: string; to_account: string; amount: number }): Promise<void> {
  const { body } = await answered(202, 'Transfer', 'POST', '/transfers', order);
  assert.match(String(body['id']), UUID);
  const final = await awaitFinal(service, String(body['id']));
  assert.equal(final['status'], 'completed', JSON.stringify(final));
}

async function show(accountNumber: string): Promise<Row> {
  return await look('Account', `/accounts/${accountNumber}`);
}

async function look(view: AnswerName, path: string): Promise<Row> {
  return (await answered(200, view, 'GET', path)).body;
}

/** The items of all pages, following `next` to its end. */
async function allPages(view: AnswerName, path: string, limit: number): Promise<Row[]> {
  const items: Row[] = [];
  const seen = new Set<string>();
  let after = '';
  for (;;) {
    const page = await look(view, `${path}${path.includes('?') ? '&' : '?'}limit=${limit}${after}`);
    items.push(...itemsOf(page));
    for (const item of itemsOf(page)) seen.add(JSON.stringify(item));
    assert.equal(seen.size, items.length, 'a duplicate item');
    assert.ok(itemsOf(page).length <= limit);
    const { next } = page;
    if (typeof next !== 'string') return items;
    assert.equal(itemsOf(page).length, limit);
    after = `&after=${encodeURIComponent(next)}`;
  }
}

async function entriesOf(account: Row): Promise<unknown[][]> {
  return itemsOf(await look('EntryPage', `${pathOf(account)}/entries?order=oldest`)).map(toTriple);
}

/** Runs `work`, and asserts that the number of rows of every table is unchanged. */
async function changingNothing(work: () => Promise<void>): Promise<void> {
  const count = async () =>
    await database.query(
      `select (select count(*) from accounts) as accounts, (select count(*) from pending_transfers) as pending,
         (select count(*) from transfers) as transfers, (select count(*) from entries) as entries,
         (select count(*) from journal) as journal, (select count(*) from idempotency_keys) as keys`,
    );
  const counted = await count();
  await work();
  assert.deepEqual(await count(), counted);
}

function itemsOf(page: Row): Row[] {
  const { items } = page;
  assert.ok(Array.isArray(items));
  return items;
}

function idsOf(page: Row): unknown[] {
  return itemsOf(page).map((item) => item['id']);
}

function toTriple(entry: Row): unknown[] {
  return [entry['entry_number'], entry['amount'], entry['balance']];
}

function numberOf(account: Row): string {
  return String(account['account_number']);
}

function pathOf(account: Row): string {
  return `/accounts/${numberOf(account)}`;
}

/** The account as shown later: only the first answer has the id of its opening transfer. */
function withoutOpening(account: Row): Row {
  return Object.fromEntries(Object.entries(account).filter(([field]) => field !== 'opening_transfer_id'));
}

/** Microseconds since the epoch; Date knows milliseconds only. */
function microsOf(instant: string): bigint {
  const [seconds = '', fraction = ''] = instant.replace('Z', '').split('.');
  return BigInt(Date.parse(`${seconds}Z`)) * 1000n + BigInt(fraction.padEnd(6, '0'));
}

function renderMicros(micros: bigint): string {
  const seconds = new Date(Number(micros / 1_000_000n) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(micros % 1_000_000n).padStart(6, '0')}Z`;
}
