// How admission is divided between callers, on a clock that the test sets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AdmissionShares } from '../../src/main/engine/admission-shares.ts';
import { Admission } from '../../src/main/engine/admission.ts';

/** Admission with its shares; admits as the engine does. */
function createAdmission(maxQueue: number) {
  const clock = { now: 0 };
  const admission = new Admission(maxQueue, Infinity);
  const shares = new AdmissionShares(admission, 50, () => clock.now);
  const admit = (caller: string, count = 1): boolean => {
    if (!shares.mayTake(caller) || !admission.tryAdmit(count, count)) return false;
    shares.taken(caller, count);
    return true;
  };
  return { clock, admission, admit };
}

test('admission shares: a caller without competitors fills the queue', () => {
  const { admit, admission } = createAdmission(50);
  for (let n = 0; n < 50; n += 1) assert.equal(admit('A'), true);
  assert.equal(admit('A'), false);
  assert.equal(admission.room, 0);
});

test('admission shares: a caller that filled the queue keeps to its share once another asks', () => {
  const { admit, admission } = createAdmission(50);
  assert.equal(admit('A', 50), true);
  assert.equal(admit('B'), false);
  admission.release(20, 20, true);
  assert.equal(admit('A'), false);
  assert.equal(admit('B'), true);
  admission.release(10, 10, true);
  assert.equal(admit('A'), true, 'A holds 20 of 50, and 29 are free');
});

test('admission shares: released transfers count as those that were admitted first', () => {
  const { admit, admission } = createAdmission(10);
  assert.equal(admit('A', 4), true);
  assert.equal(admit('B', 3), true);
  admission.release(4, 4, true);
  assert.equal(admit('A', 3), true, 'only transfers of B are left');
  assert.equal(admit('B'), true, 'B holds 3, and 4 are free');
  assert.equal(admit('B'), false, 'B holds 4, and 3 are free');
});

test('admission shares: a competitor that has not asked for ten seconds does not count', () => {
  const { admit, clock } = createAdmission(10);
  assert.equal(admit('B'), true);
  assert.equal(admit('A', 6), true);
  assert.equal(admit('A'), false);
  clock.now = 10_000;
  assert.equal(admit('A'), true);
});
