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
  const release = (caller: string, count: number): void => {
    admission.releaseSettled(count, count);
    shares.released(caller, count);
  };
  return { clock, admission, admit, release };
}

test('admission shares: a caller without competitors fills the queue', () => {
  const { admit, admission } = createAdmission(50);
  for (let n = 0; n < 50; n += 1) assert.equal(admit('A'), true);
  assert.equal(admit('A'), false);
  assert.equal(admission.room, 0);
});

test('admission shares: a caller that filled the queue is limited to its share once another asks', () => {
  const { admit, release } = createAdmission(50);
  assert.equal(admit('A', 50), true);
  assert.equal(admit('B'), false);
  release('A', 20);
  assert.equal(admit('A'), false);
  assert.equal(admit('B'), true);
  release('A', 10);
  assert.equal(admit('A'), true, 'A holds 20 of 50, and 29 are free');
});

test('admission shares: a release is credited to its own caller, in any order', () => {
  const { admit, release } = createAdmission(10);
  for (let n = 0; n < 5; n += 1) assert.equal(admit('A'), true);
  // B settles repeatedly, while A waits for a lock.
  for (let n = 0; n < 50; n += 1) {
    assert.equal(admit('B'), true, `B is admitted for the ${n + 1}. time.`);
    release('B', 1);
  }
  assert.equal(admit('A'), false, 'A holds 5, and 5 are free');
});

test('admission shares: a competitor that has not asked for ten seconds does not count', () => {
  const { admit, clock } = createAdmission(10);
  assert.equal(admit('B'), true);
  assert.equal(admit('A', 6), true);
  assert.equal(admit('A'), false);
  clock.now = 10_000;
  assert.equal(admit('A'), true);
});
