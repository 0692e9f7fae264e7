// gopherpay report: an account's history as CSV, in constant memory. The file has its final name only when it is whole.
import { createWriteStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Readable, Transform, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { defineCommand } from 'citty';
import { SingleBar } from 'cli-progress';
import { stringify } from 'csv-stringify/sync';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import { REPORT_COLUMNS, type ReportFilter, type ReportRow, withReport } from '../db/report.ts';
import { CommandError, EXIT, interruptible, parseArguments, withDatabase } from './command.ts';

const DATE_OR_INSTANT = 'must be a date such as 2026-01-31, or an instant such as 2026-01-31T12:00:00Z';
const instant = z.union([z.iso.date(), z.iso.datetime({ offset: true })], { error: DATE_OR_INSTANT }).optional();

/** Columns that hold a caller's text; the others are numbers, times and words of our own. */
const TEXT_COLUMNS = new Set(['from_account', 'to_account', 'request_id', 'description']);
const IS_TEXT = REPORT_COLUMNS.map((column) => TEXT_COLUMNS.has(column));
/** What a spreadsheet would take for the beginning of a formula (OWASP, CSV injection); some read the full-width signs alike. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;

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
    await interruptible(async (signal) => {
      const rows = await withDatabase(
        config,
        async (database) =>
          await withReport(database, filter, signal, async (history) => {
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
  const render = new Transform({
    writableObjectMode: true,
    writableHighWaterMark: 2,
    construct(callback) {
      this.push(stringify([[...REPORT_COLUMNS]]));
      callback();
    },
    transform(batch: readonly ReportRow[], _encoding, callback) {
      count += batch.length;
      onRows(batch.length);
      callback(null, stringify(batch.map(neutraliseRow)));
    },
  });
  const source = Readable.from(batches, { highWaterMark: 1 });
  if (output === '-') {
    // Standard output is not ours to close.
    await pipeline(source, render, process.stdout, { end: false, signal });
    return count;
  }
  await writeWhole(resolve(output), async (file) => await pipeline(source, render, file, { signal }));
  return count;
}

/** Writes a file under another name first, and gives it its own when `write` is done and its content is on the disk. */
async function writeWhole(path: string, write: (file: Writable) => Promise<void>): Promise<void> {
  const former = await stat(path).catch(() => null);
  // A device or a pipe would be replaced by a file of its name.
  if (former !== null && !former.isFile()) {
    throw new CommandError(
      EXIT.failed,
      `${path} is there and is no file: name another, or use --output=- and redirect.`,
    );
  }
  const partial = `${path}.${process.pid}.partial`;
  await mkdir(dirname(path), { recursive: true });
  try {
    await write(createWriteStream(partial, { flags: 'w', mode: 0o600 }));
    const handle = await open(partial, 'r+');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partial, path);
  } finally {
    await rm(partial, { force: true });
  }
}

function neutraliseRow(row: ReportRow): ReportRow {
  return row
    .slice(0, REPORT_COLUMNS.length)
    .map((cell, index) => (IS_TEXT[index] && cell !== null && FORMULA.test(cell) ? `'${cell}` : cell));
}
