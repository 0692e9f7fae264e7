// gopherpay statement: an account's statement of a month, as GET /accounts/{n}/statements/{month} returns it.
import { join } from 'node:path';
import { defineCommand } from 'citty';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import type { CsvStyle } from '../render/csv.ts';
import { loadAccounts } from '../db/ledger/accounts.ts';
import { type Queryable, readingTimeouts } from '../db/connection/connect.ts';
import { loadStatement, readStatement, type StatementSummary } from '../db/queries/statements.ts';
import { type Ledger, MAIN_LEDGER } from '../domain/ledger.ts';
import { MONTH_FORM, renderStatement, STATEMENT_FORMATS } from '../render/statement.ts';
import {
  accountNumber,
  CommandError,
  currencyCode,
  EXIT,
  findLedger,
  interruptible,
  ledgerName,
  parseArguments,
  withConnection,
  withDatabase,
} from './command.ts';
import { folderOf, writeOutput } from './file.ts';

type Wanted = { readonly account: string; readonly currency: string | undefined; readonly month: string };

export const statement = defineCommand({
  meta: {
    name: 'statement',
    description: "Write an account's statement of a month, reports/<account>-<month>.<format> by default.",
  },
  args: {
    account: { type: 'string', required: true, description: 'The account number', valueHint: 'ACC1001' },
    month: { type: 'string', required: true, description: 'The month, in UTC', valueHint: '2026-11' },
    ledger: { type: 'string', description: 'The ledger (main)', valueHint: 'main' },
    format: { type: 'string', description: 'csv (the default), json, or html for a page that prints well' },
    output: { type: 'string', description: 'The file to write, or - for standard output' },
    currency: { type: 'string', description: 'With --account=@external: which of its accounts' },
    bom: { type: 'boolean', description: 'CSV: write a byte order mark, by which spreadsheets recognize UTF-8' },
    decimals: { type: 'boolean', description: 'CSV: amounts in major units (25.00) instead of minor units (2500)' },
  },
  async run({ args }) {
    const options = parseArguments(
      {
        account: accountNumber,
        month: z.string().regex(MONTH_FORM, 'must be a month such as 2026-11'),
        ledger: ledgerName.default(MAIN_LEDGER.name),
        format: z.enum(STATEMENT_FORMATS).default('csv'),
        output: z.string().min(1).optional(),
        currency: currencyCode.optional(),
        bom: z.boolean().default(false),
        decimals: z.boolean().default(false),
      },
      args,
    );
    const { account, currency, month, format, decimals } = options;
    const style: CsvStyle = { byteOrderMark: options.bom, decimals };
    if (format !== 'csv' && (options.bom || decimals)) {
      throw new CommandError(EXIT.wrongUsage, `--bom and --decimals are for --format=csv, not for ${format}.`);
    }
    // No account number contains a tilde, so no other account's file has this name.
    const chosen = `${currency ? `~${currency}` : ''}${decimals ? '~decimals' : ''}`;
    const output = options.output ?? join(folderOf(options.ledger), `${account}${chosen}-${month}.${format}`);
    const config = readConfig();
    const timeouts = readingTimeouts(config.readingTimeoutMs);
    const applicationName = 'gopherpay statement';
    await interruptible(async (signal) => {
      const summary = await withDatabase(
        config,
        'reader',
        async (database) =>
          await withConnection(database, { timeouts, signal, applicationName }, async (connection) => {
            const ledger = await findLedger(connection, options.ledger);
            const found = await findStatement(connection, ledger, { account, currency, month });
            const texts = renderStatement(format, found, readStatement(connection, found), style);
            await writeOutput(output, texts, signal);
            return found;
          }),
      );
      const count = summary.closingEntryNumber - summary.openingEntryNumber;
      const open = summary.final ? '' : '; the month is not closed yet';
      process.stderr.write(`${count} entries written${output === '-' ? '' : ` to ${output}`}${open}\n`);
    });
  },
});

async function findStatement(
  connection: Queryable,
  ledger: Ledger,
  { account, currency, month }: Wanted,
): Promise<StatementSummary> {
  const accounts = await loadAccounts(connection, ledger, account);
  const [found, another] = currency === undefined ? accounts : accounts.filter((one) => one.currency === currency);
  if (!found) {
    throw new CommandError(EXIT.failed, `There is no account ${account}${currency ? ` in ${currency}` : ''}.`);
  }
  if (another) {
    throw new CommandError(EXIT.wrongUsage, `${account} has one account per currency: choose one with --currency.`);
  }
  const summary = await loadStatement(connection, ledger, found, month);
  if (!summary) throw new CommandError(EXIT.wrongUsage, `The month ${month} has not begun (UTC).`);
  return summary;
}
