// npm run fuzz: sends random requests, made from the service's own description of its interface, to a service on a
// database of its own, and looks for any violation. A tenth goes to a service whose queue is full repeatedly, and half of the others to one with
// keys.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { createDatabase } from '../support/database.ts';
import { readOptions, wholeNumber } from '../support/options.ts';
import { parseServerKind, startServer } from '../support/server.ts';
import { startService } from '../support/service.ts';
import { FULL_QUEUE_ENV, fuzz, FUZZ_ENV, renderStatuses, renderViolation } from './run.ts';

const VIOLATION_EXIT_CODE = 3;

const USAGE = `npm run fuzz -- [options]

  --cases=N     requests (100000)
  --seed=N      sends the same again
  --path=PATH   only the case that was found before
  --full-queue  all to a service whose queue is full time and again, instead of a tenth
  --keys        all to a service with keys, instead of half`;

const { values, cases, seed } = readOptions(USAGE, () => {
  const { values } = parseArgs({
    options: {
      cases: { type: 'string', default: '100000' },
      seed: { type: 'string', default: String(randomInt(2 ** 31)) },
      path: { type: 'string' },
      'full-queue': { type: 'boolean', default: false },
      keys: { type: 'boolean', default: false },
    },
  });
  return {
    values,
    cases: wholeNumber('cases', values.cases, { min: 1, max: 1e9 }),
    seed: wholeNumber('seed', values.seed, { min: 0, max: 2 ** 32 - 1 }),
  };
});
const cleanups: (() => Promise<void>)[] = [];
const scope = { after: (cleanup: () => Promise<void>) => void cleanups.push(cleanup) };

/** Started processes end, also when the run is interrupted. */
async function cleanUp(): Promise<void> {
  for (let cleanup = cleanups.pop(); cleanup; cleanup = cleanups.pop()) await cleanup();
}
for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => void cleanUp().finally(() => process.exit(exitCode)));
}

say(`to send the same again: npm run fuzz -- --cases ${cases} --seed ${seed}`);
try {
  const server = await startServer(
    parseServerKind(process.env['TEST_DATABASE']),
    process.env['TEST_POSTGRES_IMAGE'] ?? 'postgres:18',
    say,
  );
  cleanups.push(() => server.stop());
  const [tenth, half] = [Math.floor(cases / 10), Math.floor(cases / 2)];
  const { 'full-queue': queueMayFill, keys, path } = values;
  // A case that was found before was found in one part.
  const isOnePart = queueMayFill || keys || path !== undefined;
  const parts = isOnePart
    ? [{ queueMayFill, keys, cases }]
    : [
        { queueMayFill: false, keys: false, cases: cases - half - tenth },
        { queueMayFill: false, keys: true, cases: half },
        { queueMayFill: true, keys: false, cases: tenth },
      ];
  for (const { queueMayFill, keys, cases: share } of parts) {
    const database = await createDatabase(scope, server);
    const env = queueMayFill ? FULL_QUEUE_ENV : FUZZ_ENV;
    const start = async () => await startService(scope, { database, env });
    const startedAt = performance.now();
    const options = { cases: share, seed, path, queueMayFill, keys, onProgress: showProgress };
    const report = await fuzz(start, database, options);
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
    for (const line of renderStatuses(report)) say(line);
    if (report.violation) {
      say(renderViolation(report.violation, { queueMayFill, keys }));
      process.exitCode = VIOLATION_EXIT_CODE;
    }
    const queue = `${keys ? ', with keys' : ''}${queueMayFill ? ', with a queue that is full time and again' : ''}`;
    say(
      `${report.cases} cases in ${seconds} s, seed ${seed}${queue}: ${report.violation ? 'a violation' : 'no violation'}`,
    );
  }
} finally {
  await cleanUp();
}

function showProgress(done: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${cases}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
