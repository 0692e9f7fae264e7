// gopherpay report: an account's history as CSV, in constant memory. The file has its final name only when it is whole.
import { join } from 'node:path';
import { defineCommand } from 'citty';
import { SingleBar } from 'cli-progress';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import { isPlain, neutralise, renderCsv } from '../csv.ts';
import { readingTimeouts } from '../db/connect.ts';
import { REPORT_CELLS, type ReportFilter, type ReportRow, withReport } from '../db/report.ts';
import { CommandError, EXIT, interruptible, parseArguments, withDatabase } from './command.ts';
import { writeOutput } from './file.ts';

const DATE_OR_INSTANT = 'must be a date such as 2026-01-31, or an instant such as 2026-01-31T12:00:00Z';
const instant = z.union([z.iso.date(), z.iso.datetime({ offset: true })], { error: DATE_OR_INSTANT }).optional();

/** Cells that hold a caller's text; the others are numbers, times and words of our own, which need no quotes. */
const TEXT_CELLS = new Set(['from_account', 'to_account', 'request_id', 'description']);
const IS_TEXT = REPORT_CELLS.map((cell) => TEXT_CELLS.has(cell));
const TEXT_AT = [...IS_TEXT.keys()].filter((index) => IS_TEXT[index]);

export const report = defineCommand({
  meta: { name: 'report', description: "Write an account's history to a CSV file, reports/<user>.csv by default." },
  args: {
    user: { type: 'string', required: true, description: 'The account number', valueHint: 'ACC1001' },
    output: { type: 'string', description: 'The file to write, or - for standard output' },
    from: { type: 'string', description: 'Only what was accepted at or after this date or instant (UTC)' },
    to: { type: 'string', description: 'Only what was accepted before this date or instant (UTC)' },
    status: { type: 'string', description: 'Only pending, completed or failed transfers' },
    currency: { type: 'string', description: 'With --user=@external: which of its accounts' },
  },
  async run({ args }) {
    const options = parseArguments(
      {
        user: z.string().regex(/^([A-Za-z0-9._-]{1,34}|@external)$/, 'must be an account number'),
        output: z.string().min(1).optional(),
        from: instant,
        to: instant,
        status: z.enum(['pending', 'completed', 'failed']).optional(),
        currency: z
          .string()
          .regex(/^[A-Z]{3}$/, 'must be a currency such as USD')
          .optional(),
      },
      args,
    );
    const filter: ReportFilter = {
      account: options.user,
      currency: options.currency ?? null,
      status: options.status ?? null,
      since: options.from ?? null,
      until: options.to ?? null,
    };
    const output = options.output ?? join('reports', `${options.user}.csv`);
    const config = readConfig();
    const timeouts = readingTimeouts(config.readingTimeoutMs);
    await interruptible(async (signal) => {
      const rows = await withDatabase(
        config,
        async (database) =>
          await withReport(database, filter, { timeouts, signal }, async (history) => {
            if (!(await history.isKnown())) {
              throw new CommandError(EXIT.failed, `There is no account ${options.user}, and no transfer names it.`);
            }
            const progress = process.stderr.isTTY ? startProgress(await history.count()) : null;
            try {
              return await writeCsv(output, history.batches(), signal, (count) => progress?.increment(count));
            } finally {
              progress?.stop();
            }
          }),
      );
      process.stderr.write(`${rows} transfers written${output === '-' ? '' : ` to ${output}`}\n`);
    });
  },
});

function startProgress(total: number): SingleBar {
  const bar = new SingleBar({
    format: '{bar} {percentage} % | {value} of {total} transfers | {eta_formatted} left',
    stream: process.stderr,
    hideCursor: true,
  });
  bar.start(total, 0);
  return bar;
}

/** Writes the batches as CSV and returns the number of rows. Standard output is `-`. */
async function writeCsv(
  output: string,
  batches: AsyncIterable<readonly ReportRow[]>,
  signal: AbortSignal,
  onRows: (count: number) => void,
): Promise<number> {
  let count = 0;
  async function* render(): AsyncGenerator<string> {
    yield `${REPORT_CELLS.join(',')}\n`;
    for await (const batch of batches) {
      count += batch.length;
      onRows(batch.length);
      yield renderRows(batch);
    }
  }
  await writeOutput(output, render(), signal);
  return count;
}

/** A row whose texts are plain is its cells, joined. */
function renderRows(rows: readonly ReportRow[]): string {
  let text = '';
  for (const row of rows) {
    text += TEXT_AT.every((index) => isPlain(row[index] ?? null))
      ? `${row.join(',')}\n`
      : renderCsv([neutraliseRow(row)]);
  }
  return text;
}

/** A row with one cell a column. */
function neutraliseRow(row: ReportRow): ReportRow {
  return row.flatMap((cell, index) => (IS_TEXT[index] ? neutralise(cell) : (cell ?? '').split(',')));
}
