// GET /balances: the trial balance now and at an instant.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { z } from 'zod';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { request, type Service, startService } from '../support/service.ts';

const trialBalance = z.strictObject({
  object: z.literal('trial_balance'),
  at: z.string().nullable(),
  journal_number: z.int(),
  settled_at: z.string().nullable(),
  currencies: z.array(
    z.strictObject({
      currency: z.string(),
      account_count: z.int(),
      positive: z.int(),
      negative: z.int(),
      sum: z.int(),
    }),
  ),
});

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '2' } });
});

async function balances(at?: string): Promise<z.infer<typeof trialBalance>> {
  const query = at === undefined ? '' : `?at=${encodeURIComponent(at)}`;
  const answer = await request(service, 'GET', `/balances${query}`);
  assert.equal(answer.status, 200, answer.text);
  return trialBalance.parse(answer.body);
}

async function open(account: Record<string, unknown>): Promise<void> {
  const answer = await request(service, 'POST', '/accounts', { name: 'Ada', ...account });
  assert.equal(answer.status, 201, answer.text);
}

async function pay(from: string, to: string, amount: number): Promise<void> {
  const order = { from_account: from, to_account: to, amount };
  const answer = await request(service, 'POST', '/transfers', order, { prefer: 'wait=10' });
  assert.equal(answer.body['status'], 'completed', answer.text);
}

test('balances: every step stays readable at its instant', async () => {
  const empty = await balances();
  assert.deepEqual(empty, { object: 'trial_balance', at: null, journal_number: 0, settled_at: null, currencies: [] });

  await open({ account_number: 'ANN', balance: 1000 });
  await open({ account_number: 'BOB', overdraft_limit: 500 });
  await open({ account_number: 'IDLE' });
  await open({ account_number: 'YUKI', currency: 'JPY', balance: 7 });
  const opened = await balances();
  assert.deepEqual(opened.currencies, [
    { currency: 'JPY', account_count: 2, positive: 7, negative: -7, sum: 0 },
    { currency: 'USD', account_count: 2, positive: 1000, negative: -1000, sum: 0 },
  ]);

  await pay('BOB', 'ANN', 300);
  const drawn = await balances();
  assert.deepEqual(drawn.currencies.at(-1), {
    currency: 'USD',
    account_count: 3,
    positive: 1300,
    negative: -1300,
    sum: 0,
  });
  const [head] = await database.query<{ number: bigint }>('select number from journal_ends');
  assert.equal(drawn.journal_number, Number(head?.number));

  await pay('ANN', 'BOB', 300);
  // Each state is found again at the instant of its last journal row, and until the next one.
  for (const state of [opened, drawn]) {
    const then = await balances(state.settled_at ?? '');
    assert.deepEqual({ ...then, at: null }, state);
  }
  assert.deepEqual(await balances('2001-01-01T00:00:00Z'), { ...empty, at: '2001-01-01T00:00:00Z' });
});

test('balances: the instant of the last settlement equals now, and a future one is refused', async () => {
  const now = await balances();
  assert.deepEqual({ ...(await balances(now.settled_at ?? '')), at: null }, now);
  const later = await request(service, 'GET', '/balances?at=2999-01-01T00:00:00%2B02:00');
  assert.deepEqual([later.status, later.body['code']], [409, 'instant_not_closed']);
});

test('balances: the state at each journal row is the sum of the entries before it', async () => {
  for (let round = 1; round <= 12; round += 1)
    await pay(round % 3 === 0 ? 'BOB' : 'ANN', round % 2 === 0 ? '@external' : 'IDLE', round);
  const rows = await database.query<{ number: bigint; at: string }>(
    `select number, to_char(settled_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at from journal order by number`,
  );
  assert.ok(rows.length > 12);
  for (const { number, at } of rows) {
    const expected = await database.query<{ currency: string; accounts: bigint; positive: string; negative: string }>(
      `select currency, count(*) as accounts, coalesce(sum(balance) filter (where balance > 0), 0) as positive,
         coalesce(sum(balance) filter (where balance < 0), 0) as negative
       from (
         select account_number, currency, sum(amount) as balance
         from entries
         where journal_number <= $1::bigint
         group by account_number, currency
       ) as held
       group by currency
       order by currency`,
      [number],
    );
    const found = await balances(at);
    assert.equal(found.journal_number, Number(number));
    assert.deepEqual(
      found.currencies.map(({ account_count, positive, negative }) => [account_count, positive, negative]),
      expected.map((row) => [Number(row.accounts), Number(row.positive), Number(row.negative)]),
      `at ${at}`,
    );
  }
});

test('balances: sums beyond 2^53 keep all their digits', async (t) => {
  const most = 2n ** 53n - 1n;
  const own = await createDatabase(t);
  const other = await startService(t, { database: own, env: { THREADS: '1' } });
  for (const [number, balance] of [
    ['A', most],
    ['B', most],
    ['C', -most],
    ['D', -most],
  ] as const) {
    await own.query(
      `insert into accounts (ledger_id, account_number, currency, balance, overdraft_limit, entry_count)
       values (1, $1::text, 'USD', $2::bigint, $3::bigint, 1)`,
      [number, balance, most],
    );
  }
  const { text } = await request(other, 'GET', '/balances');
  assert.match(text, new RegExp(`"positive":${most * 2n},"negative":-${most * 2n},"sum":0`));
});

test('balances: an invalid instant is refused, and so is an unknown parameter', async () => {
  for (const query of ['?at=yesterday', '?at=2026-11-01', '?at=', '?on=2026-11-01T00:00:00Z']) {
    const answer = await request(service, 'GET', `/balances${query}`);
    assert.deepEqual([answer.status, answer.body['code']], [400, 'invalid_request'], query);
  }
});
