// npm run chaos: tries to prove the promises of the service false. Prints one table, and exits with 3 if it has succeeded.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { randomInt } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CommandError } from '../../src/cli/command.ts';
import type { Fault } from './fault.ts';
import { FAULTS } from './faults.ts';
import { startPostgres } from '../support/postgres.ts';
import { readOptions, wholeNumber } from '../support/options.ts';
import { makeFolder } from '../support/service.ts';
import { summarize } from './judge.ts';
import { beginRecord, type Result, runFault, withScope } from './run.ts';
import { renderTable } from './table.ts';

const EXIT = { wrongUsage: 2, violated: 3, interrupted: 130 };
/** These take longest: so none of them should start last when several run at once. */
const LONGEST: readonly string[] = ['database-away', 'network-black-hole'];

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

const USAGE = `npm run chaos -- [options]

  --fault=NAME  only this one; as often as you like: ${FAULTS.map(({ name }) => name).join(', ')}
  --rounds=N    of each (50)
  --at-once=N   faults that are made side by side, each on a database server of its own (1)
  --seed=N      draws the same moments again
  --short       short rounds, as in npm test
  --json=FILE   what came of it, written after each fault`;

function parseOptions() {
  const { values } = parseArgs({
    strict: true,
    options: {
      fault: { type: 'string', multiple: true },
      rounds: { type: 'string', default: '50' },
      'at-once': { type: 'string', default: '1' },
      seed: { type: 'string', default: String(randomInt(2 ** 32)) },
      json: { type: 'string' },
      short: { type: 'boolean', default: false },
    },
  });
  const names = values.fault ?? FAULTS.map(({ name }) => name);
  const faults = [...new Set(names)].map((name) => {
    const fault = FAULTS.find((each) => each.name === name);
    if (fault) return fault;
    throw new CommandError(EXIT.wrongUsage, `There is no fault ${name}.`);
  });
  return {
    faults,
    rounds: wholeNumber('rounds', values.rounds, { min: 0, max: 1_000_000 }),
    atOnce: wholeNumber('at-once', values['at-once'], { min: 1, max: 100 }),
    seed: wholeNumber('seed', values.seed, { min: 0, max: 2 ** 32 - 1 }),
    json: values.json,
    short: values.short,
  };
}

async function main(): Promise<number> {
  const { faults, rounds, atOnce, seed, json, short } = readOptions(USAGE, parseOptions);
  print(`to draw the same moments again: --seed=${seed}`);
  const recordFolder = mkdtempSync(join(tmpdir(), 'gopherpay-chaos-'));
  print(`every answer is written to ${recordFolder}`);
  const ended = new Map<Fault, Result>();
  /** The results so far, in the order of the faults. */
  const results = (): Result[] => faults.flatMap((fault) => ended.get(fault) ?? []);
  const interruption = new AbortController();
  const { signal } = interruption;
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interruption.abort());
  const next = faults.toSorted((a, b) => Number(LONGEST.includes(b.name)) - Number(LONGEST.includes(a.name)));
  /** Runs faults one after another, on a database server of its own, because some crash it. */
  const runQueue = async (): Promise<void> =>
    await withScope(async (scope) => {
      const postgres = await startPostgres(scope, join(await makeFolder(scope), 'postgres'));
      for (let fault = next.shift(); fault && !signal.aborted; fault = next.shift()) {
        const recordPath = join(recordFolder, `${fault.name}.ndjson`);
        beginRecord(recordPath);
        ended.set(fault, await runFault(fault, { postgres, rounds, seed, short, recordPath, signal, log: print }));
        // After each, so that a long run that is cut off keeps what it has measured.
        if (json !== undefined) writeFileSync(json, renderJson({ seed, rounds, short, results: results() }));
      }
    });
  const queues = Array.from({ length: Math.min(atOnce, faults.length) }, async () => {
    await runQueue().catch((error: unknown) => {
      // The other queues clean up before the error is reported.
      interruption.abort();
      throw error;
    });
  });
  for (const queue of await Promise.allSettled(queues)) if (queue.status === 'rejected') throw queue.reason;
  print(`\n${renderTable(results())}`);
  for (const { fault, violations } of results()) {
    for (const sentence of summarize(violations)) print(`${fault}: ${sentence}`);
  }
  if (results().some(({ violations }) => violations.length > 0)) return EXIT.violated;
  rmSync(recordFolder, { recursive: true });
  return signal.aborted ? EXIT.interrupted : 0;
}

function renderJson(run: { seed: number; rounds: number; short: boolean; results: readonly Result[] }): string {
  return `${JSON.stringify(run, null, 2)}\n`;
}

process.exitCode = await main();
