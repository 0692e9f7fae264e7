// gopherpay archive: moves the entries of closed months out of the database, into books as Parquet tables that prove themselves.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defineCommand } from 'citty';
import { z } from 'zod';
import { type Config, readConfig } from '../config.ts';
import { type Queryable, readingTimeouts } from '../db/connection/connect.ts';
import { isDistributed } from '../db/connection/distributed.ts';
import { Transaction } from '../db/connection/transaction.ts';
import {
  type ArchivableMonth,
  deleteArchived,
  findNextToArchive,
  FIRST_PLACE,
  type Place,
  recordArchive,
} from '../db/ledger/archiving.ts';
import { withBooks } from '../db/queries/portable-books.ts';
import { type Ledger, MAIN_LEDGER } from '../domain/ledger.ts';
import { MONTH_FORM } from '../render/statement.ts';
import { ACTOR, connectAsOwner } from './administration.ts';
import { CommandError, EXIT, findLedger, interruptible, ledgerName, parseArguments, withDatabase } from './command.ts';
import { writeTables } from './export-tables.ts';
import { writeStandardOutput } from './file.ts';
import { startProgress } from './progress.ts';
import { proveBooks } from './verify.ts';

export const archive = defineCommand({
  meta: {
    name: 'archive',
    description: 'Move the entries of closed months out of the database, into Parquet tables that prove themselves.',
  },
  args: {
    month: {
      type: 'string',
      required: true,
      description: 'The last month to archive, which is closed; earlier ones are archived first',
      valueHint: '2026-10',
    },
    output: {
      type: 'string',
      required: true,
      description: 'The folder that gets a folder for each month',
      valueHint: 'FOLDER',
    },
    ledger: { type: 'string', description: 'The ledger (main)', valueHint: 'main' },
    json: { type: 'boolean', description: 'A line of JSON for each archived month' },
  },
  async run({ args }) {
    const month = z.string().regex(MONTH_FORM, 'must be a month, such as 2026-10');
    const output = z.string().min(1, 'must be a folder');
    const shape = { month, output, ledger: ledgerName.default(MAIN_LEDGER.name), json: z.boolean().default(false) };
    const options = parseArguments(shape, args);
    const config = readConfig();
    await interruptible(async (signal) => {
      await connectAsOwner(config, signal, async (connection) => {
        if (isDistributed(connection)) {
          throw new CommandError(EXIT.failed, 'Months are not archived on Citus: move ledgers to more nodes instead.');
        }
        const ledger = await findLedger(connection, options.ledger);
        let count = 0;
        // One output for all months: each would leave a listener on a standard output that is a file.
        await writeStandardOutput(lines(), signal);
        async function* lines(): AsyncGenerator<string> {
          for (;;) {
            const next = await findNextToArchive(connection, ledger);
            if (next === null || next.month > options.month) return;
            const archived = await archiveNext(connection, ledger, next, { config, output: options.output, signal });
            count += 1;
            yield options.json ? renderJson(ledger, archived) : renderText(ledger, archived);
          }
        }
        if (count === 0) {
          process.stderr.write(
            `The ledger ${ledger.name} has no closed month up to ${options.month} that is not archived: close months with gopherpay close.\n`,
          );
        }
        // Also what a run that was interrupted left.
        await deleteAll(connection, ledger, signal);
      });
    });
  },
});

type Archived = ArchivableMonth & { readonly folder: string; readonly digest: string };

/** Writes the books of the month, proves what was written, and records it. Until then nothing is deleted. */
async function archiveNext(
  connection: Queryable,
  ledger: Ledger,
  next: ArchivableMonth,
  { config, output, signal }: { config: Config; output: string; signal: AbortSignal },
): Promise<Archived> {
  const folder = join(output, `${ledger.name}-${next.month}`);
  const range = { ledger, since: next.after, until: next.journalNumber };
  const progress = startProgress(Number(next.journalNumber - next.after), `journal rows of ${next.month}`);
  const timeouts = readingTimeouts(config.readingTimeoutMs);
  try {
    await withDatabase(config, 'owner', async (database) => {
      await withBooks(database, range, { timeouts, signal }, async (books) => {
        let rows = 0;
        const onRow = () => progress.update((rows += 1));
        await writeTables(books, folder, { ledger: ledger.name, since: next.after, onRow, signal });
      });
    });
  } finally {
    progress.stop();
  }
  const { number } = await proveBooks([folder], { signal });
  if (BigInt(number) !== next.journalNumber) {
    throw new Error(
      `The archived books in ${folder} end with row ${number} of the journal, and not with ${next.journalNumber}.`,
    );
  }
  const archived = { ...next, folder, digest: await readDigest(folder) };
  const transaction = await Transaction.begin(connection);
  await recordArchive(transaction.connection, ledger, ACTOR, archived);
  await transaction.commit();
  return archived;
}

/** The SHA-256 of the books, by their last line, which has been proved. */
async function readDigest(folder: string): Promise<string> {
  const trailer = (await readFile(join(folder, 'books.json'), 'utf8')).trim().split('\n').at(-1) ?? '';
  return z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/) }).parse(JSON.parse(trailer)).sha256;
}

async function deleteAll(connection: Queryable, ledger: Ledger, signal: AbortSignal): Promise<void> {
  let deleted = 0n;
  for (let place: Place | null = FIRST_PLACE; place !== null;) {
    signal.throwIfAborted();
    const transaction = await Transaction.begin(connection);
    const step = await deleteArchived(transaction.connection, ledger, place);
    await transaction.commit();
    deleted += step.deleted;
    place = step.next;
  }
  process.stderr.write(`${deleted} entries of archived months of the ledger ${ledger.name} were deleted.\n`);
}

function renderText({ name }: Ledger, { month, journalNumber, folder, digest }: Archived): string {
  return `ledger ${name}, ${month} archived up to journal ${journalNumber} in ${folder}, sha256:${digest}\n`;
}

function renderJson({ name }: Ledger, { month, journalNumber, folder, digest }: Archived): string {
  return `${JSON.stringify({ ledger: name, month, journal_number: Number(journalNumber), folder, sha256: digest })}\n`;
}
