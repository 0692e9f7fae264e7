import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderComparison, verdictsOf } from '../../src/cli/load/comparison-text.ts';
import { compareRuns } from '../../src/load/comparison.ts';
import type { LoadResult } from '../../src/load/result.ts';
import { seeded } from '../../src/load/random.ts';
import { exampleResult } from './example.ts';

/** A result with known medians and noise of ±5 %. `rampTo`: the throughput grows to this factor. */
function makeRun(options: {
  seed: number;
  seconds?: number;
  settled?: number;
  p99?: number;
  rampTo?: number;
}): LoadResult {
  const { seed, seconds = 60, settled = 1000, p99 = 40, rampTo = 1 } = options;
  const random = seeded(seed);
  const noisy = (value: number) => value * (0.95 + 0.1 * random());
  const [interval] = exampleResult.series;
  assert.ok(interval);
  const series = Array.from({ length: seconds }, (_, second) => {
    const count = Math.round(noisy(settled) * (1 + ((rampTo - 1) * second) / seconds));
    const spread = { p50: noisy(10), p90: noisy(20), p99: noisy(p99), max: noisy(2 * p99) };
    return { ...interval, second, wanted: 64, accepted: count, settled: count, accept_ms: spread, final_ms: spread };
  });
  return { ...exampleResult, seconds, interval_seconds: 1, series };
}

function ratioOf(a: LoadResult, b: LoadResult, name: string) {
  const ratio = compareRuns(a, b).ratios.find(({ measure }) => measure.name === name)?.ratio;
  assert.ok(ratio, name);
  return ratio;
}

for (const rampTo of [1, 20]) {
  test(`comparison: known ratios are found, with intervals about them (a ramp to ${rampTo} times the load)`, () => {
    const a = makeRun({ seed: 1, rampTo });
    const b = makeRun({ seed: 2, rampTo, settled: 1120, p99: 32 });
    const settled = ratioOf(a, b, 'settled');
    assert.ok(settled.low <= 1.12 && settled.high >= 1.12, JSON.stringify(settled));
    const p99 = ratioOf(a, b, 'time to accepted, p99');
    assert.ok(p99.low <= 0.8 && p99.high >= 0.8 && p99.high < 1, JSON.stringify(p99));
  });
}

test('comparison: a difference is stated, and equal measures have no difference beyond the noise', () => {
  const comparison = compareRuns(makeRun({ seed: 1 }), makeRun({ seed: 2, settled: 1120, p99: 32 }));
  const verdicts = verdictsOf(comparison);
  assert.match(verdicts[0] ?? '', /^B accepts 1\.1\d times as many transfers per second as A\.$/);
  assert.match(verdicts[1] ?? '', /^B settles 1\.1\d times as many transfers per second as A\.$/);
  assert.match(verdicts[2] ?? '', /^Time to accepted, p99: B takes 0\.(79|8\d) times as long as A\.$/);
  assert.match(verdicts[4] ?? '', /^No difference beyond the noise: time to accepted, p50; time to final, p50\.$/);
  assert.match(verdicts[5] ?? '', /^Medians of 60 seconds\. The noise is that within the two runs/);
  assert.match(renderComparison(comparison), /^settled +\d+ \/s +\d+ \/s +1\.1\d +1\.\d\d to 1\.\d\d$/m);
});

test('comparison: equal services differ in no measure', () => {
  for (let seed = 1; seed <= 10; seed += 1) {
    const verdicts = verdictsOf(compareRuns(makeRun({ seed }), makeRun({ seed: seed + 100 })));
    assert.equal(verdicts.length, 2, `seed ${seed}: ${verdicts.join(' ')}`);
  }
});

test('comparison: a run that is too short says so, and claims nothing', () => {
  const comparison = compareRuns(makeRun({ seed: 1, seconds: 19 }), makeRun({ seed: 2, settled: 5000 }));
  assert.equal(comparison.pairs.length, 19);
  assert.ok(comparison.ratios.every(({ ratio }) => ratio === null));
  assert.match(verdictsOf(comparison)[0] ?? '', /^Fewer than 20 seconds can be compared: accepted; settled;/);
});

test('comparison: different stages are stated, and the time after the load is not compared', () => {
  const a = makeRun({ seed: 1 });
  const b = { ...makeRun({ seed: 2 }), stages: [{ seconds: 60, from: 1, to: 1 }] };
  assert.match(verdictsOf(compareRuns(a, b))[0] ?? '', /^The loads were different/);
  const rest = a.series.map((interval) => ({ ...interval, wanted: interval.second < 30 ? 64 : null }));
  assert.equal(compareRuns({ ...a, series: rest }, b).pairs.length, 30);
});
