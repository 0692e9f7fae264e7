// gopherpay report: an account's history as CSV, in constant memory. The file gets its final name only when it is complete.
import { join } from 'node:path';
import { defineCommand } from 'citty';
import { SingleBar } from 'cli-progress';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import { BYTE_ORDER_MARK, type CsvStyle, isPlain, neutralize, renderCsv } from '../render/csv.ts';
import { readingTimeouts } from '../db/connection/connect.ts';
import { REPORT_CELLS, type ReportFilter, type ReportRow, withReport } from '../db/queries/report.ts';
import { renderDecimal } from '../domain/currency.ts';
import { MAIN_LEDGER } from '../domain/ledger.ts';
import {
  accountNumber,
  CommandError,
  currencyCode,
  EXIT,
  findLedgerOf,
  interruptible,
  ledgerName,
  parseArguments,
  withDatabase,
} from './command.ts';
import { instant, mustBe } from '../validation.ts';
import { folderOf, writeOutput } from './file.ts';

/** PostgreSQL has no year 0. */
const date = z.iso.date().regex(/^(?!0000)/);
const dateOrInstant = z
  .union([date, instant], { error: mustBe('a date such as 2026-01-31, or an instant such as 2026-01-31T12:00:00Z') })
  // PostgreSQL would round further digits, up or down.
  .refine((text) => !/\.\d{7}/.test(text), 'must have at most six decimals')
  .optional();

/** Cells with a caller's text. The others are numbers, times and fixed words, which need no quotes. */
const TEXT_CELLS = new Set(['from_account', 'to_account', 'request_id', 'description']);
const IS_TEXT = REPORT_CELLS.map((cell) => TEXT_CELLS.has(cell));
const AMOUNT_AT = REPORT_CELLS.indexOf('amount,currency,status,failure_code');
const ENTRY_AT = REPORT_CELLS.indexOf('entry_number,signed_amount,balance_after,kind,parent_id');
const TEXT_AT = [...IS_TEXT.keys()].filter((index) => IS_TEXT[index]);

export const report = defineCommand({
  meta: {
    name: 'report',
    description:
      "Write an account's history to a CSV file, reports/<account>.csv by default; a filter is part of its name.",
  },
  args: {
    account: { type: 'string', description: 'The account number (Required)', valueHint: 'ACC1001' },
    user: { type: 'string', description: 'Another name of --account', valueHint: 'ACC1001' },
    ledger: { type: 'string', description: 'The ledger (main)', valueHint: 'main' },
    output: { type: 'string', description: 'The file to write, or - for standard output' },
    since: { type: 'string', description: 'Only what was accepted at or after this date or instant (UTC)' },
    until: { type: 'string', description: 'Only what was accepted before this date or instant (UTC)' },
    status: { type: 'string', description: 'Only pending, completed or failed transfers' },
    currency: { type: 'string', description: 'With --account=@external: which of its accounts' },
    bom: { type: 'boolean', description: 'Write a byte order mark, by which spreadsheets recognize UTF-8' },
    decimals: { type: 'boolean', description: 'Amounts in major units (25.00) instead of minor units (2500)' },
  },
  async run({ args }) {
    const options = parseArguments(
      {
        account: accountNumber.optional(),
        user: accountNumber.optional(),
        ledger: ledgerName.default(MAIN_LEDGER.name),
        output: z.string().min(1).optional(),
        since: dateOrInstant,
        until: dateOrInstant,
        status: z.enum(['pending', 'completed', 'failed']).optional(),
        currency: currencyCode.optional(),
        bom: z.boolean().default(false),
        decimals: z.boolean().default(false),
      },
      args,
    );
    refuseReversed(options);
    const account = accountOf(options);
    const filter: Omit<ReportFilter, 'ledger'> = {
      account,
      currency: options.currency ?? null,
      status: options.status ?? null,
      since: options.since ?? null,
      until: options.until ?? null,
    };
    const output = options.output ?? join(folderOf(options.ledger), `${account}${suffixOf(options)}.csv`);
    const style: CsvStyle = { byteOrderMark: options.bom, decimals: options.decimals };
    const config = readConfig();
    const timeouts = readingTimeouts(config.readingTimeoutMs);
    await interruptible(async (signal) => {
      const rows = await withDatabase(config, 'reader', async (database) => {
        const ledger = await findLedgerOf(database, options.ledger, 'gopherpay report', { timeouts, signal });
        return await withReport(database, { ...filter, ledger }, { timeouts, signal }, async (history) => {
          const currency = await history.currency();
          if (currency === undefined) {
            throw new CommandError(EXIT.failed, `There is no account ${account}, and no transfer names it.`);
          }
          const progress = process.stderr.isTTY ? startProgress(await history.count()) : null;
          try {
            const [count, texts] = renderReport(history.batches(), style, currency, (rows) =>
              progress?.increment(rows),
            );
            await writeOutput(output, texts, signal);
            return count();
          } finally {
            progress?.stop();
          }
        });
      });
      process.stderr.write(`${rows} transfers written${output === '-' ? '' : ` to ${output}`}\n`);
    });
  },
});

type Choice = { since?: string | undefined; until?: string | undefined; status?: string | undefined };

function refuseReversed({ since, until }: Choice): void {
  if (since === undefined || until === undefined || microsecondsOf(since) <= microsecondsOf(until)) return;
  throw new CommandError(EXIT.wrongUsage, 'The option --since is after --until, so no transfer can match: swap them.');
}

/** The account of --account, or of --user. */
function accountOf({ account, user }: { account?: string | undefined; user?: string | undefined }): string {
  const named = account ?? user;
  if (named === undefined) throw new CommandError(EXIT.wrongUsage, 'The option --account is missing; see --help.');
  if (account === undefined || user === undefined) return named;
  throw new CommandError(EXIT.wrongUsage, 'The options --account and --user have the same meaning: give one of them.');
}

/** Date.parse reads a date as UTC, as PostgreSQL does here, but only three decimals. */
function microsecondsOf(instant: string): number {
  const digits = /\.(\d+)/.exec(instant)?.[1] ?? '';
  return Date.parse(instant) * 1000 + Number(digits.padEnd(6, '0').slice(3));
}

/**
 * The part of a file name that distinguishes a filtered history, or one in another unit, from the complete one. No account number
 * contains a tilde, so no other account's file has this name. Colons are removed, because some systems do not allow them in names.
 */
function suffixOf({
  since,
  until,
  status,
  currency,
  decimals,
}: Choice & { currency?: string | undefined; decimals: boolean }): string {
  const parts = [currency, since && `since-${since}`, until && `until-${until}`, status, decimals && 'decimals'];
  return parts
    .filter((part) => typeof part === 'string')
    .map((part) => `~${part.replaceAll(':', '')}`)
    .join('');
}

function startProgress(total: number): SingleBar {
  const bar = new SingleBar({
    format: '{bar} {percentage} % | {value} of {total} transfers | {eta_formatted} left',
    stream: process.stderr,
    hideCursor: true,
  });
  bar.start(total, 0);
  return bar;
}

/** Renders the batches as CSV, and counts their rows. */
function renderReport(
  batches: AsyncIterable<readonly ReportRow[]>,
  { byteOrderMark, decimals }: CsvStyle,
  currency: string | null,
  onRows: (count: number) => void,
): [count: () => number, texts: AsyncGenerator<string>] {
  let count = 0;
  async function* render(): AsyncGenerator<string> {
    yield `${byteOrderMark ? BYTE_ORDER_MARK : ''}${REPORT_CELLS.join(',')}\n`;
    for await (const batch of batches) {
      count += batch.length;
      onRows(batch.length);
      yield renderRows(decimals ? batch.map((row) => withDecimals(row, currency)) : batch);
    }
  }
  return [() => count, render()];
}

/** If its texts are plain, a row is rendered by joining its cells. */
function renderRows(rows: readonly ReportRow[]): string {
  let text = '';
  for (const row of rows) {
    text += TEXT_AT.every((index) => isPlain(row[index] ?? null))
      ? `${row.join(',')}\n`
      : renderCsv([neutralizeRow(row)]);
  }
  return text;
}

/** A row with one cell for each column. */
function neutralizeRow(row: ReportRow): ReportRow {
  return row.flatMap((cell, index) => (IS_TEXT[index] ? neutralize(cell) : (cell ?? '').split(',')));
}

/** A pending transfer without a currency has that of the account. If neither is known, its amount is left empty. */
function withDecimals(row: ReportRow, accountCurrency: string | null): ReportRow {
  const cells = [...row];
  const [amount = '', named = '', ...outcome] = cells[AMOUNT_AT]?.split(',') ?? [];
  const [entryNumber, signedAmount = '', balance = '', ...kind] = cells[ENTRY_AT]?.split(',') ?? [];
  const currency = named === '' ? accountCurrency : named;
  const money = (text: string) => (text === '' || currency === null ? '' : renderDecimal(BigInt(text), currency));
  cells[AMOUNT_AT] = [money(amount), named, ...outcome].join(',');
  cells[ENTRY_AT] = [entryNumber, money(signedAmount), money(balance), ...kind].join(',');
  return cells;
}
