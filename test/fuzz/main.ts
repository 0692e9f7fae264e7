// npm run fuzz: sends random requests, made from the service's own description of its interface, to a service on a database
// of its own, and looks for anything that should not be. --cases N (100000), --seed N, --path P (of a case found before).
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { createDatabase } from '../support/database.ts';
import { parseServerKind, startServer } from '../support/server.ts';
import { startService } from '../support/service.ts';
import { fuzz, FUZZ_ENV, renderStatuses, renderViolation } from './run.ts';

const VIOLATION_EXIT_CODE = 3;

const { values } = parseArgs({
  options: { cases: { type: 'string' }, seed: { type: 'string' }, path: { type: 'string' } },
});
const cases = parseWhole('cases', values.cases ?? '100000');
const seed = values.seed === undefined ? randomInt(2 ** 31) : parseWhole('seed', values.seed);
const cleanups: (() => Promise<void>)[] = [];
const scope = { after: (cleanup: () => Promise<void>) => void cleanups.push(cleanup) };

/** What was started ends, also when this is stopped in the middle. */
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
  const database = await createDatabase(scope, server);
  const start = async () => await startService(scope, { database, env: FUZZ_ENV });
  const startedAt = performance.now();
  const report = await fuzz(start, database, { cases, seed, path: values.path, onProgress: showProgress });
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  for (const line of renderStatuses(report)) say(line);
  if (report.violation) {
    say(renderViolation(report.violation));
    process.exitCode = VIOLATION_EXIT_CODE;
  }
  say(`${report.cases} cases in ${seconds} s, seed ${seed}: ${report.violation ? 'a violation' : 'no violation'}`);
} finally {
  await cleanUp();
}

function showProgress(done: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${cases}`);
}

function parseWhole(name: string, text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  process.stderr.write(`--${name} is "${text}": give a whole number.\n`);
  process.exit(2);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
