// The queue alone, on a clock that the test sets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Queue } from '../../src/main/queue.ts';

test('queue: admits until it is full, and again when places are given back', () => {
  const queue = new Queue(3, 1e9);
  assert.equal(queue.admit(2, 2), true);
  assert.deepEqual({ size: queue.size, room: queue.room }, { size: 2, room: 1 });
  assert.equal(queue.admit(1, 1), true);
  assert.equal(queue.admit(1, 1), false);
  assert.deepEqual({ size: queue.size, room: queue.room }, { size: 3, room: 0 });
  queue.release(1, 1, true);
  assert.equal(queue.admit(1, 1), true);
  assert.equal(queue.room, 0);
});

test('queue: takes all of a request or nothing of it', () => {
  const queue = new Queue(3, 1e9);
  assert.equal(queue.admit(4, 4), false);
  assert.equal(queue.size, 0);
  assert.equal(queue.admit(3, 3), true);
  assert.equal(queue.size, 3);
});

test('queue: what is durable already comes in beyond the bound, and keeps others out until it has left', () => {
  const queue = new Queue(2, 1e9);
  queue.admitAnyway(5, 5);
  assert.deepEqual({ size: queue.size, room: queue.room }, { size: 5, room: 0 });
  assert.equal(queue.admit(1, 1), false);
  queue.release(4, 4, true);
  assert.equal(queue.admit(1, 1), true);
  assert.equal(queue.admit(1, 1), false);
});

test('queue: tells one second as long as nothing is known of its speed', () => {
  const { queue, advance } = measuredQueue(1000);
  queue.admit(1000, 1000);
  assert.equal(queue.retryAfterSeconds(), 1);
  advance(900);
  queue.release(500, 500, true);
  assert.equal(queue.retryAfterSeconds(), 1);
});

test('queue: tells in how many whole seconds it drains at the measured speed', () => {
  const { queue, advance } = measuredQueue(1000);
  queue.admit(1000, 1000);
  advance(2000);
  queue.release(200, 200, true);
  // 100 a second, 800 left.
  assert.equal(queue.retryAfterSeconds(), 8);
  advance(1000);
  queue.release(50, 50, false);
  // 750 left: what was never stored has left, and says nothing of the speed.
  assert.equal(queue.retryAfterSeconds(), 8);
  queue.release(51, 51, false);
  assert.equal(queue.retryAfterSeconds(), 7);
});

test('queue: its speed is the mean of the last second and of what was known', () => {
  const { queue, advance } = measuredQueue(1000);
  queue.admit(1000, 1000);
  advance(1000);
  queue.release(100, 100, true);
  assert.equal(queue.retryAfterSeconds(), 9);
  advance(1000);
  queue.release(300, 300, true);
  // (100 + 300) / 2 a second, 600 left.
  assert.equal(queue.retryAfterSeconds(), 3);
});

test('queue: tells at least one second and at most sixty', () => {
  const { queue, advance } = measuredQueue(100_000);
  queue.admit(100_000, 100_000);
  advance(1000);
  queue.release(1, 1, true);
  assert.equal(queue.retryAfterSeconds(), 60);
  queue.release(99_999, 99_999, false);
  assert.equal(queue.retryAfterSeconds(), 1);
});

test('queue: time in which nothing was on its way does not count', () => {
  const { queue, advance } = measuredQueue(1000);
  for (let burst = 0; burst < 10; burst += 1) {
    queue.admit(500, 500);
    advance(50);
    queue.release(500, 500, true);
    advance(60_000);
  }
  queue.admit(1000, 1000);
  // 500 in 50 ms, whatever lies between.
  assert.equal(queue.retryAfterSeconds(), 1);
});

test('queue: bytes are bounded like places, and a request larger than the bound is admitted alone', () => {
  const queue = new Queue(1000, 100);
  assert.equal(queue.admit(1, 60), true);
  assert.equal(queue.admit(1, 60), false);
  assert.equal(queue.admit(1, 40), true);
  assert.equal(queue.room, 0);
  queue.release(2, 100, true);
  assert.equal(queue.admit(2, 500), true);
  assert.equal(queue.admit(1, 1), false);
  queue.release(2, 500, true);
  assert.equal(queue.admit(1, 1), true);
});

function measuredQueue(maxQueue: number): { queue: Queue; advance: (milliseconds: number) => void } {
  let now = 5000;
  const advance = (milliseconds: number): void => {
    now += milliseconds;
  };
  return { queue: new Queue(maxQueue, 1e9, () => now), advance };
}
