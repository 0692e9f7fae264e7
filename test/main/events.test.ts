// GET /events: the feed, page by page and live. The received events are compared with the database, row by row.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, test } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { eventPage, type FeedEvent, follow } from './follower.ts';

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '4' } });
  onEnd(t, async () => {
    await service.stop();
    await checkPromises(database, { nothingPending: true });
  });
  await open({ account_number: 'ANN', balance: 10_000 });
  await open({ account_number: 'BOB' });
});

async function open(account: Record<string, unknown>): Promise<void> {
  const answer = await request(service, 'POST', '/accounts', { name: 'Ada', ...account });
  assert.equal(answer.status, 201, answer.text);
}

async function post(path: string, body: unknown, status = 'completed'): Promise<string> {
  const answer = await request(service, 'POST', path, body, { prefer: 'wait=10' });
  assert.equal(answer.body['status'], status, answer.text);
  return String(answer.body['id']);
}

async function page(query = ''): Promise<{ items: FeedEvent[]; next: number }> {
  const answer = await request(service, 'GET', `/events${query}`);
  assert.equal(answer.status, 200, answer.text);
  return eventPage.parse(answer.body);
}

async function journalNumber(): Promise<number> {
  const [head] = await database.query<{ number: bigint }>('select number from journal_ends');
  return Number(head?.number);
}

/** As the documents describe it. */
function hashOf(event: FeedEvent): string {
  const { ledger, journal_number: number, transfer_count: transfers, change_count: changes } = event;
  const micros = Temporal.Instant.from(event.settled_at).epochNanoseconds / 1000n;
  return createHash('sha256')
    .update(event.previous_hash, 'hex')
    .update([ledger, number, micros, transfers, changes].join('|'))
    .update(event.digest, 'hex')
    .digest('hex');
}

test('events: an event has all that its row covers, and the rows are a chain of hashes', async () => {
  const before = await journalNumber();
  const paid = await post('/transfers', {
    from_account: 'ANN',
    to_account: 'BOB',
    amount: 5,
    metadata: { order: 'A1' },
  });
  const refused = await post('/transfers', { from_account: 'BOB', to_account: 'ANN', amount: 9999 }, 'failed');
  const renamed = await request(service, 'PATCH', '/accounts/BOB', { name: 'Robert' });
  assert.equal(renamed.status, 200, renamed.text);

  const { items, next } = await page(`?after=${before}`);
  assert.deepEqual(
    items.map((item) => item.journal_number),
    [before + 1, before + 2, before + 3],
  );
  assert.equal(next, before + 3);
  const [payment, refusal, change] = items;
  const [transfer] = payment?.transfers ?? [];
  const shown = await request(service, 'GET', `/transfers/${paid}`);
  assert.deepEqual(transfer, {
    ...shown.body,
    type: 'transfer.completed',
    from_entry_number: 2,
    to_entry_number: 1,
  });
  assert.deepEqual(payment?.account_changes, []);
  assert.equal(refusal?.transfers[0]?.id, refused);
  assert.deepEqual(
    [refusal?.transfers[0]?.from_entry_number, refusal?.transfers[0]?.failure_code],
    [null, 'insufficient_funds'],
  );
  assert.deepEqual(change?.account_changes, [
    { type: 'account.updated', account_number: 'BOB', currency: 'USD', change_number: 2 },
  ]);
  assert.deepEqual(change?.transfers, []);

  const all = await page('?limit=1000');
  let previous = '0'.repeat(64);
  for (const item of all.items) {
    assert.equal(item.previous_hash, previous);
    assert.equal(item.hash, hashOf(item));
    assert.deepEqual(
      [item.ledger, item.transfer_count, item.change_count],
      ['main', item.transfers.length, item.account_changes.length],
    );
    previous = item.hash;
  }
  const [head] = await database.query<{ hash: string }>(`select encode(hash, 'hex') as hash from journal_ends`);
  assert.equal(previous, head?.hash);
});

test('events: pages follow each other without a gap, and the last one is empty', async () => {
  const numbers: number[] = [];
  for (let after = 0; ;) {
    const { items, next } = await page(`?after=${after}&limit=2`);
    assert.ok(items.length <= 2);
    numbers.push(...items.map((item) => item.journal_number));
    if (items.length === 0) {
      assert.equal(next, after, 'The next page after the end begins where this one did.');
      break;
    }
    after = next;
  }
  const last = await journalNumber();
  assert.deepEqual(
    numbers,
    Array.from({ length: last }, (_, index) => index + 1),
  );
});

test('events: a page is bounded by transfers too, and still has at least one event', async () => {
  const before = await journalNumber();
  const transfers = Array.from({ length: 400 }, () => ({ from_account: 'ANN', to_account: 'BOB', amount: 1 }));
  for (let round = 0; round < 2; round += 1) {
    const answer = await request(service, 'POST', '/transfers', { transfers, atomic: true }, { prefer: 'wait=10' });
    assert.equal(answer.status, 200, answer.text);
  }
  const first = await page(`?after=${before}&limit=1000`);
  assert.deepEqual(
    first.items.map((item) => item.transfers.length),
    [400],
  );
  const second = await page(`?after=${first.next}&limit=1000`);
  assert.equal(second.items[0]?.transfers.length, 400);
});

test('events: a live follower receives earlier and new settlements', async (t) => {
  const stream = follow(t, service, { after: 0 });
  const before = await journalNumber();
  await until(() => stream.last() === before, { what: 'the events so far' });
  const id = await post('/transfers', { from_account: 'ANN', to_account: 'BOB', amount: 1 });
  await until(() => stream.events.at(-1)?.transfers[0]?.id === id, { what: 'the new event' });
  const pages = await page('?limit=1000&after=0');
  assert.deepEqual(stream.events.slice(0, pages.items.length), pages.items, 'Both forms have the same events.');
  assert.equal(stream.headers()['content-type'], 'text/event-stream');
});

test('events: settlements of another process arrive too', async (t) => {
  const other = await startService(t, { database, env: { THREADS: '2' } });
  const stream = follow(t, other, { after: await journalNumber() });
  await until(() => stream.isOpen(), { what: 'the stream' });
  const id = await post('/transfers', { from_account: 'ANN', to_account: 'BOB', amount: 1 });
  await until(() => stream.events.some((event) => event.transfers.some((transfer) => transfer.id === id)), {
    what: 'the event of the other process',
  });
});

test('events: Last-Event-ID outranks after', async (t) => {
  const last = await journalNumber();
  const stream = follow(t, service, { after: 0, lastEventId: last - 1 });
  await until(() => stream.last() === last, { what: 'the last event' });
  assert.deepEqual(
    stream.events.map((event) => event.journal_number),
    [last],
  );
});

test('events: an invalid journal position is refused, in both forms', async () => {
  const beyond = (await journalNumber()) + 1000;
  const live = { accept: 'text/event-stream' };
  const cases: [string, Record<string, string>][] = [
    ['?after=-1', {}],
    ['?after=', {}],
    ['?after=1.5', {}],
    ['?after=x', live],
    ['?limit=0', {}],
    ['?since=1', {}],
    [`?after=${beyond}`, {}],
    [`?after=${beyond}`, live],
    ['', { ...live, 'last-event-id': 'abc' }],
    ['', { ...live, 'last-event-id': String(beyond) }],
  ];
  for (const [query, headers] of cases) {
    const answer = await request(service, 'GET', `/events${query}`, undefined, headers);
    assert.deepEqual(
      [answer.status, answer.body['code']],
      [400, 'invalid_request'],
      `${query} ${JSON.stringify(headers)}`,
    );
  }
});

test('events: a missing journal row is not reported as an unavailable database', async (t) => {
  const damaged = await createDatabase(t);
  const reader = await startService(t, { database: damaged, env: { THREADS: '1', LOG_LEVEL: 'error' } });
  for (const name of ['ANN', 'BOB', 'EVE']) {
    const account = { account_number: name, name, balance: 1 };
    assert.equal((await request(reader, 'POST', '/accounts', account)).status, 201);
  }
  const client = await damaged.connect();
  await client.query('set session_replication_role = replica');
  await client.query('delete from journal where number = 2');
  const { status, body, text } = await request(reader, 'GET', '/events?after=0');
  assert.deepEqual([status, body['code']], [500, 'internal_error'], text);
  const line = await until(() => reader.logs().find(({ level }) => level === 50), { what: 'the error in the log' });
  assert.match(JSON.stringify(line), /The journal has a gap between 0 and \d+; run gopherpay audit/);
});
