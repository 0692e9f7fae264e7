// Admission alone, on a clock that the test sets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Admission } from '../../src/main/engine/admission.ts';

test('admission: admits until it is full, and again after a release', () => {
  const admission = new Admission(3, 1e9);
  assert.equal(admission.tryAdmit(2, 2), true);
  assert.deepEqual({ size: admission.size, room: admission.room }, { size: 2, room: 1 });
  assert.equal(admission.tryAdmit(1, 1), true);
  assert.equal(admission.tryAdmit(1, 1), false);
  assert.deepEqual({ size: admission.size, room: admission.room }, { size: 3, room: 0 });
  admission.releaseSettled(1, 1);
  assert.equal(admission.tryAdmit(1, 1), true);
  assert.equal(admission.room, 0);
});

test('admission: admits a request as a whole or not at all', () => {
  const admission = new Admission(3, 1e9);
  assert.equal(admission.tryAdmit(4, 4), false);
  assert.equal(admission.size, 0);
  assert.equal(admission.tryAdmit(3, 3), true);
  assert.equal(admission.size, 3);
});

test('admission: recovered transfers exceed the bound, and keep others out until they are released', () => {
  const admission = new Admission(2, 1e9);
  admission.admitRecovered(5, 5);
  assert.deepEqual({ size: admission.size, room: admission.room }, { size: 5, room: 0 });
  assert.equal(admission.tryAdmit(1, 1), false);
  admission.releaseSettled(4, 4);
  assert.equal(admission.tryAdmit(1, 1), true);
  assert.equal(admission.tryAdmit(1, 1), false);
});

test('admission: Retry-After is one second while the speed is unknown', () => {
  const { admission, advance } = measuredAdmission(1000);
  admission.tryAdmit(1000, 1000);
  assert.equal(admission.retryAfterSeconds(), 1);
  advance(900);
  admission.releaseSettled(500, 500);
  assert.equal(admission.retryAfterSeconds(), 1);
});

test('admission: Retry-After is the whole seconds until it drains at the measured speed', () => {
  const { admission, advance } = measuredAdmission(1000);
  admission.tryAdmit(1000, 1000);
  advance(2000);
  admission.releaseSettled(200, 200);
  // 100 a second, 800 remaining.
  assert.equal(admission.retryAfterSeconds(), 8);
  advance(1000);
  admission.release(50, 50);
  // 750 remaining: transfers that were never stored do not affect the speed.
  assert.equal(admission.retryAfterSeconds(), 8);
  admission.release(51, 51);
  assert.equal(admission.retryAfterSeconds(), 7);
});

test('admission: its speed is the mean of the last second and the previous value', () => {
  const { admission, advance } = measuredAdmission(1000);
  admission.tryAdmit(1000, 1000);
  advance(1000);
  admission.releaseSettled(100, 100);
  assert.equal(admission.retryAfterSeconds(), 9);
  advance(1000);
  admission.releaseSettled(300, 300);
  // (100 + 300) / 2 a second, 600 remaining.
  assert.equal(admission.retryAfterSeconds(), 3);
});

test('admission: Retry-After is at least one second and at most sixty', () => {
  const { admission, advance } = measuredAdmission(100_000);
  admission.tryAdmit(100_000, 100_000);
  advance(1000);
  admission.releaseSettled(1, 1);
  assert.equal(admission.retryAfterSeconds(), 60);
  admission.release(99_999, 99_999);
  assert.equal(admission.retryAfterSeconds(), 1);
});

test('admission: idle time does not count for the speed', () => {
  const { admission, advance } = measuredAdmission(1000);
  for (let burst = 0; burst < 10; burst += 1) {
    admission.tryAdmit(500, 500);
    advance(50);
    admission.releaseSettled(500, 500);
    advance(60_000);
  }
  admission.tryAdmit(1000, 1000);
  // 500 in 50 ms, without the pauses.
  assert.equal(admission.retryAfterSeconds(), 1);
});

test('admission: bytes are bounded like transfers, and a request larger than the bound is admitted alone', () => {
  const admission = new Admission(1000, 100);
  assert.equal(admission.tryAdmit(1, 60), true);
  assert.equal(admission.tryAdmit(1, 60), false);
  assert.equal(admission.tryAdmit(1, 40), true);
  assert.equal(admission.room, 0);
  admission.releaseSettled(2, 100);
  assert.equal(admission.tryAdmit(2, 500), true);
  assert.equal(admission.tryAdmit(1, 1), false);
  admission.releaseSettled(2, 500);
  assert.equal(admission.tryAdmit(1, 1), true);
});

function measuredAdmission(maxQueue: number): { admission: Admission; advance: (milliseconds: number) => void } {
  let now = 5000;
  const advance = (milliseconds: number): void => {
    now += milliseconds;
  };
  return { admission: new Admission(maxQueue, 1e9, () => now), advance };
}
