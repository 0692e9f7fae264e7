// The figures of the overview: what happened between two readings of a process.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quantile, sampleOf } from '../../src/console/activity.ts';
import type { Activity } from '../../src/console/wire.ts';

function reading(change: Partial<Activity> & { counts?: readonly number[] } = {}): Activity {
  const { counts = [0, 0, 0], ...rest } = change;
  return {
    process: 'p1',
    at: '2026-11-26T13:00:00Z',
    uptime_seconds: 10,
    queue: { transfers: 0, transfers_max: 5000, bytes: 0, bytes_max: 1000 },
    totals: { requests: 100, settled: 50, refused: 0 },
    settle_seconds: [0.01, 0.1, null].map((le, index) => ({ le, count: counts[index] ?? 0 })),
    ...rest,
  };
}

test('activity: a sample has the rates between two readings', () => {
  const now = reading({
    at: '2026-11-26T13:00:02Z',
    uptime_seconds: 12,
    queue: { transfers: 7, transfers_max: 5000, bytes: 0, bytes_max: 1000 },
    totals: { requests: 140, settled: 60, refused: 4 },
    counts: [10, 10, 10],
  });
  assert.deepEqual(sampleOf(reading(), now, null), {
    at: Date.parse('2026-11-26T13:00:02Z') / 1000,
    settledPerSecond: 5,
    refusedPerSecond: 2,
    requestsPerSecond: 20,
    p50: 0.005,
    p99: 0.0099,
    queue: 7,
    queueMax: 5000,
  });
});

test('activity: readings of two processes, or of one moment, have no sample', () => {
  assert.equal(sampleOf(reading(), reading({ process: 'p2', uptime_seconds: 12 }), null), null);
  assert.equal(sampleOf(reading(), reading(), null), null);
});

test('activity: a quantile is within its bucket, and no more than the last bound', () => {
  const buckets = [
    { le: 0.01, count: 50 },
    { le: 0.1, count: 90 },
    { le: null, count: 100 },
  ];
  assert.equal(quantile(buckets, 0.5), 0.01);
  assert.ok(Math.abs((quantile(buckets, 0.7) ?? 0) - 0.055) < 1e-9);
  assert.equal(quantile(buckets, 0.99), 0.1);
  assert.equal(quantile([{ le: null, count: 0 }], 0.5), null);
});
