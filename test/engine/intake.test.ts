// Which requests one INSERT of the intake stores, on a real database.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { type Ledger, MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { createLedger } from '../../src/db/ledger/ledgers.ts';
import type { Accepted } from '../../src/main/engine/intake.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type StartedEngine, startEngine } from '../support/engine.ts';
import { turn } from '../support/fake-pool.ts';
import { newTransfer } from '../support/jobs.ts';

let database: TestDatabase;

before(async (scope) => {
  database = await createDatabase(scope);
});

function times<Item>(count: number, item: Item): Item[] {
  return Array.from({ length: count }, () => item);
}

/**
 * Accepts a request of each of these ledgers, of which a list arrives in each iteration of the event loop, and returns how many
 * requests its INSERT stored.
 */
async function acceptInTurn({ engine }: StartedEngine, iterations: readonly (readonly Ledger[])[]): Promise<number[]> {
  const accepting: Promise<Accepted>[] = [];
  for (const ledgers of iterations) {
    // Begun before the requests, so that the next ones come before what the intake does in the next iteration.
    const next = turn();
    for (const ledger of ledgers) {
      const transfer = newTransfer();
      const request = { transfers: [transfer], namedId: transfer.id, idempotency: null };
      accepting.push(engine.intake.accept(ledger, request));
    }
    await next;
  }
  const accepted = await Promise.all(accepting);
  return accepted.map((each) => {
    assert.ok(each.result === 'stored');
    return each.insert.requests;
  });
}

test('intake: the requests of a burst share an INSERT, although the event loop begins them one by one', async (t) => {
  const started = await startEngine(t, database);
  const together = await acceptInTurn(started, times(10, [MAIN_LEDGER]));
  assert.deepEqual(together, times(10, 10));
});

test('intake: requests that do not stop coming do not delay the first INSERT', async (t) => {
  const started = await startEngine(t, database);
  const [first = 0, ...others] = await acceptInTurn(started, times(100, [MAIN_LEDGER]));
  assert.ok(first < 30, `The first INSERT waited for ${first} requests.`);
  assert.ok(others.some((requests) => requests !== first));
});

test('intake: a burst of one ledger does not delay the first INSERT of another', async (t) => {
  const started = await startEngine(t, database);
  const request = { name: 'shop', testClock: null, idempotencyKey: null };
  const created = await createLedger(started.engine.pool, request);
  assert.ok(created.result === 'created');
  const iterations = [[MAIN_LEDGER], [MAIN_LEDGER, created.ledger], ...times(30, [MAIN_LEDGER])];
  const [first = 0, , other] = await acceptInTurn(started, iterations);
  assert.ok(first < 5, `The first INSERT waited for ${first} requests.`);
  assert.equal(other, 1);
});
