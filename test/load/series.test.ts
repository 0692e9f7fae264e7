import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Latencies, Series } from '../../src/load/series.ts';
import { parseStages } from '../../src/load/stages.ts';

/** A series, and a clock in milliseconds after its beginning. */
function makeSeries(t: TestContext, stages: string): { series: Series; at: (ms: number) => void } {
  const begin = performance.now();
  let now = begin;
  t.mock.method(performance, 'now', () => now);
  const plan = parseStages(stages);
  assert.ok(typeof plan !== 'string');
  return {
    series: new Series(plan),
    at: (ms) => {
      now = begin + ms;
    },
  };
}

test('series: a latency belongs to the second in which the request was due, an answer to the one in which it came', (t) => {
  const { series, at } = makeSeries(t, '3s:2/s');
  at(100);
  series.sent(1, series.startedAt + 100);
  at(2600);
  series.answered('accepted', 1, 2500, '202');
  // It was due before the stall ended, and is sent after it.
  series.sent(1, series.startedAt + 1100);
  at(2700);
  series.answered('accepted', 1, 1600, '202');
  at(3500);
  series.final(3400, 'completed');
  series.final(2400, 'failed');
  const rows = series.rows();
  const column = (name: 'offered' | 'sent' | 'accepted' | 'settled' | 'inFlight' | 'wanted') =>
    rows.map((row) => row[name]);
  assert.deepEqual(column('offered'), [1, 1, 0, 0]);
  assert.deepEqual(column('sent'), [1, 0, 1, 0]);
  assert.deepEqual(column('accepted'), [0, 0, 2, 0]);
  assert.deepEqual(column('settled'), [0, 0, 0, 2]);
  assert.deepEqual(column('inFlight'), [1, 1, 0, 0]);
  assert.deepEqual(column('wanted'), [2, 2, 2, null]);
  assert.deepEqual(
    rows.map(({ acceptMs }) => acceptMs?.max ?? null),
    [2500, 1600, null, null],
  );
  assert.deepEqual(
    rows.map(({ finalMs }) => finalMs?.max ?? null),
    [3400, 2400, null, null],
  );
  const { offered, accepted, settled, settledAsFailed } = series.summarize();
  assert.deepEqual(
    { offered, accepted, settled, settledAsFailed },
    { offered: 2, accepted: 2, settled: 2, settledAsFailed: 1 },
  );
});

test('series: refusals and errors are counted by code, in transfers', (t) => {
  const { series, at } = makeSeries(t, '3s:2/s');
  series.sent(5, series.startedAt);
  series.answered('refused', 5, 1, 'queue_full');
  series.notSent(5, series.startedAt);
  at(1000);
  const [row] = series.lastRows(10);
  assert.deepEqual(row?.answers, { queue_full: 5, not_sent: 5 });
  assert.deepEqual([row?.offered, row?.sent, row?.refused, row?.failed, row?.inFlight], [10, 5, 5, 5, 0]);
});

test('series: a service that answers with ever new codes does not fill the memory', (t) => {
  const { series } = makeSeries(t, '3s:2/s');
  for (let index = 0; index < 10_000; index += 1) {
    series.sent(1, series.startedAt);
    series.answered('failed', 1, 1, series.codeOf(`${index}`.padEnd(1000, 'x')));
  }
  const { errors } = series.summarize();
  assert.ok(Object.keys(errors).length <= 51);
  assert.ok(Object.keys(errors).every((code) => code.length <= 60));
  assert.equal(
    Object.values(errors).reduce((sum, count) => sum + count),
    10_000,
  );
});

test('series: a run of a day has no more than 3600 intervals', (t) => {
  const { series, at } = makeSeries(t, '24h:1/s');
  at(86_399_000);
  assert.equal(series.intervalSeconds, 24);
  assert.equal(series.rows().length, 3600);
});

test('series: percentiles are at most 2 % above the exact ones', () => {
  const latencies = new Latencies();
  for (let ms = 1; ms <= 1000; ms += 1) latencies.record(ms / 10);
  const { p50, p90, p99, max } = latencies.spread();
  for (const [found, exact] of [
    [p50, 50],
    [p90, 90],
    [p99, 99],
  ] as const) {
    assert.ok(found >= exact && found <= exact * 1.02, `${found} is about ${exact}`);
  }
  assert.equal(max, 100);
  const extreme = new Latencies();
  for (const ms of [0, 1e9]) extreme.record(ms);
  assert.deepEqual(extreme.spread(), { p50: 0.05, p90: 1e9, p99: 1e9, max: 1e9 });
});
