import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { closedLoop, openLoop } from '../../src/load/schedule.ts';

const RATE = 1000;
const DURATION_MS = 50;

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
  await openLoop({ ...loop, rate: RATE, endsAt: startedAt + DURATION_MS }, start, (intendedAt) =>
    notSent.push(intendedAt),
  );
  return { startedAt, sent, notSent, atOnceMax };
}

test('load: an open loop keeps its schedule with a slow service', async () => {
  const { startedAt, sent, notSent, atOnceMax } = await runOpen({ connections: 2, takesMs: 10 });
  assert.equal(atOnceMax, 2, 'no more at once than there are connections');
  assert.deepEqual(notSent, []);
  const first = sent[0] ?? 0;
  assert.ok(first - startedAt < DURATION_MS);
  // All due requests, including those without a free connection in time, each with its due time.
  assert.equal(sent.length, Math.ceil((startedAt + DURATION_MS - first) / (1000 / RATE)));
  for (const [index, intendedAt] of sent.entries()) assert.ok(Math.abs(intendedAt - first - index) < 0.001);
});

test('load: an open loop skips and reports requests that are too late', async () => {
  const { sent, notSent } = await runOpen({ connections: 1, takesMs: 10, lateMaxMs: 20 });
  assert.ok(sent.length > 0 && notSent.length > 0);
  const all = [...sent, ...notSent].toSorted((a, b) => a - b);
  for (const [index, intendedAt] of all.entries()) assert.ok(Math.abs(intendedAt - (all[0] ?? 0) - index) < 0.001);
});

test('load: a closed loop has one request at a time on each connection, until its end', async () => {
  const endsAt = performance.now() + DURATION_MS;
  let [atOnce, atOnceMax] = [0, 0];
  await closedLoop({ connections: 3, endsAt }, async (intendedAt) => {
    assert.ok(intendedAt < endsAt);
    atOnce += 1;
    atOnceMax = Math.max(atOnceMax, atOnce);
    await sleep(5);
    atOnce -= 1;
  });
  assert.equal(atOnceMax, 3);
  assert.ok(performance.now() >= endsAt);
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
  const endless = { connections: 3, endsAt: Infinity, signal: stopped.signal };
  await closedLoop(endless, start);
  assert.deepEqual([started, done], [3, 3]);
  // Its next request is due in a thousand seconds.
  await openLoop({ ...endless, rate: 0.001 }, start, () => {});
  assert.deepEqual([started, done], [3, 3]);
});
