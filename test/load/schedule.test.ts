import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { closedLoop, openLoop } from '../../src/load/schedule.ts';
import type { Stage } from '../../src/load/stages.ts';

const RATE = 1000;
const DURATION_MS = 50;

function steady(load: number, seconds = DURATION_MS / 1000): Stage[] {
  return [{ seconds, from: load, to: load }];
}

/** Runs an open loop with requests of this duration. Returns the due times of the sent and of the skipped requests. */
async function runOpen(options: { connections: number; takesMs: number; lateMaxMs?: number }) {
  const { takesMs, ...loop } = options;
  const sent: number[] = [];
  const notSent: number[] = [];
  let [atOnce, atOnceMax] = [0, 0];
  const start = async (intendedAt: number): Promise<void> => {
    sent.push(intendedAt);
    atOnce += 1;
    atOnceMax = Math.max(atOnceMax, atOnce);
    await sleep(takesMs);
    atOnce -= 1;
  };
  const startedAt = performance.now();
  await openLoop({ ...loop, stages: steady(RATE), startedAt }, start, (intendedAt) => notSent.push(intendedAt));
  return { startedAt, sent, notSent, atOnceMax };
}

test('load: an open loop keeps its schedule with a slow service', async () => {
  const { startedAt, sent, notSent, atOnceMax } = await runOpen({ connections: 2, takesMs: 10 });
  assert.equal(atOnceMax, 2, 'no more at once than there are connections');
  assert.deepEqual(notSent, []);
  // All due requests, including those without a free connection in time, each with its due time.
  assert.equal(sent.length, (RATE * DURATION_MS) / 1000);
  for (const [index, intendedAt] of sent.entries()) assert.ok(Math.abs(intendedAt - startedAt - index) < 0.001);
});

test('load: an open loop skips and reports requests that are too late', async () => {
  const { sent, notSent } = await runOpen({ connections: 1, takesMs: 10, lateMaxMs: 20 });
  assert.ok(sent.length > 0 && notSent.length > 0);
  const all = [...sent, ...notSent].toSorted((a, b) => a - b);
  for (const [index, intendedAt] of all.entries()) assert.ok(Math.abs(intendedAt - (all[0] ?? 0) - index) < 0.001);
});

test('load: a closed loop has one request at a time on each connection, until its end', async () => {
  const startedAt = performance.now();
  const endsAt = startedAt + DURATION_MS;
  let [atOnce, atOnceMax] = [0, 0];
  await closedLoop({ stages: steady(3), startedAt }, async (intendedAt) => {
    assert.ok(intendedAt < endsAt);
    atOnce += 1;
    atOnceMax = Math.max(atOnceMax, atOnce);
    await sleep(5);
    atOnce -= 1;
  });
  assert.equal(atOnceMax, 3);
  assert.ok(performance.now() >= endsAt);
});

test('load: a closed loop uses as many connections as its stage wants', async () => {
  const stages = [...steady(1), ...steady(3, Infinity)];
  const startedAt = performance.now();
  const stopped = new AbortController();
  let atOnce = 0;
  const seen = [0, 0];
  await closedLoop({ stages, startedAt, signal: stopped.signal }, async (intendedAt) => {
    const stage = intendedAt - startedAt < DURATION_MS ? 0 : 1;
    atOnce += 1;
    seen[stage] = Math.max(seen[stage] ?? 0, atOnce);
    if (seen[1] === 3) stopped.abort();
    await sleep(5);
    atOnce -= 1;
  });
  assert.deepEqual(seen, [1, 3]);
});

test('load: both loops stop on request and await requests in flight', async () => {
  const stopped = new AbortController();
  let [started, done] = [0, 0];
  const start = async (): Promise<void> => {
    started += 1;
    await sleep(1);
    stopped.abort();
    done += 1;
  };
  const endless = { startedAt: performance.now(), signal: stopped.signal };
  await closedLoop({ ...endless, stages: steady(3, Infinity) }, start);
  assert.deepEqual([started, done], [3, 3]);
  // Its next request is due in a thousand seconds.
  await openLoop({ ...endless, connections: 3, stages: steady(0.001, 1e9) }, start, () => {});
  assert.deepEqual([started, done], [3, 3]);
});
