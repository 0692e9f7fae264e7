// The lines of endpoints over days: a clock that the test moves, a real journal, and a receiver that fails.
import assert from 'node:assert/strict';
import { randomUUIDv7 } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { before, beforeEach, test, type TestContext } from 'node:test';
import pino from 'pino';
import { parseConfig } from '../../src/config.ts';
import { createPool } from '../../src/db/connection/connect.ts';
import { insertWebhook, updateWebhook, type WebhookChange } from '../../src/db/ledger/webhooks.ts';
import { loadWebhook, type WebhookState } from '../../src/db/queries/webhooks.ts';
import { ALL_EVENTS, type EventFilter } from '../../src/domain/event.ts';
import { type Ledger, MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { renderEvent } from '../../src/main/api/views.ts';
import { TURNS_MAX, type WebhookOptions, WebhookSender } from '../../src/main/webhooks/sender.ts';
import { TOGETHER_MAX } from '../../src/main/webhooks/turn.ts';
import { pauseMs, readRetryAfter } from '../../src/main/webhooks/pauses.ts';
import { createSecret } from '../../src/render/webhook.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type Received, type Receiver, startReceiver } from '../support/receiver.ts';
import { request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const TRANSFERS = 5;
/** Transfers of the ledger shop: each round has one of each pair of accounts, and no two pairs have an account in common. */
const [PAIRS, ROUNDS] = [24, 3];
/** That one ledger gets of a sender. */
const LEDGER_PLACES = TURNS_MAX / 2;
const TABLES = ['webhook_endpoints', 'webhook_cursors', 'webhook_deliveries'];
const UNCHANGED = {
  url: undefined,
  description: undefined,
  types: undefined,
  account: undefined,
  kind: undefined,
  enabled: undefined,
};

let database: TestDatabase;
/** The ids of the transfers of the journal, in order. */
const ids: string[] = [];

before(async (t) => {
  database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '1' } });
  for (const account_number of ['ANN', 'BOB']) {
    await request(service, 'POST', '/accounts', { account_number, name: 'Ada', balance: 100 });
  }
  for (let index = 0; index < TRANSFERS; index += 1) {
    const body = { from_account: 'ANN', to_account: 'BOB', amount: 1, description: String(index) };
    const { text } = await request(service, 'POST', '/transfers', body, { prefer: 'wait=10' });
    ids.push(JSON.parse(text).id);
  }
  await request(service, 'POST', '/ledgers', { name: 'shop' });
  await request(service, 'POST', '/ledgers/shop/accounts', { account_number: 'ZOE', name: 'Zoe' });
  const pairs = Array.from({ length: PAIRS }, (_, index) => ({
    from_account: `F${index}`,
    to_account: `T${index}`,
    amount: 1,
  }));
  for (const account_number of pairs.flatMap(({ from_account, to_account }) => [from_account, to_account])) {
    await request(service, 'POST', '/ledgers/shop/accounts', { account_number, name: 'Ada', balance: 1000 });
  }
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const body of pairs) {
      await request(
        service,
        'POST',
        '/ledgers/shop/transfers',
        { ...body, description: String(round) },
        { prefer: 'wait=10' },
      );
    }
  }
  await service.stop();
});

beforeEach(async () => {
  for (const table of TABLES) await database.query(`delete from ${table}`);
});

/** An endpoint whose line begins before the transfers, and a sender with a clock that the test moves. */
async function start(
  t: TestContext,
  filter: Partial<EventFilter> = {},
  { ledger = MAIN_LEDGER, ...more }: Partial<WebhookOptions> & { ledger?: Ledger } = {},
) {
  const receiver = await startReceiver(t);
  // A statement may wait for longer than an attempt.
  const timeouts = { ...parseConfig({}).databaseTimeouts, lockTimeoutMs: 15_000, connectTimeoutMs: 15_000 };
  const pool = createPool(database.settings, timeouts, 2);
  const clock = { ms: Date.now() };
  const lines: Record<string, unknown>[] = [];
  const states: WebhookState[] = [];
  const results: string[] = [];
  const logger = pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const sender = new WebhookSender({
    pool,
    logger,
    renderEvent,
    rules: { allowPrivate: true, resolve: async () => [] },
    placesMax: TURNS_MAX,
    claimMs: 5000,
    renewMs: 1000,
    tracer: null,
    ...more,
    now: () => new Date(clock.ms),
    onState: (state) => states.push(state),
    onAttempt: (result) => results.push(result),
  });
  const id = randomUUIDv7();
  const webhook = { id, url: receiver.url, description: null, secret: createSecret() };
  const wanted = { ...ALL_EVENTS, types: ['transfer.completed' as const], account: 'ANN', ...filter };
  assert.ok(await insertWebhook(pool, ledger, { ...webhook, filter: wanted }, 100));
  await database.query(`
    update webhook_cursors
    set journal_number = (
      select min(journal_number) - 1
      from transfers
      where transfers.ledger_id = webhook_cursors.ledger_id and description = '0'
    )`);
  onEnd(t, async () => {
    await sender.stop(1000);
    await pool.end();
  });
  sender.start();
  const show = async () => {
    const record = await loadWebhook(pool, ledger, id);
    assert.ok(record);
    return record;
  };
  /** Moves the clock to the next attempt, and waits for its result. */
  const tryAgain = async (): Promise<void> => {
    const attempts = results.length;
    const { nextAttemptAt } = await show();
    assert.ok(nextAttemptAt !== null);
    clock.ms = Date.parse(nextAttemptAt) + 1;
    sender.noteChange();
    await until(() => results.length > attempts, { what: 'the next attempt' });
    await until(async () => (await show()).nextAttemptAt !== nextAttemptAt, { what: 'the attempt to be written' });
  };
  const change = async (changed: Partial<WebhookChange>): Promise<void> => {
    await updateWebhook(pool, MAIN_LEDGER, id, { ...UNCHANGED, ...changed });
    sender.noteChange();
  };
  const enable = async (): Promise<void> => await change({ enabled: true });
  return { id, receiver, clock, sender, lines, states, results, show, tryAgain, change, enable };
}

const refuse =
  (status: number): Receiver['answer'] =>
  (response) =>
    void response.writeHead(status).end();
const accept: Receiver['answer'] = (response) => void response.writeHead(204).end();
const namesOf = ({ received }: Receiver) => received.map(({ message }) => message.data['id']);

test('sender: nothing is lost or out of order when a receiver was down for a day', async (t) => {
  const line = await start(t);
  line.receiver.answer = refuse(503);
  const beginning = line.clock.ms;
  await until(async () => (await line.show()).failingSince !== null, { what: 'the first failure' });
  while (line.clock.ms < beginning + DAY_MS) await line.tryAgain();
  const tried = line.receiver.received.length;
  assert.ok(tried >= 24 && tried <= 70, `${tried} attempts in a day`);
  assert.deepEqual(new Set(namesOf(line.receiver)), new Set([ids[0]]), 'Later events wait for the first one.');
  assert.equal(new Set(line.receiver.received.map(({ id }) => id)).size, 1);
  const [delivery] = await database.query('select attempts, delivered, status, error from webhook_deliveries');
  assert.deepEqual(delivery, { attempts: tried, delivered: false, status: 503, error: 'status' });

  line.receiver.received.length = 0;
  line.receiver.answer = accept;
  await line.tryAgain();
  await until(() => line.receiver.received.length === TRANSFERS, { what: 'all events' });
  assert.deepEqual(namesOf(line.receiver), ids);
  await until(async () => (await line.show()).failingSince === null, { what: 'the line to be written' });
  assert.deepEqual(line.lines, []);
});

test('sender: an endpoint that fails for five days is disabled, and continues when it is enabled', async (t) => {
  const line = await start(t);
  line.receiver.answer = refuse(500);
  await until(async () => (await line.show()).failingSince !== null, { what: 'the first failure' });
  line.clock.ms += 4.9 * DAY_MS;
  await database.query('update webhook_cursors set next_attempt_at = $1', [new Date(line.clock.ms)]);
  await line.tryAgain();
  assert.equal((await line.show()).disabledReason, null);
  line.clock.ms += DAY_MS;
  await database.query('update webhook_cursors set next_attempt_at = $1', [new Date(line.clock.ms)]);
  await line.tryAgain();
  await until(async () => (await line.show()).disabledReason === 'failing', { what: 'the end' });
  const [logged] = await until(() => line.lines.length > 0 && line.lines, { what: 'the line of the log' });
  assert.deepEqual([logged?.['msg'], logged?.['reason'], logged?.['status']], ['webhook disabled', 'failing', 500]);
  line.sender.noteChange();
  await until(() => line.states.at(-1)?.failing === 1, { what: 'the metric' });

  line.receiver.received.length = 0;
  line.receiver.answer = accept;
  await line.enable();
  await until(() => line.receiver.received.length === TRANSFERS, { what: 'all events' });
  assert.deepEqual(namesOf(line.receiver), ids);
});

test('sender: an answer of 410 disables the endpoint at once', async (t) => {
  const line = await start(t);
  line.receiver.answer = refuse(410);
  await until(async () => (await line.show()).disabledReason === 'gone', { what: 'the end' });
  assert.equal(line.receiver.received.length, 1);
  assert.deepEqual(
    line.lines.map(({ msg, reason }) => [msg, reason]),
    [['webhook disabled', 'gone']],
  );
  line.receiver.answer = accept;
  await line.enable();
  await until(() => line.receiver.received.length === 1 + TRANSFERS, { what: 'all events' });
  assert.deepEqual(namesOf(line.receiver).slice(1), ids);
});

test('sender: a failure of the previous URL does not count after the URL was changed', async (t) => {
  for (const status of [410, 500]) {
    const line = await start(t);
    const next = await startReceiver(t);
    const changed = Promise.withResolvers<void>();
    line.receiver.answer = (response) => void changed.promise.then(() => response.writeHead(status).end());
    await until(() => line.receiver.received.length === 1, { what: 'the attempt' });
    await line.change({ url: next.url });
    changed.resolve();
    await until(() => next.received.length === TRANSFERS, { what: 'all events at the new URL' });
    const { disabledReason, failingSince } = await line.show();
    assert.deepEqual([disabledReason, failingSince], [null, null], String(status));
    await line.sender.stop(1000);
    for (const table of TABLES) await database.query(`delete from ${table}`);
  }
});

/** Adds endpoints of the main ledger whose lines are as far as that of `id`. */
async function copy(id: string, url: string, copies: number): Promise<void> {
  await database.query(
    `with added as (
       insert into webhook_endpoints (ledger_id, id, url, types, account, secret)
       select ledger_id, gen_random_uuid(), $2::text, types, account, secret
       from webhook_endpoints, generate_series(1, $3::integer)
       where id = $1::uuid
       returning ledger_id, id
     )
     insert into webhook_cursors (ledger_id, endpoint_id, journal_number)
     select added.ledger_id, added.id, journal_number
     from added, webhook_cursors
     where endpoint_id = $1::uuid`,
    [id, url, copies],
  );
}

test('sender: slow receivers leave their places to others of their ledger between two events', async (t) => {
  const line = await start(t);
  const other = await startReceiver(t);
  const released = Promise.withResolvers<void>();
  const answerLate = async (response: ServerResponse): Promise<void> => {
    await released.promise;
    line.clock.ms += 9000;
    response.writeHead(204).end();
  };
  line.receiver.answer = (response) => void answerLate(response);
  await copy(line.id, line.receiver.url, LEDGER_PLACES - 1);
  line.sender.noteChange();
  await until(() => line.receiver.received.length === LEDGER_PLACES, { what: 'all places to be taken' });
  let sentBefore: unknown[] = [];
  other.answer = (response) => {
    if (other.received.length === 1) sentBefore = namesOf(line.receiver);
    response.writeHead(204).end();
  };
  await copy(line.id, other.url, 1);
  line.sender.noteChange();
  released.resolve();
  await until(() => other.received.length === TRANSFERS, { what: 'the events of the other endpoint' });
  assert.ok(
    new Set(sentBefore).size < TRANSFERS,
    'No slow receiver had all its events before the other one had its first.',
  );
});

test('sender: receivers of one ledger that never answer do not delay another ledger', async (t) => {
  const line = await start(t, {}, { attemptTimeoutMs: 600_000 });
  const other = await startReceiver(t);
  line.receiver.answer = () => {};
  await copy(line.id, line.receiver.url, 2 * TURNS_MAX);
  line.sender.noteChange();
  await until(() => line.receiver.received.length >= LEDGER_PLACES, { what: 'the share of the ledger to be used' });
  await database.query(
    `with added as (
       insert into webhook_endpoints (ledger_id, id, url, secret)
       select id, gen_random_uuid(), $1::text, 'whsec_AAAA' from ledgers where name = 'shop'
       returning ledger_id, id
     )
     insert into webhook_cursors (ledger_id, endpoint_id, journal_number) select ledger_id, id, 0 from added`,
    [other.url],
  );
  line.sender.noteChange();
  await until(() => other.received.length > 0, { what: 'the event of the other ledger' });
  assert.equal(line.receiver.received.length, LEDGER_PLACES);
});

const SHOP = { id: 2, name: 'shop' };
const OF_PAIRS = { types: ['transfer.completed' as const], account: null };
const pairOf = ({ message }: Received) => String(message.data['from_account']);
const roundOf = ({ message }: Received) => Number(message.data['description']);

test('sender: events of different accounts are sent together, and those of one account in order', async (t) => {
  const line = await start(t, OF_PAIRS, { ledger: SHOP });
  const { receiver } = line;
  const open = new Map<string, () => void>();
  let openMost = 0;
  const overlaps: string[] = [];
  // Answers the latest first, once as many are open as may be, or all that remain.
  receiver.answer = (response, received) => {
    if (open.has(pairOf(received))) overlaps.push(received.text);
    open.set(pairOf(received), () => void response.writeHead(204).end());
    openMost = Math.max(openMost, open.size);
    const count = receiver.received.length;
    if (count !== 1 && open.size < TOGETHER_MAX && count < PAIRS * ROUNDS) return;
    const answers = [...open.values()].toReversed();
    open.clear();
    for (const answer of answers) answer();
  };
  await until(() => receiver.received.length >= PAIRS * ROUNDS, { what: 'all events' });
  await until(async () => (await line.show()).journalNumber >= BigInt(PAIRS * ROUNDS), { what: 'the cursor' });
  assert.equal(receiver.received.length, PAIRS * ROUNDS);
  assert.equal(openMost, TOGETHER_MAX);
  assert.deepEqual(overlaps, []);
  for (const [pair, received] of Map.groupBy(receiver.received, pairOf)) {
    assert.deepEqual(received.map(roundOf), [0, 1, 2], pair);
  }
});

test('sender: after a failure among events that were sent together, none is lost, and each account is in order', async (t) => {
  const line = await start(t, OF_PAIRS, { ledger: SHOP });
  const { receiver } = line;
  const failed = new Set<string>();
  const accepted: Received[] = [];
  // Every fifth event is refused when it comes first.
  receiver.answer = (response, received) => {
    const isRefused = (Number(pairOf(received).slice(1)) + roundOf(received)) % 5 === 4 && !failed.has(received.id);
    failed.add(received.id);
    if (!isRefused) accepted.push(received);
    response.writeHead(isRefused ? 500 : 204).end();
  };
  const isDone = async (): Promise<boolean> => {
    if (new Set(accepted.map(({ id }) => id)).size === PAIRS * ROUNDS) return true;
    if ((await line.show()).nextAttemptAt !== null) await line.tryAgain();
    return false;
  };
  await until(isDone, { what: 'all events', timeoutMs: 60_000 });
  for (const [pair, received] of Map.groupBy(accepted, pairOf)) {
    const firsts = received.filter(({ id }, index) => received.findIndex((other) => other.id === id) === index);
    assert.deepEqual(firsts.map(roundOf), [0, 1, 2], pair);
  }
  await until(async () => (await line.show()).failingSince === null, { what: 'the line to be written' });
  const [rows] = await database.query(
    'select count(*)::integer as count, count(distinct event_id)::integer as events, bool_and(delivered) as delivered from webhook_deliveries',
  );
  assert.deepEqual(rows, { count: PAIRS * ROUNDS, events: PAIRS * ROUNDS, delivered: true });
});

test('sender: one event that fails in the middle stops the line there', async (t) => {
  const line = await start(t);
  line.receiver.answer = (response, { message }) =>
    void response.writeHead(message.data['id'] === ids[2] ? 500 : 204).end();
  await until(async () => (await line.show()).failingSince !== null, { what: 'the failure' });
  assert.deepEqual(namesOf(line.receiver), ids.slice(0, 3));
  line.receiver.answer = accept;
  await line.tryAgain();
  await until(() => line.receiver.received.length === TRANSFERS + 1, { what: 'all events' });
  assert.deepEqual(namesOf(line.receiver), [...ids.slice(0, 3), ...ids.slice(2)]);
  const rows = await database.query<{ number: bigint }>('select number, attempts from webhook_deliveries order by 1');
  assert.deepEqual(
    rows,
    ids.map((_, index) => ({ number: BigInt(index + 1), attempts: index === 2 ? 2 : 1 })),
  );
});

test('sender: a line whose claim ran out is taken over by another process, and the first one writes nothing more', async (t) => {
  const line = await start(t);
  line.receiver.answer = () => {};
  await until(() => line.receiver.received.length === 1, { what: 'the first attempt' });
  const stranger = '01a215bb-257a-7d72-8929-6b781d8cb553';
  await database.query(`update webhook_cursors set claimed_by = $1, claimed_until = now() + interval '1 hour'`, [
    stranger,
  ]);
  // The process notices at its next heartbeat, and drops the attempt.
  await until(async () => (await line.sender.stop(60_000), true), { what: 'the turn to end' });
  const [cursor] = await database.query('select claimed_by, delivery_number from webhook_cursors');
  assert.deepEqual(cursor, { claimed_by: stranger, delivery_number: 0n });
  assert.deepEqual(line.results, []);
});

test('sender: an attempt ends with its claim, also while the database does not answer', async (t) => {
  const line = await start(t, {}, { claimMs: 500, renewMs: 100 });
  const attempt = Promise.withResolvers<void>();
  line.receiver.answer = (response) => void response.once('close', attempt.resolve);
  await until(() => line.receiver.received.length === 1, { what: 'the attempt' });
  const silent = await database.connect();
  await silent.query('begin');
  await silent.query('select from webhook_cursors for update');
  await attempt.promise;
  await silent.query('rollback');
  await line.sender.stop(0);
  assert.deepEqual(line.results, [], 'It was given up, and did not time out.');
});

test('sender: a line that is locked does not delay the renewal of other claims', async (t) => {
  const line = await start(t, {}, { claimMs: 1000, renewMs: 100 });
  const other = await startReceiver(t);
  const [attempt, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  line.receiver.answer = (response) => void response.once('close', attempt.resolve);
  other.answer = (response) => void answered.promise.then(() => response.writeHead(204).end());
  await copy(line.id, other.url, 1);
  line.sender.noteChange();
  await until(() => line.receiver.received.length === 1 && other.received.length === 1, { what: 'both attempts' });
  const holder = await database.connect();
  await holder.query('begin');
  await holder.query('select from webhook_cursors where endpoint_id = $1 for update', [line.id]);
  await attempt.promise;
  answered.resolve();
  await until(() => other.received.length === TRANSFERS, { what: 'the events of the other line' });
  await holder.query('rollback');
  assert.deepEqual(namesOf(other), ids, 'No event was sent again, because the claim was kept.');
});

test('sender: rows without an event that passes move the cursor and are not read again', async (t) => {
  const line = await start(t, { account: 'NOSUCH' });
  const [head] = await database.query<{ number: bigint }>('select number from journal_ends');
  await until(async () => (await line.show()).journalNumber === head?.number, { what: 'the cursor' });
  assert.deepEqual(line.receiver.received, []);
});

test('sender: pauses double up to an hour, and half of each is random', () => {
  const longest = [1, 2, 3, 4, 11, 12, 200].map((attempts) => pauseMs(attempts, 0));
  assert.deepEqual(longest, [5000, 10_000, 20_000, 40_000, HOUR_MS, HOUR_MS, HOUR_MS]);
  assert.equal(pauseMs(1, 1), 2500);
  assert.equal(pauseMs(5000, 0.5), 0.75 * HOUR_MS);
});

test('sender: a receiver that is busy says when it is tried again, within a day', async (t) => {
  const now = new Date('2026-11-26T09:00:00Z');
  assert.equal(readRetryAfter('120', now), 120_000);
  assert.equal(readRetryAfter('Thu, 26 Nov 2026 10:00:00 GMT', now), HOUR_MS);
  assert.equal(readRetryAfter('Thu, 26 Nov 2026 08:00:00 GMT', now), 0);
  for (const text of ['', '-1', '1.5', 'soon', '2026-11-26', 'Thu, 99 Foo 2026 10:00:00 GMT']) {
    assert.equal(readRetryAfter(text, now), null, text);
  }
  assert.equal(pauseMs(9, 0.5, 120_000), 120_000);
  assert.deepEqual([pauseMs(9, 0, 0), pauseMs(9, 1, 0)], [5000, 2500]);
  assert.equal(pauseMs(1, 0.5, 1e15), DAY_MS);

  const line = await start(t);
  const cases: [number, () => string, number][] = [
    [429, () => '7200', 2 * HOUR_MS],
    [503, () => new Date(line.clock.ms + 3 * HOUR_MS + 999).toUTCString(), 3 * HOUR_MS],
    [503, () => String(9 * DAY_MS), DAY_MS],
  ];
  for (const [status, header, pause] of cases) {
    line.receiver.answer = (response) => void response.writeHead(status, { 'retry-after': header() }).end();
    if ((await line.show()).failingSince === null) line.sender.noteChange();
    else await line.tryAgain();
    const { nextAttemptAt } = await until(
      async () => {
        const shown = await line.show();
        return shown.failingSince !== null && shown;
      },
      { what: 'the failure' },
    );
    const asked = Date.parse(String(nextAttemptAt)) - line.clock.ms;
    assert.ok(Math.abs(asked - pause) <= 1000, `${status} ${header()}: ${asked}`);
  }
  line.receiver.answer = (response) => void response.writeHead(500, { 'retry-after': '7200' }).end();
  await line.tryAgain();
  assert.ok(Date.parse(String((await line.show()).nextAttemptAt)) - line.clock.ms < HOUR_MS, 'Only of 429 and 503.');
});
