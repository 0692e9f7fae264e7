// Goal: with the client, a transfer that a program requests once happens once, whatever the network does. Method: 10,000
// transfers through a network that cuts, refuses, delays and loses, while a reader follows the feed through the same
// network; then the books are compared with what the client reported.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { GopherPay, type Transfer } from '../../clients/typescript/src/index.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { Proxy } from '../support/proxy.ts';
import { drawFor, type Random } from '../support/random.ts';
import { startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const TRANSFERS = 10_000;
const CALLERS = 48;
const ACCOUNTS = Array.from({ length: 20 }, (_, index) => `ACC${index}`);
/** About a request and its answer, so that connections break before, in and after both. */
const RESET_BYTES_MAX = 3000;

/** What the network does, and for how long at most, in milliseconds. */
const LOUD_FAULTS: readonly ((proxy: Proxy, draw: Random) => Promise<void>)[] = [
  async (proxy) => proxy.cut(),
  async (proxy, draw) => {
    proxy.resetAfter(() => draw.whole(1, RESET_BYTES_MAX));
    await sleep(draw.whole(20, 200));
    proxy.resetAfter(null);
  },
  async (proxy, draw) => {
    await proxy.refuse();
    await sleep(draw.whole(1, 30));
    await proxy.heal();
  },
  async (proxy, draw) => {
    proxy.slow(draw.whole(1, 10));
    await sleep(draw.whole(20, 100));
    proxy.slow(0);
  },
];
/** The connections that it meets stay silent: only the time of an attempt ends them. So it is rare. */
async function loseSilently(proxy: Proxy, draw: Random): Promise<void> {
  if (draw.whole(0, 1) === 0) proxy.loseAnswers();
  else proxy.swallow();
  await sleep(draw.whole(5, 30));
  await proxy.heal();
}

test('client: 10,000 transfers through a failing network are each done once', { timeout: 600_000 }, async (t) => {
  const draw = drawFor(t);
  const database = await createDatabase(t);
  const service = await startService(t, { database });
  const proxy = await Proxy.open({ host: '127.0.0.1', port: Number(new URL(service.url).port) });
  onEnd(t, () => proxy.close());
  const answers = { attempts: 0, replayed: 0 };
  const client = new GopherPay({
    baseUrl: `http://127.0.0.1:${proxy.port}`,
    attemptTimeoutMs: 500,
    deadlineMs: 300_000,
    fetch: async (...parameters) => {
      answers.attempts += 1;
      const response = await fetch(...parameters);
      if (response.headers.has('Idempotency-Replayed')) answers.replayed += 1;
      return response;
    },
  });
  await client.accounts.createAll(
    ACCOUNTS.map((number) => ({ account_number: number, name: number, balance: 10_000 })),
  );

  const ending = new AbortController();
  const faults = injectFaults(proxy, draw, ending.signal);
  const followed: string[] = [];
  const reader = follow(client, followed, ending.signal);
  const transfers = new Map<string, Transfer>();
  const numbers = Array.from({ length: TRANSFERS }, (_, index) => index).values();
  await Promise.all(
    Array.from({ length: CALLERS }, async () => {
      for (const number of numbers) {
        const [from, to] = draw.pickTwo(ACCOUNTS);
        const description = `transfer ${number}`;
        const order = { from_account: from, to_account: to, amount: draw.whole(1, 50), description };
        transfers.set(
          description,
          await client.transfers.create(order, { waitSeconds: draw.whole(1, 4) === 1 ? 1 : 0 }),
        );
      }
    }),
  );
  await until(async () => (await database.query('select from pending_transfers')).length === 0, {
    what: 'every transfer to be final',
  });
  await until(() => followed.length >= TRANSFERS, { timeoutMs: 30_000, what: 'the reader to catch up' });
  ending.abort();
  await Promise.all([faults, reader]);

  t.diagnostic(JSON.stringify(answers));
  const settled = await database.query<{ description: string; id: string }>(
    "select description, id from transfers where from_account <> '@external' order by id",
  );
  assert.equal(settled.length, TRANSFERS, 'None is lost, and none is there twice.');
  assert.deepEqual(
    new Map(settled.map(({ description, id }) => [description, id])),
    new Map([...transfers].map(([description, { id }]) => [description, id])),
  );
  assert.deepEqual(
    followed.toSorted(),
    settled.map(({ id }) => id),
    'The reader received each once.',
  );
  await checkPromises(database, {
    accepted: settled.map(({ id }) => id),
    nothingPending: true,
    nothingQuarantined: true,
  });
  assert.ok(answers.attempts > TRANSFERS * 1.01, 'Many attempts failed.');
  assert.ok(answers.replayed > 0, 'Some were done, but not answered, and sent again.');
});

/** One fault after another, until the end; then the network is whole. */
async function injectFaults(proxy: Proxy, draw: Random, end: AbortSignal): Promise<void> {
  while (!end.aborted) {
    const inject = draw.whole(1, 40) === 1 ? loseSilently : draw.pick(LOUD_FAULTS);
    await inject(proxy, draw);
    await sleep(draw.whole(50, 300));
  }
}

/** Collects the ids of the transfers of the feed. The client verifies that each event follows the one before. */
async function follow(client: GopherPay, ids: string[], end: AbortSignal): Promise<void> {
  try {
    for await (const { transfers } of client.events.follow({}, { signal: end, silenceTimeoutMs: 1000 })) {
      ids.push(...transfers.filter(({ from_account: from }) => from !== '@external').map(({ id }) => id));
    }
  } catch (error) {
    if (!end.aborted) throw error;
  }
}
