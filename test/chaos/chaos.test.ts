// Goal: each fault can be injected, and the service survives it: one short round of each, of what `npm run chaos` does
// for hours.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { MAY_BE_MISSING } from '../support/disk.ts';
import { makeFolder } from '../support/service.ts';
import { FAULTS } from './faults.ts';
import { summarize } from './judge.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { runFault } from './run.ts';

let postgres: Postgres;

// A server of its own, wherever the other tests' is: this one is crashed.
before(async (t) => {
  postgres = await startPostgres(t, join(await makeFolder(t), 'data'));
});

for (const fault of FAULTS) {
  test(`chaos: ${fault.name}`, async (t) => {
    const requested = process.env['CHAOS_SEED'];
    const seed = requested === undefined || requested === '' ? randomInt(2 ** 32) : Number(requested);
    t.diagnostic(`to draw the same again: CHAOS_SEED=${seed}`);
    const log = (sentence: string): void => t.diagnostic(sentence);
    const result = await runFault(fault, { postgres, rounds: 1, seed, short: true, recordPath: null, log });
    if (result.notRun !== null) {
      t.diagnostic(`NOT RUN: ${result.notRun}`);
      assert.ok(MAY_BE_MISSING, `${result.notRun} CHAOS_FAULTS_MAY_BE_MISSING=1 lets the tests pass without it.`);
      return;
    }
    assert.deepEqual(summarize(result.violations), []);
    assert.ok(result.recovered);
    assert.ok(result.accepted > 0, 'There was load.');
  });
}
