// npm run chaos: tries to prove the promises of the service false. Prints one table, and exits with 3 if it has succeeded.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { randomInt } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { FAULTS } from './faults.ts';
import { startPostgres } from './postgres.ts';
import { makeFolder } from '../support/service.ts';
import { summarise } from './judge.ts';
import { beginRecord, type Result, runFault, withScope } from './run.ts';
import { renderTable } from './table.ts';

const EXIT = { wrongUsage: 2, violated: 3, interrupted: 130 };

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function parseWhole(name: string, text: string, max: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number <= max) return number;
  throw new TypeError(`--${name} is "${text}": it must be a whole number up to ${max}.`);
}

function readOptions() {
  const { values } = parseArgs({
    strict: true,
    options: {
      fault: { type: 'string', multiple: true },
      rounds: { type: 'string', default: '50' },
      seed: { type: 'string', default: String(randomInt(2 ** 32)) },
      json: { type: 'string' },
      short: { type: 'boolean', default: false },
    },
  });
  const names = values.fault ?? FAULTS.map(({ name }) => name);
  const faults = names.map((name) => {
    const fault = FAULTS.find((each) => each.name === name);
    if (fault) return fault;
    throw new TypeError(`There is no fault ${name}: there are ${FAULTS.map((each) => each.name).join(', ')}.`);
  });
  const rounds = parseWhole('rounds', values.rounds, 1_000_000);
  return { faults, rounds, seed: parseWhole('seed', values.seed, 2 ** 32 - 1), json: values.json, short: values.short };
}

async function main(): Promise<number> {
  const { faults, rounds, seed, json, short } = readOptions();
  print(`to draw the same moments again: --seed=${seed}`);
  const recordFolder = mkdtempSync(join(tmpdir(), 'gopherpay-chaos-'));
  print(`every answer is written to ${recordFolder}`);
  const results: Result[] = [];
  const interruption = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interruption.abort());
  await withScope(async (scope) => {
    const postgres = await startPostgres(scope, join(await makeFolder(scope), 'postgres'));
    for (const fault of faults) {
      if (interruption.signal.aborted) break;
      const recordPath = join(recordFolder, `${fault.name}.ndjson`);
      beginRecord(recordPath);
      const { signal } = interruption;
      results.push(await runFault(fault, { postgres, rounds, seed, short, recordPath, signal, tell: print }));
    }
  });
  print(`\n${renderTable(results)}`);
  for (const { fault, violations } of results) {
    for (const sentence of summarise(violations)) print(`${fault}: ${sentence}`);
  }
  if (json !== undefined) writeFileSync(json, `${JSON.stringify({ seed, rounds, short, results }, null, 2)}\n`);
  if (results.some(({ violations }) => violations.length > 0)) return EXIT.violated;
  rmSync(recordFolder, { recursive: true });
  return interruption.signal.aborted ? EXIT.interrupted : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof TypeError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = EXIT.wrongUsage;
}
