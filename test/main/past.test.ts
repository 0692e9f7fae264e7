// An answer about a past instant is final: a balance, a trial balance, a statement of a month that is over.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '1' } });
  for (const number of ['ANN', 'BOB']) {
    const account = { account_number: number, name: number, balance: 1000 };
    assert.equal((await request(service, 'POST', '/accounts', account)).status, 201);
  }
});

async function pay(amount: number): Promise<{ completedAt: string; createdAt: string; id: string }> {
  const order = { from_account: 'ANN', to_account: 'BOB', amount };
  const { body, text } = await request(service, 'POST', '/transfers', order, { prefer: 'wait=10' });
  assert.equal(body['status'], 'completed', text);
  return { completedAt: String(body['completed_at']), createdAt: String(body['created_at']), id: String(body['id']) };
}

/** The answer about a past instant: on a slow machine it may take several requests until the instant is closed. */
async function balanceAt(at: string): Promise<Record<string, unknown>> {
  return await until(
    async () => {
      const answer = await request(service, 'GET', `/accounts/ANN/balance?at=${encodeURIComponent(at)}`);
      if (answer.body['code'] === 'instant_not_closed') return undefined;
      assert.equal(answer.status, 200, answer.text);
      return answer.body;
    },
    { what: `an answer about ${at}` },
  );
}

async function databaseClock(offset = '0 seconds'): Promise<string> {
  const [row] = await database.query<{ now: string }>(
    `select to_char((clock_timestamp() + $1::interval) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as now`,
    [offset],
  );
  return row?.now ?? '';
}

/** An instant that is `micros` after another one, with `digits` more. */
async function shifted(instant: string, micros: number, digits: string): Promise<string> {
  const [row] = await database.query<{ text: string }>(
    `select to_char(($1::timestamptz + $2 * interval '1 microsecond') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as text`,
    [instant, micros],
  );
  return `${row?.text}${digits}Z`;
}

test('past: an instant at which a transfer is committing is answered after the commit', async () => {
  const before = await balanceAt(await databaseClock());
  // Acts like a job: it reads the time under the lock of the head, and commits later.
  const job = await database.connect();
  await job.query(`
    begin;
    select from journal_head for no key update;
    insert into journal (ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash)
    select 1, number + 1, clock_timestamp(), 1, 1, 0, hash, hash, hash from journal_ends;
    insert into entries (ledger_id, entry_number, amount, balance, journal_number, transfer_id, account_number, currency)
    select 1, entry_count + 1, 5, balance + 5, journal_ends.number, gen_random_uuid(), account_number, currency
    from accounts
    cross join journal_ends
    where account_number = 'ANN';
    update accounts set entry_count = entry_count + 1, balance = balance + 5 where account_number = 'ANN'`);
  const at = await databaseClock();
  let answered = false;
  const answer = balanceAt(at).finally(() => (answered = true));
  await until(async () => answered || (await isWaitingForHead()), { what: 'the read to wait for the head' });
  await job.query('commit');
  const first = await answer;
  assert.equal(first['balance'], Number(before['balance']) + 5);
  await pay(1);
  assert.deepEqual(await balanceAt(at), first);
});

async function isWaitingForHead(): Promise<boolean> {
  const waiting = await database.query(
    `select from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock' and query like '%update journal_head%'`,
  );
  return waiting.length > 0;
}

test('past: the answer for the instant of the last settlement never changes', async () => {
  for (const amount of [1, 2, 3]) {
    const { completedAt } = await pay(amount);
    const [balance, trial] = [
      await balanceAt(completedAt),
      await request(service, 'GET', `/balances?at=${completedAt}`),
    ];
    const [entry] = await database.query<{ balance: bigint }>(
      `select balance from entries where account_number = 'ANN' order by entry_number desc limit 1`,
    );
    assert.equal(balance['balance'], Number(entry?.balance));
    assert.equal(trial.body['settled_at'], completedAt);
    await pay(10);
    assert.deepEqual(await balanceAt(completedAt), balance);
    assert.equal((await request(service, 'GET', `/balances?at=${completedAt}`)).text, trial.text);
  }
});

test('past: a future instant is refused, with the seconds until then', async (t) => {
  const own = await createDatabase(t);
  const other = await startService(t, { database: own, env: { THREADS: '1' } });
  await request(other, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann' });
  const at = await databaseClock('100 seconds');
  const closedUntil = async () => await own.query('select closed_until::text from journal_head');
  const before = await closedUntil();
  for (const path of ['/balances', '/accounts/ANN/balance']) {
    const { status, body, headers } = await request(other, 'GET', `${path}?at=${at}`);
    assert.deepEqual([status, body['code']], [409, 'instant_not_closed']);
    assert.ok(Number(headers['retry-after']) > 90 && Number(headers['retry-after']) <= 101);
  }
  assert.deepEqual(await closedUntil(), before);
});

test('past: digits beyond microseconds do not move an instant', async () => {
  const { completedAt, createdAt, id } = await pay(11);
  const now = await balanceAt(completedAt);
  assert.equal((await balanceAt(await shifted(completedAt, 0, '9')))['entry_number'], now['entry_number']);
  for (const digits of ['', '5', '9', '999']) {
    const earlier = await balanceAt(await shifted(completedAt, -1, digits));
    assert.equal(earlier['entry_number'], Number(now['entry_number']) - 1, digits);
    const trial = await request(service, 'GET', `/balances?at=${await shifted(completedAt, -1, digits)}`);
    assert.notEqual(trial.body['settled_at'], completedAt);
  }
  const isListed = async (query: string) => {
    const { body, text } = await request<{ items?: { id: string }[] }>(
      service,
      'GET',
      `/transfers?limit=1000&${query}`,
    );
    return (body.items ?? assert.fail(text)).some((item) => item.id === id);
  };
  for (const [name, micros, digits, expected] of [
    ['since', 0, '', true],
    ['since', 0, '0', true],
    ['since', 0, '1', false],
    ['since', -1, '9', true],
    ['until', 0, '', false],
    ['until', 0, '000', false],
    ['until', 0, '001', true],
    ['until', -1, '4', false],
    ['until', -1, '9', false],
  ] as const) {
    const query = `${name}=${await shifted(createdAt, micros, digits)}`;
    assert.equal(await isListed(query), expected, query);
  }
});

// This one is the last, because it moves the end of the past to an instant that is to come.
test('past: no transfer settles before a closed instant, even if the database clock is earlier', async () => {
  const closedUntil = await databaseClock('1 hour');
  await database.query('update journal_head set closed_until = $1::timestamptz', [closedUntil]);
  const at = await shifted(closedUntil, -1, '');
  const before = await balanceAt(at);
  const { completedAt } = await pay(7);
  assert.equal(await shifted(completedAt, 0, ''), closedUntil);
  assert.deepEqual(await balanceAt(at), before);
  // Everything settles at this one instant until the clock has caught up, so its answer is not final.
  const open = await request(service, 'GET', `/accounts/ANN/balance?at=${closedUntil}`);
  assert.deepEqual([open.status, open.body['code']], [409, 'instant_not_closed']);
});
