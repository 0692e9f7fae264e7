// gopherpay load: a load tester. Closed loop: every connection sends the next request when it has its answer. Open loop (--rate, or
// stages by rate): requests start on schedule even if the service is late. Every latency counts from the intended start, so that a
// stall is visible.
import { createInterface } from 'node:readline';
import { defineCommand } from 'citty';
import { toError } from '../../db/connection/errors.ts';
import type { LoadResult } from '../../load/result.ts';
import type { Summary } from '../../load/tally.ts';
import { CommandError, EXIT, EXIT_THRESHOLD, interruptible, parseArguments } from '../command.ts';
import { refuseOther, writeOutput, writeStandardOutput } from '../file.ts';
import { CONNECTION_ARGUMENTS, serviceOf } from '../remote/options.ts';
import { jsonLine } from '../remote/text.ts';
import type { Swept } from './accounts.ts';
import { readBalances } from './balances.ts';
import { compare } from './compare.ts';
import { type LoadOptions, loadOptionsOf, OPTIONS } from './options.ts';
import { renderReport } from './report.ts';
import { renderTable } from './render.ts';
import { resultOf } from './result.ts';
import { runTest } from './run.ts';

type Thresholds = Partial<Record<'max-p99-final-ms' | 'min-settled-per-second' | 'max-failed', number | undefined>>;

export const load = defineCommand({
  meta: {
    name: 'load',
    description: 'Put a running service under load, and show what it accepts, refuses and settles.',
  },
  args: {
    ...CONNECTION_ARGUMENTS,
    yes: { type: 'boolean', description: 'Do not ask before money is moved; needed where there is no terminal' },
    stages: {
      type: 'string',
      description: 'Stages and ramps: 10s:100/s,30s:100..2000/s, or 30s:1..64c for connections',
      valueHint: 'TIME:LOAD,…',
    },
    connections: { type: 'string', description: 'Connections (64)' },
    rate: { type: 'string', description: 'Open loop: requests per second, on schedule. Closed loop by default' },
    duration: { type: 'string', description: 'Seconds (10)' },
    accounts: { type: 'string', description: 'Accounts, opened by the test (1000)' },
    skew: { type: 'string', description: "Exponent of Zipf's law over the accounts; 0 is uniform (0)" },
    bulk: { type: 'string', description: 'Transfers per request (1)' },
    wait: { type: 'boolean', description: 'Ask with Prefer: wait, so that an answer is final' },
    json: { type: 'boolean', description: 'Print the result as JSON' },
    output: { type: 'string', description: 'Write the result as JSON to this file', valueHint: 'FILE.json' },
    report: { type: 'string', description: 'Write a report with charts to this file', valueHint: 'FILE.html' },
    seed: { type: 'string', description: 'The same seed gives the same transfers' },
    'max-p99-final-ms': { type: 'string', description: 'Exit 99 if the 99th percentile of time to final is above' },
    'min-settled-per-second': { type: 'string', description: 'Exit 99 if fewer transfers were settled per second' },
    'max-failed': {
      type: 'string',
      description: 'Exit 99 if more transfers were answered neither 200, 202 nor 429',
    },
  },
  subCommands: { compare },
  async run({ args, rawArgs }) {
    const parsed = parseArguments(OPTIONS, args);
    const service = await serviceOf(parsed);
    const options = loadOptionsOf(parsed, service);
    refuseOtherUrl(service.url);
    // Before the load: its result must not be lost for the sake of a path.
    for (const path of [parsed.output, parsed.report]) if (path !== undefined) await refuseOther(path);
    if (!parsed.yes && !(process.stdin.isTTY && process.stderr.isTTY)) {
      const why = `It opens accounts in the books of ${options.url} and moves money between them.`;
      throw new CommandError(EXIT.wrongUsage, `A load test needs --yes where it cannot ask. ${why}`);
    }
    await interruptible(async (signal) => {
      // Before the question: there is nothing to confirm if the service is unreachable.
      await readBalances(service);
      if (!parsed.yes) await confirm(options, signal);
      const run = await runTest(options, service, signal);
      const books = await readBalances(service).catch((error: unknown) => toError(error));
      if (run.measured) {
        const { measured, prefix, swept } = run;
        const unbalanced = books instanceof Error ? null : books.unbalanced;
        const result = await resultOf({ options, service, rawArgs, measured, prefix, swept, unbalanced, signal });
        await writeResult(result, parsed, measured.summary);
      }
      signal.throwIfAborted();
      if (books instanceof Error) throw books;
      refuseFindings(parsed, run.measured?.summary ?? null, books.unbalanced, run.swept);
    });
  },
});

/** Also after Ctrl-C, so no signal stops it. */
async function writeResult(
  result: LoadResult,
  { json, output, report }: { json: boolean; output?: string | undefined; report?: string | undefined },
  summary: Summary,
): Promise<void> {
  const text = jsonLine(result);
  await writeStandardOutput([json ? text : renderTable(summary)]);
  const { signal } = new AbortController();
  if (output !== undefined) await writeOutput(output, once(text), signal);
  if (report !== undefined) await writeOutput(report, once(await renderReport(result)), signal);
}

async function* once(text: string): AsyncGenerator<string> {
  yield text;
}

/** The connections of the load know no TLS and no prefix. */
function refuseOtherUrl(url: string): void {
  const { protocol, pathname } = new URL(url);
  if (protocol === 'http:' && pathname === '/') return;
  throw new CommandError(
    EXIT.wrongUsage,
    'The option --url is wrong: for a load test it must be an http URL without a path, such as http://127.0.0.1:8080.',
  );
}

/** Asks on the terminal. Throws unless the answer is yes. */
async function confirm(options: LoadOptions, signal: AbortSignal): Promise<void> {
  process.stderr.write(
    `This opens ${options.accounts} accounts in the books of ${options.url}, funds them from @external, moves money between\n` +
      'them and takes it back. Then it closes the accounts; their history stays. Go on? [y/N] ',
  );
  // Without `terminal`, Ctrl-C remains a signal.
  const lines = createInterface({ input: process.stdin, terminal: false, signal });
  let answer = '';
  for await (const line of lines) {
    answer = line;
    break;
  }
  lines.close();
  signal.throwIfAborted();
  if (!/^\s*y(es)?\s*$/i.test(answer)) throw new CommandError(EXIT.failed, 'Nothing was written.');
}

/** Throws the error of the worst finding, if there is any. */
function refuseFindings(
  thresholds: Thresholds,
  summary: Summary | null,
  unbalanced: readonly string[],
  { remaining }: Swept,
): void {
  if (unbalanced.length > 0) {
    throw new CommandError(EXIT.discrepancy, `The balances in ${unbalanced.join(', ')} do not sum to zero.`);
  }
  if (summary && summary.settled < summary.accepted) {
    const missing = summary.accepted - summary.settled;
    throw new CommandError(EXIT.discrepancy, `${missing} accepted transfers were not final a minute after the end.`);
  }
  if (remaining.length > 0) throw new CommandError(EXIT.failed, `${remaining.length} accounts are still open.`);
  if (summary) refuseThresholds(thresholds, summary);
}

function refuseThresholds(thresholds: Thresholds, summary: Summary): void {
  const { 'max-p99-final-ms': p99, 'min-settled-per-second': rate, 'max-failed': failed } = thresholds;
  const complaints = [
    p99 !== undefined && (summary.finalMs?.p99 ?? Infinity) > p99 && `p99 of time to final is above ${p99} ms`,
    rate !== undefined && summary.settledPerSecond < rate && `fewer than ${rate} were settled per second`,
    failed !== undefined && summary.failed > failed && `more than ${failed} failed`,
  ].filter((complaint) => complaint !== false);
  if (complaints.length > 0) throw new CommandError(EXIT_THRESHOLD, `Not met: ${complaints.join('; ')}.`);
}
