// Goal: for every end of jobs and units, nothing is lost and nothing stays admitted. Method: random steps, with threads
// that the test simulates.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { Job, UnitOutcome } from '../../src/domain/job.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { BY_SERVICE } from '../../src/domain/transfer.ts';
import { toWaitingUnit } from '../../src/main/engine/unit.ts';
import { turn } from '../support/fake-pool.ts';
import { newAccount, newTransfer, settledReport } from '../support/jobs.ts';
import { BROKEN, LOCKED, LOST, named, start, stored, UNAVAILABLE, waiting } from './units.ts';

/** What happens next. `pick` chooses among the units or the running jobs. */
type Step =
  | { readonly step: 'submit'; readonly size: number; readonly ledger: number }
  | { readonly step: 'open'; readonly size: number; readonly ledger: number }
  | { readonly step: 'push'; readonly size: number; readonly ledger: number; readonly adoptions: number }
  | {
      readonly step: 'withdraw' | 'settle' | 'die' | 'poisoned' | 'unavailable' | 'locked' | 'lost';
      readonly pick: number;
    }
  | { readonly step: 'wait' };

const size = fc.integer({ min: 1, max: 5 });
const ledger = fc.integer({ min: 1, max: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ step: fc.constant('submit' as const), size, ledger }),
  fc.record({ step: fc.constant('open' as const), size, ledger }),
  fc.record({
    step: fc.constant('push' as const),
    size,
    ledger,
    adoptions: fc.constantFrom(0, 0, 1, 5, 12),
  }),
  fc.record({ step: fc.constantFrom('withdraw' as const, 'settle' as const), pick: fc.nat() }),
  fc.record({
    step: fc.constantFrom(...(['die', 'poisoned', 'unavailable', 'locked', 'lost'] as const)),
    pick: fc.nat(),
  }),
  fc.constant({ step: 'wait' as const }),
);

/** How the units of a job may end when it settles: stored ones never as replayed. */
function endingsOf(job: Job, pick: number): UnitOutcome[] {
  const opens = new Set(job.openings.unit);
  let first = 0;
  return job.units.map((size, unit) => {
    const isStored = size > 0 && (job.transfers.storedAtMicros?.[first] ?? null) !== null;
    first += size;
    const possible: UnitOutcome[] = isStored
      ? ['settled', 'settled_elsewhere']
      : ['settled', 'settled_elsewhere', 'replayed'];
    if (opens.has(unit)) possible.push('account_exists');
    return possible[(pick + unit) % possible.length] ?? 'settled';
  });
}

test('dispatcher: each unit ends once and its admission is released once, for every kind of end', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const seed = Number(process.env['FAST_CHECK_SEED'] ?? Date.now() % 2 ** 31);
  t.diagnostic(`FAST_CHECK_SEED=${seed}`);
  const property = async (steps: readonly Step[], threads: number): Promise<void> => {
    const bytesMax = 1e12;
    const maxQueue = 1_000_000;
    const options = { threads, jobSizeMax: 6, maxQueue, bytesMax, restAfter: () => 20 };
    const { submit, push, pool, dispatcher, admission } = await start(options);
    const queued: ReturnType<typeof submit>[] = [];
    const pushed: string[] = [];
    let count = 0;
    const nextIds = (size: number) => Array.from({ length: size }, () => `id-${(count += 1)}`);
    const ledgerOf = (id: number) => (id === 1 ? MAIN_LEDGER : { id, name: `ledger-${id}` });
    const running = (pick: number) => pool.running[pick % Math.max(1, pool.running.length)];
    for (const each of steps) {
      if (each.step === 'submit') queued.push(submit(waiting(nextIds(each.size), ledgerOf(each.ledger))));
      else if (each.step === 'open') {
        const accounts = nextIds(each.size).map((number) => newAccount(number));
        queued.push(submit(toWaitingUnit(ledgerOf(each.ledger), [newTransfer()], null, { accounts, by: BY_SERVICE })));
      } else if (each.step === 'push') {
        const ids = nextIds(each.size);
        pushed.push(...ids);
        push(stored(ids, { ledger: ledgerOf(each.ledger), adoptions: each.adoptions }));
      } else if (each.step === 'wait') t.mock.timers.tick(5000);
      else if (each.step === 'withdraw') {
        const unit = queued[each.pick % Math.max(1, queued.length)];
        // Its caller releases it, or stores it and pushes it.
        if (unit && dispatcher.withdraw(unit)) admission.release(unit.size, unit.bytes);
      } else {
        const job = running(each.pick);
        if (each.step === 'die') job?.die(new Error('worker exited with code: 1'));
        else if (each.step === 'settle') job?.end(settledReport(job.job, { units: endingsOf(job.job, each.pick) }));
        else job?.end({ poisoned: BROKEN, unavailable: UNAVAILABLE, locked: LOCKED, lost: LOST }[each.step]);
      }
      await turn();
    }
    const drained = dispatcher.drain(50_000);
    for (let rounds = 0; rounds < 12; rounds += 1) {
      await pool.endAll();
      t.mock.timers.tick(5000);
      await turn();
    }
    assert.ok(await drained, 'nothing is on its way');
    assert.equal(pool.running.length, 0);
    for (const unit of queued) assert.ok(unit.state === 'withdrawn' ? unit.result === null : unit.result !== null);
    for (const id of pushed) assert.ok(!dispatcher.has(named(id)));
    assert.equal(admission.size, 0);
    // All bytes are free, and not one more.
    assert.ok(admission.tryAdmit(1, bytesMax));
    assert.equal(admission.room, 0);
  };
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 3 }), property), {
    seed,
    numRuns: 300,
  });
});
