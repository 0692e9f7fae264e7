import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Admission } from '../../src/main/engine/admission.ts';
import { createMetrics } from '../../src/main/engine/metrics.ts';

test('metrics: a snapshot has the totals, the queue and the cumulative times', () => {
  const admission = new Admission(10, 1000);
  const metrics = createMetrics(admission);
  assert.ok(admission.tryAdmit(3, 300));
  metrics.request('/transfers', 202, 5);
  metrics.request('/transfers', 429, 1);
  metrics.settled(null, 4);
  metrics.settled('insufficient_funds', 5);
  metrics.settled(null, 60_000);
  const { settleTimes, ...figures } = metrics.snapshot();
  assert.deepEqual(figures, {
    requests: 2,
    refused: 1,
    settled: 3,
    queue: { transfers: 3, transfersMax: 10, bytes: 300, bytesMax: 1000 },
  });
  assert.equal(settleTimes.count, 3);
  assert.ok(Math.abs(settleTimes.sumSeconds - 60.009) < 1e-9);
  const within = (seconds: number) => settleTimes.counts[settleTimes.boundsSeconds.indexOf(seconds)];
  assert.deepEqual([within(0.002), within(0.005), within(10)], [0, 2, 2]);
});
