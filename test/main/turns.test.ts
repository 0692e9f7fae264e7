// Turns of ledgers in the event loop. No timers: an iteration of the loop ends with setImmediate.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Competitors } from '../../src/main/competitors.ts';
import { Turns } from '../../src/main/http/turns.ts';

const PER_ITERATION = 4;
const ALONE_REQUESTS = 16;
const ALONE_ANSWERS = 32;
const COMPETES_MS = 1000;

function create(clock = { now: 0 }): Turns {
  const now = () => clock.now;
  const competitors = new Competitors(COMPETES_MS, now);
  const limits = { perIteration: PER_ITERATION, aloneRequests: ALONE_REQUESTS, aloneAnswers: ALONE_ANSWERS };
  return new Turns({ ...limits, competitors, now });
}

/** Takes turns for ledgers, and records in which order they begin. */
function record(turns: Turns, begun: string[], ledgers: readonly string[], kind?: 'request' | 'answer'): void {
  for (const ledger of ledgers) {
    const turn = turns.take(ledger, kind);
    if (turn) void turn.then(() => begun.push(ledger));
    else begun.push(ledger);
  }
}

/** The end of this iteration, after the turns that it gives. */
const iterationEnds = async (): Promise<void> => {
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => process.nextTick(resolve));
};

/** Turns of a service in which two ledgers have competed lately. */
async function createShared(clock = { now: 0 }): Promise<Turns> {
  const turns = create(clock);
  for (const ledger of ['one', 'another']) void turns.take(ledger);
  await iterationEnds();
  return turns;
}

const many = (ledger: string, count: number): string[] => Array.from({ length: count }, () => ledger);

test('turns: a request begins at once while few have begun in an iteration', async () => {
  const begun: string[] = [];
  record(await createShared(), begun, many('main', PER_ITERATION));
  assert.deepEqual(begun, many('main', PER_ITERATION));
});

test('turns: an iteration begins a bounded number of requests', async () => {
  const begun: string[] = [];
  record(await createShared(), begun, many('main', 3 * PER_ITERATION - 1));
  for (const expected of [1, 2, 3].map((iterations) => Math.min(iterations * PER_ITERATION, 3 * PER_ITERATION - 1))) {
    assert.equal(begun.length, expected);
    await iterationEnds();
  }
});

test('turns: the first request of a ledger does not wait for those of a flooded one', async () => {
  const turns = await createShared();
  const begun: string[] = [];
  record(turns, begun, many('flooded', 100));
  record(turns, begun, ['quiet', 'quiet']);
  assert.deepEqual(begun, [...many('flooded', PER_ITERATION), 'quiet']);
  await iterationEnds();
  assert.deepEqual(begun.slice(PER_ITERATION + 1), ['flooded', 'quiet', 'flooded', 'flooded']);
});

test('turns: a ledger begins no more at once than one request in an iteration of a flood', async () => {
  const turns = await createShared();
  const begun: string[] = [];
  record(turns, begun, many('flooded', 100));
  record(turns, begun, many('other', 100));
  assert.deepEqual(begun, [...many('flooded', PER_ITERATION), 'other']);
});

test('turns: several ledgers share an iteration equally, each in the order of its requests', async () => {
  const turns = await createShared();
  const begun: string[] = [];
  record(turns, begun, many('first', PER_ITERATION));
  record(turns, begun, [...many('a', 50), ...many('b', 50)]);
  for (let iteration = 0; iteration < 10; iteration += 1) await iterationEnds();
  const later = begun.slice(PER_ITERATION);
  assert.equal(later.filter((ledger) => ledger === 'a').length, later.length / 2);
});

test('turns: nothing waits once the lines are empty', async () => {
  const turns = await createShared();
  const begun: string[] = [];
  record(turns, begun, many('main', 2 * PER_ITERATION));
  await iterationEnds();
  await iterationEnds();
  assert.equal(begun.length, 2 * PER_ITERATION);
  assert.equal(turns.take('main'), null);
});

test('turns: a ledger without competitors begins more in an iteration, but a bounded number too', async () => {
  const turns = create();
  const begun: string[] = [];
  record(turns, begun, many('main', 3 * ALONE_REQUESTS));
  assert.equal(begun.length, ALONE_REQUESTS);
  await iterationEnds();
  assert.equal(begun.length, 2 * ALONE_REQUESTS);
});

test('turns: a ledger without competitors sends more answers than it begins requests, and does not wait for these', async () => {
  const turns = create();
  const begun: string[] = [];
  record(turns, begun, many('main', 2 * ALONE_REQUESTS));
  assert.equal(begun.length, ALONE_REQUESTS);
  record(turns, begun, many('main', 2 * ALONE_ANSWERS), 'answer');
  assert.equal(begun.length, ALONE_ANSWERS);
  await iterationEnds();
  assert.equal(begun.length, ALONE_ANSWERS + ALONE_REQUESTS);
});

test('turns: while ledgers compete, an answer waits as a request does', async () => {
  const begun: string[] = [];
  const turns = await createShared();
  record(turns, begun, many('main', 2 * PER_ITERATION), 'answer');
  assert.equal(begun.length, PER_ITERATION);
});

test('turns: a second ledger ends the larger turns at once, until it has sent nothing for a while', async () => {
  const clock = { now: 0 };
  const turns = create(clock);
  const begun: string[] = [];
  record(turns, begun, [...many('main', PER_ITERATION), 'other', ...many('main', 100)]);
  assert.deepEqual(begun, [...many('main', PER_ITERATION), 'other']);
  await iterationEnds();
  assert.equal(begun.length, 2 * PER_ITERATION + 1);
  clock.now = COMPETES_MS;
  record(turns, begun, ['main']);
  await iterationEnds();
  assert.equal(begun.length, 2 * PER_ITERATION + 1 + ALONE_REQUESTS);
});

test('turns: after a refusal, also a ledger without competitors has small turns for a second', async () => {
  const clock = { now: 0 };
  const turns = create(clock);
  const begun: string[] = [];
  turns.crowd();
  record(turns, begun, many('main', 100));
  assert.equal(begun.length, PER_ITERATION);
  clock.now = 1000;
  record(turns, begun, ['main']);
  await iterationEnds();
  assert.equal(begun.length, PER_ITERATION + ALONE_REQUESTS);
});
