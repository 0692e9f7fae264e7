// Goal: the books that the benchmark writes are consistent, and its figures are computed correctly.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge, listBars } from '../bench/bars.ts';
import type { Sample } from '../bench/subject.ts';
import { countCompleted } from '../bench/counts.ts';
import { parseStat } from '../bench/processes.ts';
import { inTurn } from '../bench/rounds.ts';
import { seedLedger } from '../bench/seed.ts';
import { processorTime } from '../bench/window.ts';
import { parseWrk } from '../bench/wrk.ts';
import { connect, disconnect, READING_TIMEOUTS } from '../src/db/connection/connect.ts';
import { createDatabase } from './support/database.ts';
import { onEnd } from './support/cleanup.ts';
import { checkPromises } from './support/promises/check.ts';

const DAY_MS = 86_400_000;

test('bench: a seeded ledger keeps every promise', async (t) => {
  const database = await createDatabase(t);
  const connection = await connect(database.settings, READING_TIMEOUTS, { applicationName: 'test' });
  onEnd(t, async () => await disconnect(connection));
  assert.equal(await seedLedger(connection, 7, 50_000), 50_001);
  await checkPromises(database, { nothingPending: true });
  assert.equal(await countCompleted(connection, Date.now() - DAY_MS, Date.now() + DAY_MS), 7 + 50_001);
  assert.equal(await countCompleted(connection, Date.now(), Date.now() + DAY_MS), 0);
});

test('bench: a ratio is taken within a round, and a run without a figure has none', () => {
  const sample = (subject: string, round: number, figure: number | null): Sample => ({
    subject,
    round,
    figure,
    broken: figure === null ? 'poisoned' : null,
    measured: {},
    command: '',
  });
  const samples = [sample('single', 1, 100), sample('long', 1, 90), sample('single', 2, 10), sample('long', 2, 8)];
  const results = judge(listBars([]), [...samples, sample('single', 3, null), sample('long', 3, 900)]);
  const long = results.find(({ bar }) => bar.name === 'long ÷ single');
  assert.deepEqual(long?.values, [0.9, 0.8]);
  assert.equal(long?.met, true);
  assert.equal(results.length, 1);
});

test('bench: a line of /proc/<pid>/stat is parsed for any program name', () => {
  const line = '42 (a) b (c) S 7 42 42 0 -1 4194304 1 2 3 4 150 50 30 20 20 0 13 0 100 200 300';
  assert.deepEqual(parseStat(line), { name: 'a) b (c', parent: 7, user: 150, system: 50, endedChildren: 50 });
});

test('bench: the result is parsed from the end of the output of wrk', () => {
  const output = [
    'Running 2s test @ http://127.0.0.1:8080',
    '  Non-2xx or 3xx responses: 5',
    'Requests/sec:  10.00',
    '',
    '{"seconds":2.5,"requests":25,"refused":5,"failed":1,"meanMs":1.5,"p50Ms":1.25,"p99Ms":9.5}',
    '',
  ].join('\n');
  const expected = { seconds: 2.5, requests: 25, refused: 5, failed: 1, meanMs: 1.5, p50Ms: 1.25, p99Ms: 9.5 };
  assert.deepEqual(parseWrk(output), expected);
  assert.throws(() => parseWrk('unable to connect'), /printed no result: unable to connect/);
});

test('bench: processor time is per 1,000 and leaves the generator out of the whole system', () => {
  const cores = { serviceMainThreadCores: 0.5, serviceWorkersCores: 0.25, serviceCores: 0.8, postgresCores: 0.6 };
  assert.deepEqual(processorTime({ ...cores, loadCores: 0.1 }, 10_000), {
    mainThreadMs: 50,
    workersMs: 25,
    serviceMs: 80,
    postgresMs: 60,
    systemMs: 140,
    generatorMs: 10,
  });
  assert.deepEqual(processorTime({ postgresCores: 0.5 }, 1000), { postgresMs: 500 });
  assert.deepEqual(processorTime(cores, 0), {});
});

test('bench: another checkout has the same bars, and is compared with this one in each round', () => {
  const sample = (subject: string, round: number, figure: number, systemMs: number): Sample => ({
    subject,
    round,
    figure,
    broken: null,
    measured: { systemMs },
    command: '',
  });
  const samples = [
    sample('single-64', 1, 100, 100),
    sample('single-64 (before)', 1, 50, 200),
    sample('single-64', 2, 120, 110),
    sample('single-64 (before)', 2, 100, 220),
  ];
  const results = judge(listBars(['single-64', 'single-64 (before)']), samples);
  assert.deepEqual(
    results.map(({ bar, values, met }) => [bar.name, values, met]),
    [
      ['single-64 ÷ single-64 (before)', [2, 1.2], null],
      ['single-64 ÷ single-64 (before): processor time', [0.5, 0.5], null],
      ['single-64: processor time per 1,000, without the generator', [100, 110], true],
      ['single-64 (before): processor time per 1,000, without the generator', [200, 220], false],
    ],
  );
});

test('bench: compared checkouts run next to each other and alternate in order', () => {
  const subjects = ['naive', 'single', 'single (before)', 'bulk', 'bulk (before)'].map((name) => ({ name }));
  const orderOf = (round: number) => inTurn(subjects, round).map(({ name }) => name);
  assert.deepEqual(orderOf(1), ['naive', 'single', 'single (before)', 'bulk', 'bulk (before)']);
  assert.deepEqual(orderOf(2), ['single (before)', 'single', 'bulk (before)', 'bulk', 'naive']);
  assert.deepEqual(orderOf(3), ['bulk', 'bulk (before)', 'naive', 'single', 'single (before)']);
});
