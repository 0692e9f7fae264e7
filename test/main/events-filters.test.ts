// The types of events and the filters of the feed: every event that passes a filter arrives once, and the cursor of a
// reader with a filter moves over what it skips.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import pino from 'pino';
import { parseConfig } from '../../src/config.ts';
import { createPool } from '../../src/db/connection/connect.ts';
import { type EventFilter, ALL_EVENTS } from '../../src/domain/event.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { Feed } from '../../src/main/api/feed.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { eventPage, type FeedEvent, follow } from './follower.ts';

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '2' } });
  for (const account_number of ['ANN', 'BOB', 'CAT']) {
    const opened = await request(service, 'POST', '/accounts', { account_number, name: 'Ada', balance: 100_000 });
    assert.equal(opened.status, 201, opened.text);
  }
  const paid = await post('/transfers', { from_account: 'ANN', to_account: 'BOB', amount: 5 });
  await post('/transfers', { from_account: 'ANN', to_account: 'BOB', amount: 9_999_999 });
  await post(`/transfers/${paid}/reversals`, {});
  const hold = await post('/holds', { from_account: 'ANN', to_account: 'CAT', amount: 50 });
  await post(`/holds/${hold}/capture`, { amount: 20 });
  await post(`/holds/${hold}/void`, {});
  await post('/holds', { from_account: 'BOB', to_account: 'CAT', amount: 50, expires_in: 1 });
  assert.equal((await request(service, 'PATCH', '/accounts/BOB', { name: 'Bob' })).status, 200);
  await until(async () => (await read('types=hold.expired')).items.length === 1, { what: 'the hold to expire' });
});

async function post(path: string, body: unknown): Promise<string> {
  const answer = await request(service, 'POST', path, body, { prefer: 'wait=10' });
  assert.equal(answer.status, 200, answer.text);
  return String(answer.body['id']);
}

async function read(query: string): Promise<{ items: FeedEvent[]; next: number }> {
  const answer = await request(service, 'GET', `/events?limit=1000&${query}`);
  assert.equal(answer.status, 200, answer.text);
  return eventPage.parse(answer.body);
}

/** All events that pass a filter: pages are read until their cursor no longer moves. */
async function readAll(query: string, limit: number): Promise<FeedEvent[]> {
  const events: FeedEvent[] = [];
  for (let after = 0; ;) {
    const answer = await request(service, 'GET', `/events?after=${after}&limit=${limit}&${query}`);
    const { items, next } = eventPage.parse(answer.body);
    assert.ok(items.length <= limit);
    events.push(...items);
    if (next === after) return events;
    after = next;
  }
}

const typesOf = (events: readonly FeedEvent[]): string[] =>
  events.flatMap(({ account_changes, transfers }) => [...account_changes, ...transfers].map(({ type }) => type));

test('events: each transfer and each change of an account has its type', async () => {
  const { items } = await read('');
  const counts = new Map<string, number>();
  for (const type of typesOf(items)) counts.set(type, (counts.get(type) ?? 0) + 1);
  // The first opening also opens @external.
  assert.deepEqual(Object.fromEntries([...counts].toSorted(([a], [b]) => (a < b ? -1 : 1))), {
    'account.opened': 4,
    'account.updated': 1,
    'hold.captured': 1,
    'hold.expired': 1,
    'hold.opened': 2,
    'hold.voided': 1,
    'transfer.completed': 5,
    'transfer.failed': 1,
  });
});

test('events: filters by type, account and kind leave exactly what they name, at any page size', async () => {
  const all = (await read('')).items;
  const filters: [string, (item: Record<string, unknown>) => boolean][] = [
    ['types=hold.opened,transfer.failed', ({ type }) => type === 'hold.opened' || type === 'transfer.failed'],
    ['types=account.updated', ({ type }) => type === 'account.updated'],
    ['account=BOB', (item) => [item['from_account'], item['to_account'], item['account_number']].includes('BOB')],
    ['kind=reversal', ({ kind }) => kind === 'reversal'],
    ['kind=transfer&account=BOB&types=transfer.failed', ({ type }) => type === 'transfer.failed'],
    ['account=NOSUCH', () => false],
  ];
  for (const [query, passes] of filters) {
    const expected = all
      .map((event) => ({
        ...event,
        transfers: event.transfers.filter(passes),
        account_changes: event.account_changes.filter(passes),
      }))
      .filter(({ transfers, account_changes }) => transfers.length + account_changes.length > 0);
    for (const limit of [1, 2, 1000]) assert.deepEqual(await readAll(query, limit), expected, `${query} by ${limit}`);
  }
});

test('events: an empty page of a filter ends behind the rows that it skipped', async () => {
  const { next: end } = await read('');
  const { items, next } = await read('account=NOSUCH');
  assert.deepEqual([items, next], [[], end]);
});

test('events: a live stream with a filter has its events only, and begins after its cursor', async (t) => {
  const { next: end } = await read('');
  const follower = follow(t, service, { after: 0, query: 'kind=transfer&account=CAT' });
  const later = follow(t, service, { after: end, query: 'types=transfer.completed' });
  await until(() => follower.isOpen() && later.isOpen(), { what: 'the streams' });
  await post('/transfers', { from_account: 'ANN', to_account: 'BOB', amount: 1 });
  const seen = await post('/transfers', { from_account: 'ANN', to_account: 'CAT', amount: 1 });
  const lastOf = (events: readonly FeedEvent[]) => events.at(-1)?.transfers.at(-1)?.id;
  await until(() => lastOf(follower.events) === seen && lastOf(later.events) === seen, { what: 'the last transfer' });
  assert.deepEqual(typesOf(follower.events), ['transfer.completed', 'transfer.completed']);
  assert.deepEqual(typesOf(later.events), ['transfer.completed', 'transfer.completed']);
});

test('events: a stream that its filter leaves empty moves its cursor with every keep-alive', async (t) => {
  const pool = createPool(database.settings, parseConfig({}).databaseTimeouts, 2);
  const feed = new Feed({ pool, logger: pino({ level: 'silent' }), lingerTimeoutMs: 1000, keepAliveMs: 20 });
  onEnd(t, async () => {
    await feed.stop();
    await pool.end();
  });
  const end = await feed.end(MAIN_LEDGER);
  const listen = (filter: EventFilter) => {
    const gone = new AbortController();
    const sent: string[] = [];
    const send = async (content: Buffer | string) => void sent.push(String(content));
    const writer = { gone: gone.signal, send, breakOff: () => gone.abort() };
    return { sent, following: feed.follow(MAIN_LEDGER, 0n, filter, writer), leave: () => gone.abort() };
  };
  const quiet = listen({ ...ALL_EVENTS, account: 'NOSUCH' });
  const cursor = `id: ${end}\nevent: cursor\ndata: {"next":${end}}\n\n`;
  await until(() => quiet.sent.includes(cursor), { what: 'the cursor' });
  const open = listen(ALL_EVENTS);
  await until(() => open.sent.includes(': nothing new\n\n'), { what: 'the end of the journal' });
  assert.ok(open.sent.every((text) => !text.includes('event: cursor')));
  for (const { leave } of [quiet, open]) leave();
  await Promise.all([quiet.following, open.following]);
  assert.equal(quiet.sent.filter((text) => text === cursor).length, 1, 'The same cursor is not sent again.');
});

test('events: a filter that names no type, account or kind is refused', async () => {
  for (const query of ['types=', 'types=transfer.done', 'types=hold.opened,,', 'account=a%20b', 'kind=payment']) {
    const answer = await request(service, 'GET', `/events?${query}`);
    assert.equal(`${answer.status} ${String(answer.body['code'])}`, '400 invalid_request', query);
  }
});
