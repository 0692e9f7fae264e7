// Which requests one INSERT of the intake stores, on a real database.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import type { Accepted } from '../../src/main/engine/intake.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type StartedEngine, startEngine } from '../support/engine.ts';
import { newTransfer } from '../support/jobs.ts';

let database: TestDatabase;

before(async (scope) => {
  database = await createDatabase(scope);
});

/** Accepts one request in each of so many iterations of the event loop, and returns how many the INSERT of each one stored. */
async function acceptInTurn({ engine }: StartedEngine, count: number): Promise<number[]> {
  const accepting: Promise<Accepted>[] = [];
  for (let index = 0; index < count; index += 1) {
    // Begun before the request, so that the next request comes before what the intake does in the next iteration.
    const next = new Promise((resolve) => setImmediate(resolve));
    const transfer = newTransfer();
    accepting.push(
      engine.intake.accept(MAIN_LEDGER, { transfers: [transfer], namedId: transfer.id, idempotency: null }),
    );
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
  const together = await acceptInTurn(started, 10);
  assert.deepEqual(
    together,
    Array.from({ length: 10 }, () => 10),
  );
});

test('intake: requests that do not stop coming do not delay the first INSERT', async (t) => {
  const started = await startEngine(t, database);
  const [first = 0, ...others] = await acceptInTurn(started, 100);
  assert.ok(first < 30, `The first INSERT waited for ${first} requests.`);
  assert.ok(others.some((requests) => requests !== first));
});
