// gopherpay load: a load tester. Closed loop: every connection sends the next request when it has its answer. Open loop (--rate):
// requests start on schedule even if the service is late. Every latency counts from the intended start, so that a stall is visible.
import { createInterface } from 'node:readline';
import { defineCommand } from 'citty';
import { toError } from '../../db/connection/errors.ts';
import { CommandError, EXIT, interruptible, parseArguments } from '../command.ts';
import { writeStandardOutput } from '../file.ts';
import { CONNECTION_ARGUMENTS, serviceOf } from '../remote/options.ts';
import type { Swept } from './accounts.ts';
import { readBalances } from './balances.ts';
import { type LoadOptions, OPTIONS } from './options.ts';
import { renderTable } from './render.ts';
import { runTest } from './run.ts';
import type { Summary } from '../../load/tally.ts';

/** The exit code if a threshold was not met. */
const EXIT_THRESHOLD = 99;

export const load = defineCommand({
  meta: {
    name: 'load',
    description: 'Put a running service under load, and show what it accepts, refuses and settles.',
  },
  args: {
    ...CONNECTION_ARGUMENTS,
    yes: { type: 'boolean', description: 'Do not ask before money is moved; needed where there is no terminal' },
    connections: { type: 'string', description: 'Connections (64)' },
    rate: { type: 'string', description: 'Open loop: requests per second, on schedule. Closed loop by default' },
    duration: { type: 'string', description: 'Seconds (10)' },
    accounts: { type: 'string', description: 'Accounts, opened by the test (1000)' },
    skew: { type: 'string', description: "Exponent of Zipf's law over the accounts; 0 is uniform (0)" },
    bulk: { type: 'string', description: 'Transfers per request (1)' },
    wait: { type: 'boolean', description: 'Ask with Prefer: wait, so that an answer is final' },
    json: { type: 'boolean', description: 'Print the result as JSON' },
    seed: { type: 'string', description: 'The same seed gives the same transfers' },
    'max-p99-final-ms': { type: 'string', description: 'Exit 99 if the 99th percentile of time to final is above' },
    'min-settled-per-second': { type: 'string', description: 'Exit 99 if fewer transfers were settled per second' },
    'max-failed': {
      type: 'string',
      description: 'Exit 99 if more transfers were answered neither 200, 202 nor 429',
    },
  },
  async run({ args }) {
    const { key, ...parsed } = parseArguments(OPTIONS, args);
    const service = await serviceOf({ ...parsed, key });
    // Without the key: the result has the options.
    const options = { ...parsed, url: service.url, ledger: service.ledger };
    refuseOtherUrl(service.url);
    if (!options.yes && !(process.stdin.isTTY && process.stderr.isTTY)) {
      const why = `It opens accounts in the books of ${options.url} and moves money between them.`;
      throw new CommandError(EXIT.wrongUsage, `A load test needs --yes where it cannot ask. ${why}`);
    }
    await interruptible(async (signal) => {
      // Before the question: there is nothing to confirm if the service is unreachable.
      await readBalances(service);
      if (!options.yes) await confirm(options, signal);
      const { prefix, summary, swept } = await runTest(options, service, signal);
      const books = await readBalances(service).catch((error: unknown) => toError(error));
      const unbalanced = books instanceof Error ? null : books.unbalanced;
      if (summary) {
        const { seed } = options;
        const result = { seed, options, prefix, ...summary, unbalanced, swept: swept.amount, left: swept.remaining };
        await writeStandardOutput([options.json ? `${JSON.stringify(result)}\n` : renderTable(summary)]);
      }
      signal.throwIfAborted();
      if (books instanceof Error) throw books;
      refuseFindings(options, summary, books.unbalanced, swept);
    });
  },
});

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
  options: LoadOptions,
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
  if (summary) refuseThresholds(options, summary);
}

function refuseThresholds(options: LoadOptions, summary: Summary): void {
  const { 'max-p99-final-ms': p99, 'min-settled-per-second': rate, 'max-failed': failed } = options;
  const complaints = [
    p99 !== undefined && (summary.finalMs?.p99 ?? Infinity) > p99 && `p99 of time to final is above ${p99} ms`,
    rate !== undefined && summary.settledPerSecond < rate && `fewer than ${rate} were settled per second`,
    failed !== undefined && summary.failed > failed && `more than ${failed} failed`,
  ].filter((complaint) => complaint !== false);
  if (complaints.length > 0) throw new CommandError(EXIT_THRESHOLD, `Not met: ${complaints.join('; ')}.`);
}
