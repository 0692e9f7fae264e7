import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters, styleText } from 'node:util';
import { renderBlock, sparkline } from '../../src/cli/load/live.ts';
import type { Row } from '../../src/load/series.ts';
import { parseStages } from '../../src/load/stages.ts';

const plan = parseStages('10s:100/s,30s:100..2000/s');
assert.ok(typeof plan !== 'string');

const row: Row = {
  second: 14,
  wanted: 353.3,
  offered: 353,
  sent: 350,
  accepted: 300,
  refused: 50,
  failed: 3,
  settled: 290,
  inFlight: 12,
  answers: { '200': 0, '202': 300, queue_full: 50, 'evil\u001b[2J': 3 },
  acceptMs: { p50: 12.34, p90: 40, p99: 450, max: 900 },
  finalMs: null,
};
const view = {
  series: { plan, elapsedMs: 15_000, inFlight: 12, intervalSeconds: 1 },
  bulk: 1,
  unsettled: 1234,
  rows: Array.from({ length: 80 }, () => row),
};
const uncolored = (_: unknown, text: string) => text;

test('live view: it shows the stage, the rate, the answers and the latencies of the last second', () => {
  assert.deepEqual(renderBlock({ ...view, rows: [{ ...row, settled: 0 }, row] }, 99, uncolored), [
    'stage      2 of 2: 100..2000/s  15 of 40 s  ━━━━━━━━────────────',
    'rate       wanted 353/s  sent 350/s  in flight 12  to settle 1,234',
    'answers/s  200 0  202 300  429 50  other 3  queue_full  evil\\u001b[2J',
    'latency    accepted p50 12.3 ms  p99 450 ms  final p50 –  p99 –',
    'settled/s  ▁█ 290',
    'p99 ms     ██ 450',
  ]);
});

for (const width of [20, 40, 59, 79, 99]) {
  test(`live view: no line is wider than ${width} characters`, () => {
    const colored = renderBlock(view, width, (color, text) => styleText(color, text, { validateStream: false }));
    const plain = colored.map((line) => stripVTControlCharacters(line));
    for (const line of plain) assert.ok(line.length <= width, `${line.length}: ${line}`);
    assert.deepEqual(plain, renderBlock(view, width, uncolored), 'colors change no text');
    assert.match(plain.join('\n'), /202 300/);
  });
}

test('live view: before the first second and after the last one it has no numbers to show', () => {
  const before = renderBlock({ ...view, rows: [] }, 79, uncolored).join('\n');
  assert.match(before, /wanted –/);
  const after = renderBlock({ ...view, series: { ...view.series, elapsedMs: 41_000 } }, 79, uncolored).join('\n');
  assert.match(after, /^stage +over: waiting until all accepted transfers are final$/m);
});

test('live view: a sparkline is scaled to its greatest value, and has a gap where nothing was measured', () => {
  assert.equal(sparkline([0, null, 50, 100]), '▁ ▅█');
  assert.equal(sparkline([0, 0]), '▁▁');
  assert.equal(sparkline([]), '');
});
