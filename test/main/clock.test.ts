// Test clocks: the time of a ledger stands still until a caller advances it, and what is due by then has happened.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { connect, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { findAll } from '../support/audit.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeKey } from '../support/keys.ts';
import { checkPromises } from '../support/promises/check.ts';
import { type Answer, request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { eventPage } from './follower.ts';

const DAY = 24 * 3600;
const START = '2026-01-15T10:00:00Z';
const WAIT = { prefer: 'wait=10' };

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '2', LOG_LEVEL: 'warn' } });
  onEnd(t, async () => {
    await service.stop();
    await checkPromises(database);
    const connection = await connect(database.admin, READING_TIMEOUTS, { applicationName: 'audit' });
    const { discrepancies } = await findAll(connection);
    await disconnect(connection);
    assert.deepEqual(discrepancies, []);
  });
});

let ledgers = 0;

/** Creates a ledger with a test clock and two accounts, ANN and BOB, and returns the prefix of its paths. */
async function createLedger(now = START): Promise<string> {
  ledgers += 1;
  const name = `test-${ledgers}`;
  const created = await request(service, 'POST', '/ledgers', { name, clock: 'manual', now });
  assert.equal(created.status, 201, created.text);
  for (const number of ['ANN', 'BOB']) {
    const account = { account_number: number, name: number, balance: 1000 };
    const opened = await request(service, 'POST', `/ledgers/${name}/accounts`, account);
    assert.deepEqual([opened.status, opened.body['created_at']], [201, now], opened.text);
  }
  return `/ledgers/${name}`;
}

async function advance(ledger: string, now: string, headers: Record<string, string> = {}): Promise<Answer<object>> {
  const answer = await request(service, 'POST', `${ledger}/clock`, { now }, headers);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.body['now'], now);
  return answer;
}

async function pay(ledger: string, amount = 1): Promise<Record<string, unknown>> {
  const transfer = { from_account: 'ANN', to_account: 'BOB', amount };
  const { body, text } = await request(service, 'POST', `${ledger}/transfers`, transfer, WAIT);
  assert.equal(body['status'], 'completed', text);
  return body;
}

async function hold(ledger: string, expiresIn: number): Promise<string> {
  const body = { from_account: 'ANN', to_account: 'BOB', amount: 5, expires_in: expiresIn };
  const made = await request(service, 'POST', `${ledger}/holds`, body, WAIT);
  assert.equal(made.body['status'], 'completed', made.text);
  return String(made.body['id']);
}

async function show(path: string): Promise<Record<string, unknown>> {
  const { status, body, text } = await request(service, 'GET', path);
  assert.equal(status, 200, text);
  return body;
}

async function refused(
  method: 'GET' | 'POST',
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<[number, unknown]> {
  const answer = await request(service, method, path, body, headers);
  return [answer.status, answer.body['code']];
}

test('clock: instants far in the future are stored to the microsecond, as the hashes have them', async () => {
  // After 2255, microseconds since 1970 are beyond the whole numbers of a double.
  const ledger = await createLedger('6400-02-29T23:35:50.172737Z');
  const paid = await pay(ledger);
  assert.equal(paid['created_at'], '6400-02-29T23:35:50.172737Z');
  const stored = await request(service, 'GET', `${ledger}/transfers/${String(paid['id'])}`);
  assert.equal(stored.body['created_at'], paid['created_at']);
});

test('clock: a ledger shows its clock, which is the real one by default', async () => {
  const real = await request(service, 'POST', '/ledgers', { name: 'real' });
  assert.deepEqual([real.body['clock'], real.body['now']], ['real', null]);
  const main = await show('/ledgers/main');
  assert.deepEqual([main['clock'], main['now']], ['real', null]);
  const ledger = await createLedger('2026-03-01T00:00:00.5Z');
  const shown = await show(ledger);
  assert.deepEqual([shown['clock'], shown['now']], ['manual', '2026-03-01T00:00:00.5Z']);
  const { items } = await show('/ledgers?limit=1000');
  assert.ok(Array.isArray(items) && items.some((each) => JSON.stringify(each) === JSON.stringify(shown)));
});

test('clock: a test clock starts when its ledger is created, unless the request names another time', async () => {
  const [row] = await database.query<{ at: string }>(`select to_json(clock_timestamp()) #>> '{}' as at`);
  const { body } = await request(service, 'POST', '/ledgers', { name: 'starts-now', clock: 'manual' });
  assert.equal(body['now'], body['created_at']);
  assert.ok(Date.parse(String(body['now'])) >= Date.parse(row?.at ?? ''));
});

test('clock: a ledger is refused with a time but no test clock, and with a time out of bounds', async () => {
  for (const clock of [{ now: START }, { clock: 'real', now: START }]) {
    assert.deepEqual(await refused('POST', '/ledgers', { name: 'wrong', ...clock }), [409, 'clock_is_real']);
  }
  for (const now of ['1999-12-31T23:59:59Z', '9000-01-01T00:00:00Z', 'tomorrow', 1, null]) {
    assert.deepEqual(await refused('POST', '/ledgers', { name: 'wrong', clock: 'manual', now }), [
      400,
      'invalid_request',
    ]);
  }
});

test('clock: the key of a ledger names its clock too', async () => {
  const key = { 'idempotency-key': 'a-clock' };
  const body = { name: 'keyed', clock: 'manual', now: START };
  const first = await request(service, 'POST', '/ledgers', body, key);
  assert.equal(first.status, 201, first.text);
  await advance('/ledgers/keyed', '2026-01-16T10:00:00Z');
  const again = await request(service, 'POST', '/ledgers', body, key);
  assert.deepEqual([again.status, again.headers['idempotency-replayed']], [201, 'true']);
  assert.equal(again.body['now'], '2026-01-16T10:00:00Z');
  for (const other of [
    { name: 'keyed' },
    { name: 'keyed', clock: 'manual' },
    { ...body, now: '2026-01-16T10:00:00Z' },
  ]) {
    assert.deepEqual(await refused('POST', '/ledgers', other, key), [422, 'idempotency_key_reused']);
  }
  const unnamed = { name: 'keyed-now', clock: 'manual' };
  const created = await request(service, 'POST', '/ledgers', unnamed, { 'idempotency-key': 'a-clock-now' });
  const replayed = await request(service, 'POST', '/ledgers', unnamed, { 'idempotency-key': 'a-clock-now' });
  assert.deepEqual([replayed.status, replayed.body], [201, created.body]);
});

test('clock: a ledger with the real clock is never advanced', async () => {
  await request(service, 'POST', '/ledgers', { name: 'real' });
  for (const path of ['/clock', '/ledgers/main/clock', '/ledgers/real/clock']) {
    assert.deepEqual(await refused('POST', path, { now: '2030-01-01T00:00:00Z' }), [409, 'clock_is_real']);
  }
  // The refused request has not used its key.
  const key = { 'idempotency-key': 'a-real-clock' };
  assert.deepEqual(await refused('POST', '/clock', { now: START }, key), [409, 'clock_is_real']);
  assert.deepEqual(await database.query(`select from idempotency_keys where key = 'a-real-clock'`), []);
});

test('clock: it goes forward only, and a request may be sent again', async () => {
  const ledger = await createLedger();
  const first = { 'idempotency-key': 'first' };
  await advance(ledger, '2026-02-01T00:00:00Z', first);
  await advance(ledger, '2026-02-01T00:00:00Z');
  assert.deepEqual(await refused('POST', `${ledger}/clock`, { now: '2026-01-31T00:00:00Z' }), [409, 'clock_is_later']);
  await advance(ledger, '2026-03-01T00:00:00Z');
  const again = await request(service, 'POST', `${ledger}/clock`, { now: '2026-02-01T00:00:00Z' }, first);
  assert.deepEqual([again.status, again.headers['idempotency-replayed']], [200, 'true']);
  assert.equal(again.body['now'], '2026-03-01T00:00:00Z');
  assert.deepEqual(await refused('POST', `${ledger}/clock`, { now: '2026-04-01T00:00:00Z' }, first), [
    422,
    'idempotency_key_reused',
  ]);
  const { items } = await show(`${ledger}/events`);
  assert.equal(Array.isArray(items) && items.length, 2 + 2, 'two accounts and two advances');
});

test('clock: a key names one request of a ledger, whatever its kind', async () => {
  const ledger = await createLedger();
  const transfer = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
  const account = { account_number: 'CID', name: 'Cid' };
  await request(service, 'POST', `${ledger}/transfers`, transfer, { ...WAIT, 'idempotency-key': 'of-transfer' });
  await advance(ledger, '2026-02-01T00:00:00Z', { 'idempotency-key': 'of-clock' });
  const reused = [422, 'idempotency_key_reused'];
  const ofClock = { 'idempotency-key': 'of-clock' };
  assert.deepEqual(
    await refused('POST', `${ledger}/clock`, { now: '2026-03-01T00:00:00Z' }, { 'idempotency-key': 'of-transfer' }),
    reused,
  );
  assert.deepEqual(await refused('POST', `${ledger}/transfers`, transfer, ofClock), reused);
  assert.deepEqual(await refused('POST', `${ledger}/transfers`, transfer, { ...WAIT, ...ofClock }), reused);
  assert.deepEqual(await refused('POST', `${ledger}/accounts`, account, ofClock), reused);
  assert.equal((await show(ledger))['now'], '2026-02-01T00:00:00Z');
});

test('clock: a hold of 30 days expires in an advance by 31 days, and not before', async () => {
  const ledger = await createLedger();
  const ids = [await hold(ledger, 30 * DAY), await hold(ledger, 32 * DAY)];
  await advance(ledger, '2026-02-14T09:59:59.999999Z');
  for (const id of ids) assert.equal((await show(`${ledger}/holds/${id}`))['state'], 'open');
  await advance(ledger, '2026-02-15T10:00:00Z');
  const [expired, open] = [await show(`${ledger}/holds/${ids[0]}`), await show(`${ledger}/holds/${ids[1]}`)];
  assert.deepEqual(
    [expired['state'], expired['created_at'], expired['expires_at']],
    ['expired', START, '2026-02-14T10:00:00Z'],
  );
  assert.deepEqual([open['state'], open['expires_at']], ['open', '2026-02-16T10:00:00Z']);
  assert.equal((await show(`${ledger}/accounts/ANN`))['held'], 5);
  const late = await request(service, 'POST', `${ledger}/holds/${ids[0]}/capture`, {}, WAIT);
  assert.deepEqual([late.body['status'], late.body['failure_code']], ['failed', 'hold_not_open']);
});

test('clock: many holds that become due have expired when the advance is answered', async () => {
  const ledger = await createLedger();
  const bodies = Array.from({ length: 300 }, (_, index) => index);
  await Promise.all(
    bodies.map(async (index) => {
      const body = { from_account: index % 2 ? 'ANN' : 'BOB', to_account: '@external', amount: 1, expires_in: 60 };
      const made = await request(service, 'POST', `${ledger}/holds`, body, WAIT);
      assert.equal(made.body['status'], 'completed', made.text);
    }),
  );
  await advance(ledger, '2026-01-16T00:00:00Z');
  for (const number of ['ANN', 'BOB']) assert.equal((await show(`${ledger}/accounts/${number}`))['held'], 0);
});

test('clock: a hold that is due when it is made expires as well', async () => {
  const ledger = await createLedger();
  const locked = await database.connect();
  await locked.query(
    `begin; select from accounts join ledgers on id = ledger_id where name = '${ledger.slice(9)}' for update of accounts`,
  );
  const body = { from_account: 'ANN', to_account: 'BOB', amount: 5, expires_in: 60 };
  const made = await request(service, 'POST', `${ledger}/holds`, body);
  assert.deepEqual([made.status, made.body['created_at']], [202, START], made.text);
  await advance(ledger, '2026-01-16T00:00:00Z');
  await locked.query('rollback');
  const id = String(made.body['id']);
  await until(async () => (await show(`${ledger}/holds/${id}`))['state'] === 'expired', { what: 'the hold to expire' });
  const settled = await show(`${ledger}/transfers/${id}`);
  assert.deepEqual([settled['created_at'], settled['completed_at']], [START, '2026-01-16T00:00:00Z']);
});

test('clock: it does not move by itself', async () => {
  const ledger = await createLedger();
  const still = await hold(ledger, 1);
  await request(service, 'POST', '/ledgers', { name: 'moving' });
  for (const number of ['ANN', 'BOB']) {
    await request(service, 'POST', '/ledgers/moving/accounts', { account_number: number, name: number, balance: 9 });
  }
  const moving = await hold('/ledgers/moving', 1);
  await until(async () => (await show(`/ledgers/moving/holds/${moving}`))['state'] === 'expired', {
    what: 'a hold by the real clock to expire',
  });
  assert.equal((await show(`${ledger}/holds/${still}`))['state'], 'open');
  assert.deepEqual([(await pay(ledger))['completed_at'], (await pay(ledger))['created_at']], [START, START]);
  assert.equal((await show(ledger))['now'], START);
});

test('clock: transfers, openings, changes and events have the time of the ledger', async () => {
  const ledger = await createLedger();
  await pay(ledger);
  await advance(ledger, '2026-02-01T00:00:00Z');
  const paid = await pay(ledger, 2);
  assert.deepEqual([paid['created_at'], paid['completed_at']], ['2026-02-01T00:00:00Z', '2026-02-01T00:00:00Z']);
  const stored = await request(service, 'POST', `${ledger}/transfers`, {
    from_account: 'ANN',
    to_account: 'BOB',
    amount: 3,
  });
  assert.deepEqual([stored.status, stored.body['created_at']], [202, '2026-02-01T00:00:00Z']);
  await until(async () => (await show(`${ledger}/transfers/${String(stored.body['id'])}`))['status'] === 'completed', {
    what: 'the transfer to complete',
  });
  await request(service, 'PATCH', `${ledger}/accounts/ANN`, { metadata: { a: 'b' } });
  const { items } = eventPage.parse(await show(`${ledger}/events`));
  const times = items.map(({ settled_at: at }) => at);
  assert.deepEqual(times, [START, START, START, ...Array.from({ length: 4 }, () => '2026-02-01T00:00:00Z')]);
  const { items: early } = await show(`${ledger}/transfers?until=2026-02-01T00:00:00Z`);
  const { items: late } = await show(`${ledger}/transfers?account=ANN&since=2026-02-01T00:00:00Z`);
  const amounts = (list: unknown) => Array.isArray(list) && list.map((each: Record<string, unknown>) => each['amount']);
  assert.deepEqual(
    [amounts(early), amounts(late)],
    [
      [1, 1000, 1000],
      [3, 2],
    ],
  );
});

test('clock: a month is final once the clock is past it', async () => {
  const ledger = await createLedger();
  await pay(ledger, 7);
  const path = `${ledger}/accounts/ANN/statements/2026-01`;
  assert.equal((await show(path))['final'], false);
  assert.deepEqual(await refused('GET', `${ledger}/accounts/ANN/statements/2026-02`, undefined), [
    400,
    'invalid_request',
  ]);
  await advance(ledger, '2026-02-01T00:00:00Z');
  await pay(ledger, 11);
  const january = await show(path);
  assert.deepEqual([january['final'], january['total_out'], january['closing_balance']], [true, 7, 993]);
  const february = await show(`${ledger}/accounts/ANN/statements/2026-02`);
  assert.deepEqual([february['final'], february['total_out'], february['opening_balance']], [false, 11, 993]);
});

test('clock: a balance in the past is final, and a later one is refused at once', async () => {
  const ledger = await createLedger();
  await pay(ledger, 7);
  for (const at of [START, '2026-01-15T10:00:01Z']) {
    for (const path of ['/accounts/ANN/balance', '/balances']) {
      const answer = await request(service, 'GET', `${ledger}${path}?at=${at}`);
      assert.deepEqual([answer.status, answer.body['code']], [409, 'clock_is_earlier']);
    }
  }
  await advance(ledger, '2026-01-15T10:00:00.000001Z');
  assert.equal((await show(`${ledger}/accounts/ANN/balance?at=${START}`))['balance'], 993);
  await pay(ledger, 11);
  assert.equal((await show(`${ledger}/accounts/ANN/balance?at=${START}`))['balance'], 993);
  assert.equal((await show(`${ledger}/balances?at=${START}`))['settled_at'], START);
});

test('clock: the longest hold ends by the clock, up to the last year that it can show', async () => {
  const ledger = await createLedger('8999-12-31T00:00:00Z');
  const longest = 10 * 365 * DAY;
  const id = await hold(ledger, longest);
  assert.equal((await show(`${ledger}/holds/${id}`))['expires_at'], '9009-12-29T00:00:00Z');
  const body = { from_account: 'ANN', to_account: 'BOB', amount: 5, expires_in: longest + 1 };
  assert.deepEqual(await refused('POST', `${ledger}/holds`, body), [400, 'invalid_request']);
});

test('clock: an advance needs ledgers:admin, and is in the audit log', async (t) => {
  const own = await createDatabase(t);
  const admin = await makeKey(own);
  const other = await makeKey(own, { scopes: ['accounts:write', 'transfers:write'] });
  const guarded = await startService(t, { database: own, env: { THREADS: '1' } });
  const post = async (path: string, body: object, key = admin) =>
    await request(guarded, 'POST', path, body, key.headers);
  await post('/ledgers', { name: 'sandbox', clock: 'manual', now: START });
  const to = '2026-02-01T00:00:00Z';
  assert.equal((await post('/ledgers/sandbox/clock', { now: to }, other)).body['code'], 'insufficient_scope');
  assert.equal((await post('/ledgers/sandbox/clock', { now: to })).status, 200);
  const log = await request(guarded, 'GET', '/ledgers/sandbox/audit-log?refused=false', undefined, admin.headers);
  const { items } = log.body;
  assert.ok(Array.isArray(items));
  const [{ action, actor, subject, details, at }] = items;
  assert.deepEqual([action, actor, subject], ['ledger.clock_advanced', admin.id, 'sandbox']);
  assert.deepEqual(details, { from: START, to });
  assert.notEqual(at, to, 'the log has the real time');
});

test('clock: the database refuses every other change of a clock', async () => {
  const ledger = await createLedger();
  const of = `ledger_id = (select id from ledgers where name = '${ledger.slice(9)}')`;
  const before = await database.query(`select * from journal_head where ${of} or ledger_id = 1 order by ledger_id`);
  const changes = [
    { change: 'clock = null', where: of, code: '23001' },
    { change: `opened_at = 'epoch', clock = '2026-01-15T09:59:59Z'`, where: of, code: '23001' },
    { change: `clock = '9000-01-01T00:00:00Z'`, where: 'ledger_id = 1', code: '23001' },
    { change: `clock = '2026-01-15T09:59:59Z'`, where: of, code: '23514' },
    { change: `clock = 'infinity'`, where: of, code: '23514' },
    { change: `opened_at = '2026-01-15T10:00:01Z'`, where: of, code: '23514' },
    { change: `closed_until = '2026-01-15T10:00:01Z'`, where: of, code: '23514' },
  ];
  for (const { change, where, code } of changes) {
    await assert.rejects(database.query(`update journal_head set ${change} where ${where}`), { code }, change);
  }
  const after = await database.query(`select * from journal_head where ${of} or ledger_id = 1 order by ledger_id`);
  assert.deepEqual(after, before);
});
