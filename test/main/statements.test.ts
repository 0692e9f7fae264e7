// Statements: the content of a month of an account, in three forms, and refused requests.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { before, test } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import {
  HOSTILE,
  makeBooks,
  moveBack,
  openAccount,
  pay,
  readStatement,
  statementSchema,
} from '../support/statement-books.ts';

const MONTHS = ['2024-10', '2024-11', '2024-12', '2025-01', '2025-02', '2025-03', '2025-04', '2025-05'];
const JANUARY = '/accounts/ANN/statements/2025-01';

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '2' } });
  await makeBooks(service, database);
});

async function currentMonth(): Promise<string> {
  const [row] = await database.query<{ month: string }>(
    `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM') as month`,
  );
  return row?.month ?? '';
}

test('statements: a month has its entries, balances and totals, from its first microsecond to its last', async () => {
  const { entries, ...rest } = await readStatement(service, 'ANN', '2025-01');
  assert.equal(entries.length, 3);
  assert.deepEqual(rest, {
    object: 'statement',
    account_number: 'ANN',
    name: 'Ann <b>O\u2019Neil</b>',
    currency: 'USD',
    month: '2025-01',
    begins: '2025-01-01T00:00:00Z',
    ends: '2025-02-01T00:00:00Z',
    final: true,
    entry_count: 3,
    first_entry_number: 2,
    last_entry_number: 4,
    opening_balance: 500,
    total_in: 12_345,
    total_out: 2045,
    closing_balance: 10_800,
  });
  assert.partialDeepStrictEqual(entries, [
    {
      entry_number: 2,
      settled_at: '2025-01-01T00:00:00Z',
      kind: 'transfer',
      counterparty: '@external',
      description: 'first',
      amount: 12_345,
      balance: 12_845,
    },
    {
      entry_number: 3,
      settled_at: '2025-01-15T12:34:56.5Z',
      kind: 'transfer',
      counterparty: 'BOB',
      description: HOSTILE,
      amount: -2000,
      balance: 10_845,
    },
    {
      entry_number: 4,
      settled_at: '2025-01-31T23:59:59.999999Z',
      kind: 'transfer',
      counterparty: '-SHOP',
      description: null,
      amount: -45,
      balance: 10_800,
    },
  ]);
  const shown = await request(service, 'GET', `/transfers/${entries[1]?.transfer_id}`);
  assert.equal(shown.body['description'], HOSTILE);
});

test('statements: each month opens with the closing balance of the month before, and together they have every entry', async () => {
  const accounts = ['ANN', 'BOB', '-SHOP', 'YUKI'];
  for (const account of accounts) {
    const numbers: number[] = [];
    let balance = 0;
    for (const month of [...MONTHS, await currentMonth()]) {
      const statement = await readStatement(service, account, month);
      assert.equal(statement.opening_balance, balance, `${account} ${month}`);
      for (const entry of statement.entries) {
        balance += entry.amount;
        assert.equal(entry.balance, balance);
        numbers.push(entry.entry_number);
      }
      assert.equal(statement.closing_balance, balance);
      assert.equal(statement.total_in - statement.total_out, balance - statement.opening_balance);
      assert.equal(statement.entry_count, statement.entries.length);
    }
    const shown = await request(service, 'GET', `/accounts/${account}`);
    assert.equal(shown.body['balance'], balance);
    assert.deepEqual(
      numbers,
      Array.from({ length: Number(shown.body['entry_count']) }, (_, index) => index + 1),
    );
  }
});

test('statements: a month without entries has none', async () => {
  const march = await readStatement(service, 'ANN', '2025-03');
  assert.deepEqual([march.first_entry_number, march.last_entry_number, march.entry_count], [null, null, 0]);
  assert.deepEqual([march.opening_balance, march.closing_balance, march.entries], [10_900, 10_900, []]);
});

test('statements: @external has one for each currency', async () => {
  const path = '/accounts/@external/statements/2024-11';
  const unclear = await request(service, 'GET', path);
  assert.deepEqual([unclear.status, unclear.body['code']], [400, 'invalid_request']);
  const yen = statementSchema.parse((await request(service, 'GET', `${path}?currency=JPY`)).body);
  assert.deepEqual([yen.currency, yen.closing_balance, yen.total_out], ['JPY', -1_234_567, 1_234_567]);
});

test('statements: a past month is final, also without later entries, and the current month is not', async (t) => {
  assert.equal((await readStatement(service, 'ANN', await currentMonth())).final, false);

  const own = await createDatabase(t);
  const other = await startService(t, { database: own, env: { THREADS: '1' } });
  await openAccount(other, { account_number: 'ANN', balance: 5 });
  await moveBack(own, 1, 3, '2025-01-31T23:59:59Z');
  await own.query(`update journal_head set closed_until = '2025-01-31T23:59:59Z'`);
  assert.equal((await readStatement(other, 'ANN', '2025-01')).final, true);
  await pay(other, { from_account: 'ANN', to_account: '@external', amount: 1 });
  const january = await readStatement(other, 'ANN', '2025-01');
  assert.deepEqual([january.final, january.closing_balance], [true, 5]);
});

test('statements: an invalid month, a future month and an unknown account are refused', async () => {
  const months = ['2025-13', '2025-00', '2025-1', '0000-01', '202501', '2025-01-01', '2999-01', '9999-12', "'", '%00'];
  for (const month of months) {
    const answer = await request(service, 'GET', `/accounts/ANN/statements/${month}`);
    assert.deepEqual([answer.status, answer.body['code']], [400, 'invalid_request'], month);
  }
  const unknown = await request(service, 'GET', '/accounts/NOSUCH/statements/2025-01');
  assert.deepEqual([unknown.status, unknown.body['code']], [404, 'account_not_found']);
  for (const query of ['?format=pdf', '?format=', '?currency=usd', '?page=2']) {
    const answer = await request(service, 'GET', `${JANUARY}${query}`);
    assert.deepEqual([answer.status, answer.body['code']], [400, 'invalid_request'], query);
  }
  const other = await request(service, 'GET', `${JANUARY}?currency=EUR`);
  assert.equal(other.status, 404);
});

test('statements: the Accept header chooses the form, and format outranks it', async () => {
  const json = 'application/json';
  const csv = 'text/csv; charset=utf-8; header=present';
  const html = 'text/html; charset=utf-8';
  const browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
  const cases: [string, string, string][] = [
    ['', '*/*', json],
    ['', browser, html],
    ['', 'text/csv', csv],
    ['', 'text/*;q=0.5, text/html;q=0.1', csv],
    ['', 'application/json;q=0.2, TEXT/HTML;q=0.3', html],
    ['', 'text/html;q=0, */*;q=0.1', json],
    ['', 'image/png', json],
    ['?format=csv', browser, csv],
    ['?format=json', browser, json],
    ['?format=html', '*/*', html],
  ];
  for (const [query, accept, expected] of cases) {
    const answer = await request(service, 'GET', `${JANUARY}${query}`, undefined, { accept });
    assert.equal(answer.headers['content-type'], expected, `${query} ${accept}`);
    assert.equal(answer.headers['vary'], 'Accept, Origin');
  }
});

test('statements: CSV has a row for each entry between the two balances, and no formulas', async () => {
  const { entries } = await readStatement(service, 'ANN', '2025-01');
  const [first, second, third] = entries.map((entry) => entry.transfer_id);
  const answer = await request(service, 'GET', `${JANUARY}?format=csv`);
  assert.equal(
    answer.text,
    [
      'entry_number,settled_at,transfer_id,kind,counterparty,description,currency,amount,balance',
      ',2025-01-01T00:00:00Z,,opening_balance,,,USD,,500',
      `2,2025-01-01T00:00:00Z,${first},transfer,@external,first,USD,12345,12845`,
      `3,2025-01-15T12:34:56.5Z,${second},transfer,BOB,"'${HOSTILE.replaceAll('"', '""')}",USD,-2000,10845`,
      `4,2025-01-31T23:59:59.999999Z,${third},transfer,'-SHOP,,USD,-45,10800`,
      ',2025-02-01T00:00:00Z,,closing_balance,,,USD,,10800',
      '',
    ].join('\n'),
  );
  assert.equal(answer.headers['content-disposition'], 'attachment; filename="ANN-USD-2025-01.csv"');
});

test('statements: bom and decimals change the CSV, and nothing else', async () => {
  const answer = await fetch(`${service.url}${JANUARY}?format=csv&bom=true&decimals=true`);
  // A reader of text drops the mark.
  const csv = Buffer.from(await answer.arrayBuffer()).toString('utf8');
  assert.match(csv, /^\uFEFFentry_number,.*\n.*,USD,,5\.00\n/);
  assert.match(csv, /,USD,-0\.45,108\.00\n.*,closing_balance,,,USD,,108\.00\n$/);
  const json = await request(service, 'GET', `${JANUARY}?bom=true&decimals=true`);
  assert.equal(json.text, (await request(service, 'GET', JANUARY)).text);
});

test('statements: the page shows formatted money, runs no script and loads nothing', async () => {
  const { text, headers } = await request(service, 'GET', `${JANUARY}?format=html`);
  assert.match(
    String(headers['content-security-policy']),
    /^default-src 'none'; style-src 'unsafe-inline'; .*frame-ancestors 'none'$/,
  );
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.match(text, /<h1>Statement January 2025<\/h1>/);
  for (const figure of ['>5.00<', '>123.45<', '>−20.45<', '>108.00<', '>−20.00<', '>−0.45<']) {
    assert.ok(text.includes(figure), figure);
  }
  assert.ok(
    text.includes('=cmd|&#39;/C calc&#39;!A0 &lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &quot;co&quot;'),
  );
  assert.ok(text.includes('Ann &lt;b&gt;O\u2019Neil&lt;/b&gt;'));
  assert.doesNotMatch(text, /<(script|link|img|iframe|object|form|a)\b|\son\w+=|url\(|@import|https?:/i);
  assert.doesNotMatch(text, /not closed yet/);

  const yen = await request(service, 'GET', '/accounts/YUKI/statements/2024-11?format=html');
  assert.ok(yen.text.includes('>1,234,567<'), 'The yen has no minor units.');
  const now = await request(service, 'GET', `/accounts/ANN/statements/${await currentMonth()}?format=html`);
  assert.match(now.text, /not closed yet/);
});

test(
  'statements: a long month is complete, and concurrent ones are limited by the stream slots',
  { timeout: 60_000 },
  async (t) => {
    const own = await createDatabase(t);
    const other = await startService(t, {
      database: own,
      env: { THREADS: '4', STATEMENT_STREAMS_MAX: '1', MAX_QUEUE: '20000' },
    });
    await openAccount(other, { account_number: 'HOT', balance: 12_000 });
    await openAccount(other, { account_number: 'BOB' });
    const description = 'x'.repeat(480);
    const transfers = Array.from({ length: 1000 }, () => ({
      from_account: 'HOT',
      to_account: 'BOB',
      amount: 1,
      description,
    }));
    for (let thousand = 0; thousand < 12; thousand += 1) {
      const answer = await request(other, 'POST', '/transfers', { transfers }, { prefer: 'wait=30' });
      assert.equal(answer.status, 200, answer.text.slice(0, 300));
    }
    const month = await currentMonth();
    const statement = await readStatement(other, 'HOT', month);
    assert.equal(statement.entries.length, 12_001);
    assert.ok(statement.entries.every(({ entry_number, balance }) => balance === 12_001 - entry_number));

    // A reader that stalls after the beginning keeps the only slot.
    const { hostname, port } = new URL(other.url);
    const socket = connect(Number(port), hostname);
    onEnd(t, () => {
      socket.destroy();
    });
    socket.write(`GET /accounts/HOT/statements/${month} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await new Promise((resolve) => {
      socket.once('data', resolve);
    });
    socket.pause();
    const refused = await request(other, 'GET', `/accounts/BOB/statements/${month}`);
    assert.deepEqual([refused.status, refused.body['code']], [503, 'too_many_streams']);
    assert.match(String(refused.headers['retry-after']), /^\d+$/);
    socket.destroy();
    await until(async () => (await request(other, 'GET', `/accounts/BOB/statements/${month}`)).status === 200, {
      what: 'the slot of the disconnected reader',
    });
    await until(() => other.logs().some((line) => line['ended'] === 'hung_up'), { what: 'the line in the log' });
  },
);

test('statements: the interface description has all three forms', async () => {
  const { body } = await request<{
    paths: Record<string, { get: { responses: Record<string, { content: Record<string, unknown> }> } }>;
  }>(service, 'GET', '/openapi.json');
  const contentOf = (path: string) => Object.keys(body.paths[path]?.get.responses['200']?.content ?? {});
  assert.deepEqual(contentOf('/accounts/{account_number}/statements/{month}'), [
    'application/json',
    'text/csv',
    'text/html',
  ]);
  assert.deepEqual(contentOf('/events'), ['application/json', 'text/event-stream']);
  assert.deepEqual(contentOf('/balances'), ['application/json']);
});
