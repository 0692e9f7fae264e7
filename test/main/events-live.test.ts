// The feed where it is hard: many writers in two processes while readers come and go, readers that do not read, a
// database that drops its connections, and the end of the service.
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { seeded } from '../../src/load/random.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { eventPage, type FeedEvent, follow } from './follower.ts';

const WRITERS = 10;
const ORDERS_EACH = 60;
const ACCOUNTS = ['A', 'B', 'C', 'D', 'E', 'F'];
/** Much more than the buffers of a connection take. */
const UNREAD_MEGABYTES = 15;

type Random = (below: number) => number;

/** Numbers from 0 on, below the one given: the same for the same seed. */
function createRandom(seed: number): Random {
  const draw = seeded(seed);
  return (below) => draw() * below;
}

function pick<Item>(items: readonly Item[], random: Random): Item {
  const item = items[Math.floor(random(items.length))];
  if (item === undefined) throw new Error('There is nothing to pick from.');
  return item;
}

test(
  'events: every reader receives every event of ten writers in two processes once',
  { timeout: 120_000 },
  async (t) => {
    const seed = Number(process.env['STRESS_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    t.diagnostic(`STRESS_SEED=${seed}`);
    const database = await createDatabase(t);
    const services = [
      await startService(t, { database, env: { THREADS: '4', JOB_SIZE_MAX: '8' } }),
      await startService(t, { database, env: { THREADS: '4', JOB_SIZE_MAX: '8' } }),
    ];
    for (const number of ACCOUNTS) await open(pick(services, createRandom(seed)), number);

    const writing = { done: false };
    const readers = [1, 2, 3].flatMap((reader) => [
      readPages(services, createRandom(seed + reader), writing, database),
      readLive(t, services, createRandom(seed - reader), writing, database),
    ]);
    const delaying = delayCommits(database, createRandom(seed), writing);
    await Promise.all(
      Array.from({ length: WRITERS }, async (_, writer) => await write(services, createRandom(seed * 31 + writer))),
    );
    writing.done = true;
    await delaying;

    // A reader ends where nothing is pending any more: only then is all there to compare with.
    const reportedToEach = await Promise.all(readers);
    const expected = await loadExpected(database);
    assert.ok(expected.length > WRITERS, 'There is something to read.');
    for (const reported of reportedToEach) {
      assert.equal(reported.length, expected.length);
      assert.deepEqual(reported.map(outlineOf), expected);
    }
    for (const service of services) assert.deepEqual(await service.stop(), { code: 0, signal: null });
    await checkPromises(database, { nothingPending: true });
  },
);

async function open(service: Service, number: string, more: Record<string, unknown> = {}): Promise<void> {
  const account = { account_number: number, name: 'Ada', balance: 1000, ...more };
  const answer = await request(service, 'POST', '/accounts', account);
  assert.equal(answer.status, 201, answer.text);
}

async function write(services: readonly Service[], random: Random): Promise<void> {
  for (let order = 0; order < ORDERS_EACH; order += 1) {
    const service = pick(services, random);
    const [from, to] = [pick(ACCOUNTS, random), pick(ACCOUNTS, random)];
    if (from === to) {
      const answer = await request(service, 'PATCH', `/accounts/${from}`, { name: `Ada ${order}` });
      assert.equal(answer.status, 200, answer.text);
      continue;
    }
    // Some are refused for lack of funds: they are in the feed as well.
    const body = { from_account: from, to_account: to, amount: 1 + Math.floor(random(600)) };
    const answer = await request(service, 'POST', '/transfers', body, random(2) < 1 ? { prefer: 'wait=10' } : {});
    assert.ok(answer.status === 200 || answer.status === 202, answer.text);
  }
}

/** Locks an account at times, so that jobs that began first commit last. */
async function delayCommits(database: TestDatabase, random: Random, writing: { done: boolean }): Promise<void> {
  const connection = await database.connect();
  while (!writing.done) {
    await connection.query('begin');
    await connection.query('select from accounts where account_number = $1::text for update', [pick(ACCOUNTS, random)]);
    await sleep(random(40));
    await connection.query('rollback');
  }
}

async function isEnd(database: TestDatabase, number: number, writing: { done: boolean }): Promise<boolean> {
  if (!writing.done) return false;
  const [state] = await database.query<{ at_end: boolean }>(
    `select number = $1::bigint and not exists (select from pending_transfers) as at_end from journal_ends`,
    [number],
  );
  return state?.at_end === true;
}

/** Reads page after page, of any size, from any service, until the end. */
async function readPages(
  services: readonly Service[],
  random: Random,
  writing: { done: boolean },
  database: TestDatabase,
): Promise<FeedEvent[]> {
  const reported: FeedEvent[] = [];
  for (let after = 0; !(await isEnd(database, after, writing));) {
    const limit = 1 + Math.floor(random(20));
    const answer = await request(pick(services, random), 'GET', `/events?after=${after}&limit=${limit}`);
    const { items, next } = eventPage.parse(answer.body);
    reported.push(...items);
    after = next;
  }
  return reported;
}

/** Follows one service after the other, disconnects at any moment, and resumes after its last event, until the end. */
async function readLive(
  t: TestContext,
  services: readonly Service[],
  random: Random,
  writing: { done: boolean },
  database: TestDatabase,
): Promise<FeedEvent[]> {
  const reported: FeedEvent[] = [];
  for (;;) {
    const last = reported.at(-1)?.journal_number ?? 0;
    const stream = follow(t, pick(services, random), { after: 0, lastEventId: last });
    const leavesAt = performance.now() + random(400);
    const atEnd = await until(
      async () => {
        if (await isEnd(database, stream.last(), writing)) return 'end';
        return performance.now() > leavesAt ? 'moment to leave' : null;
      },
      { what: 'the end, or the moment to leave' },
    );
    await stream.leave();
    reported.push(...stream.events);
    if (atEnd === 'end') return reported;
  }
}

/** What every reader must have received: the journal in the database. */
async function loadExpected(database: TestDatabase): Promise<unknown[]> {
  const rows = await database.query<{ number: bigint; hash: string; transfers: string[]; changes: string[] | null }>(
    `select number, encode(hash, 'hex') as hash,
       array(
         select id || ' ' || status || ' ' || coalesce(from_entry_number, 0) || ' ' || coalesce(to_entry_number, 0)
         from transfers where journal_number = number order by journal_position
       ) as transfers,
       (
         select array_agg(account_number || ' ' || change_number order by account_number, currency, change_number)
         from account_changes
         where journal_number = number
       ) as changes
     from journal
     order by number`,
  );
  assert.deepEqual(
    rows.map((row) => Number(row.number)),
    rows.map((_, index) => index + 1),
  );
  return rows.map((row) => ({ ...row, number: Number(row.number) }));
}

function outlineOf(event: FeedEvent): unknown {
  return {
    number: event.journal_number,
    hash: event.hash,
    transfers: event.transfers.map(
      ({ id, status, from_entry_number: from, to_entry_number: to }) => `${id} ${status} ${from ?? 0} ${to ?? 0}`,
    ),
    changes:
      event.account_changes.length === 0
        ? null
        : event.account_changes.map((change) => `${change.account_number} ${change.change_number}`),
  };
}

test('events: readers beyond the limit of streams are refused until a stream ends', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '1', EVENT_STREAMS_MAX: '1' } });
  const first = follow(t, service, { after: 0 });
  await until(() => first.isOpen(), { what: 'the stream' });

  const refused = await request(service, 'GET', '/events', undefined, { accept: 'text/event-stream' });
  assert.deepEqual([refused.status, refused.body['code']], [503, 'too_many_streams']);
  assert.match(String(refused.headers['retry-after']), /^\d+$/);
  assert.equal((await request(service, 'GET', '/events')).status, 200, 'Pages need no slot.');

  await first.leave();
  await open(service, 'ANN');
  await until(
    async () => (await request(service, 'GET', '/metrics')).text.includes('gopherpay_streams{route="/events"} 0\n'),
    { what: 'the slot of the disconnected reader' },
  );
  const second = follow(t, service, { after: 0 });
  await until(() => second.events[0]?.journal_number === 1, { what: 'the first event' });
});

test('events: a stalled reader is disconnected, and the others are unaffected', { timeout: 60_000 }, async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '2', STREAM_TIMEOUT_MS: '700' } });
  await fillFeed(service);
  const reader = follow(t, service, { after: 0 });
  await openUnread(t, service);
  const stalled = () => service.logs().filter((line) => line['route'] === '/events' && line['ended'] === 'stalled');
  await until(() => stalled().length === 1, { what: 'the stalled reader to be disconnected' });
  const [line] = stalled();
  assert.ok(Number(line?.['bytes']) < UNREAD_MEGABYTES * 1024 * 1024, 'It was not sent completely.');

  const answer = await request(service, 'GET', '/metrics');
  assert.match(answer.text, /gopherpay_streams\{route="\/events"\} 1\n/, 'The other reader is still connected.');
  await open(service, 'LAST');
  const [head] = await database.query<{ number: bigint }>('select number from journal_ends');
  await until(() => reader.last() === Number(head?.number), { what: 'the event at the other reader' });
});

test('events: streams end with the service, also a stalled one', { timeout: 60_000 }, async (t) => {
  const database = await createDatabase(t);
  // The drain timeout is so long that a stream which delays the end fails this test by its timeout.
  const service = await startService(t, { database, env: { THREADS: '2', DRAIN_TIMEOUT_MS: '600000' } });
  await fillFeed(service);
  const reader = follow(t, service, { after: 0 });
  const unread = await openUnread(t, service);
  const [head] = await database.query<{ number: bigint }>('select number from journal_ends');
  await until(() => reader.last() === Number(head?.number), { what: 'the reader to have caught up' });
  assert.equal(unread.destroyed, false);
  assert.deepEqual(await service.stop(), { code: 0, signal: null });
  assert.equal(await reader.ended, true, 'The stream ended cleanly, between two events.');
});

test('events: a follower does not notice that the database dropped its connections', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '2' } });
  await open(service, 'ANN');
  const reader = follow(t, service, { after: 0 });
  const [head] = await database.query<{ number: bigint }>('select number from journal_ends');
  await until(() => reader.last() === Number(head?.number), { what: 'the events so far' });
  await database.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name like 'gopherpay%'`,
  );
  // Until its connections are back the service may refuse.
  await until(async () => (await request(service, 'PATCH', '/accounts/ANN', { name: 'Ann again' })).status === 200, {
    what: 'the service to reconnect',
  });
  await until(() => reader.events.some((event) => event.account_changes[0]?.change_number === 2), {
    what: 'the event after the drop',
  });
});

/** Settles transfers with large events. */
async function fillFeed(service: Service): Promise<void> {
  await open(service, 'ANN');
  await open(service, 'BOB');
  const metadata = Object.fromEntries(Array.from({ length: 10 }, (_, key) => [`key${key}`, 'x'.repeat(450)]));
  const transfers = Array.from({ length: 200 }, () => ({
    from_account: 'ANN',
    to_account: 'BOB',
    amount: 1,
    metadata,
  }));
  for (let megabyte = 0; megabyte < UNREAD_MEGABYTES; megabyte += 1) {
    const answer = await request(service, 'POST', '/transfers', { transfers }, { prefer: 'wait=20' });
    assert.equal(answer.status, 200, answer.text.slice(0, 500));
  }
}

/** Asks for the feed and reads nothing but the beginning of the answer. */
async function openUnread(t: TestContext, service: Service): Promise<Socket> {
  const { hostname, port } = new URL(service.url);
  const socket = connect(Number(port), hostname);
  onEnd(t, () => {
    socket.destroy();
  });
  socket.on('error', () => {});
  socket.write('GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n');
  await new Promise((resolve) => {
    socket.once('data', resolve);
  });
  socket.pause();
  return socket;
}
