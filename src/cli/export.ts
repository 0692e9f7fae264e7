// gopherpay export: a whole ledger as a file, or a folder of tables, that proves itself, in constant memory. It gets its final
// name only when it is complete.
import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { defineCommand } from 'citty';
import { z } from 'zod';
import { writeBooks, type Written } from '../books/write.ts';
import { readConfig } from '../config.ts';
import { readingTimeouts } from '../db/connection/connect.ts';
import { type BooksSource, withBooks } from '../db/queries/portable-books.ts';
import { type Ledger, MAIN_LEDGER } from '../domain/ledger.ts';
import { contentOf, newCounts, refuseUnproven } from './books-content.ts';
import {
  CommandError,
  EXIT,
  findLedgerOf,
  interruptible,
  ledgerName,
  parseArguments,
  withDatabase,
} from './command.ts';
import { writeTables } from './export-tables.ts';
import { writeOutput } from './file.ts';
import { type Progress, startProgress } from './progress.ts';

const rowNumber = z
  .string()
  .regex(/^\d{1,15}$/, 'must be the number of a row of the journal')
  .transform(BigInt);

export const exportBooks = defineCommand({
  meta: {
    name: 'export',
    description: 'Write a whole ledger to a file that proves itself, for gopherpay verify and gopherpay import.',
  },
  args: {
    ledger: { type: 'string', description: 'The ledger (main)', valueHint: 'main' },
    output: { type: 'string', description: 'The file to write, compressed if it ends with .gz (standard output)' },
    since: { type: 'string', description: 'Only what came after this row of the journal', valueHint: 'NUMBER' },
    until: { type: 'string', description: 'Only what came up to this row of the journal', valueHint: 'NUMBER' },
    format: {
      type: 'string',
      description: 'books (the default), or parquet: the same as tables, in the folder --output',
    },
    'personal-keys': {
      type: 'string',
      description: 'Also write the keys of the personal data to this file, which an import needs to read it',
      valueHint: 'FILE',
    },
  },
  async run({ args }) {
    const options = parseOptions(args);
    const config = readConfig();
    const timeouts = readingTimeouts(config.readingTimeoutMs);
    const keysFile = options['personal-keys'];
    await interruptible(async (signal) => {
      // The role of the reports has no business with keys.
      await withDatabase(config, keysFile === undefined ? 'reader' : 'owner', async (database) => {
        const ledger = await findLedgerOf(database, options.ledger, 'gopherpay export', { timeouts, signal });
        const range = { ledger, since: options.since, until: options.until ?? null };
        await withBooks(database, range, { timeouts, signal }, async (books) => {
          checkRange(books, { ...options, until: range.until });
          const total = Number(books.head.until - options.since);
          const progress = startProgress(total, 'journal rows');
          try {
            const wanted = { ...options, ledger, progress, signal };
            const written = await (options.format === 'parquet' ? writeFolder : writeFile)(books, wanted);
            progress.stop();
            reportWritten(books, wanted, written);
            if (keysFile !== undefined) await writeOutput(keysFile, personalKeysOf(books), signal);
          } finally {
            progress.stop();
          }
          reportPending(books.head.pending);
        });
      });
    });
  },
});

function parseOptions(args: Readonly<Record<string, unknown>>) {
  const options = parseArguments(
    {
      ledger: ledgerName.default(MAIN_LEDGER.name),
      output: z.string().min(1, 'must be a file').default('-'),
      since: rowNumber.default(0n),
      until: rowNumber.optional(),
      format: z.enum(['books', 'parquet'], 'must be books or parquet').default('books'),
      'personal-keys': z.string().min(1, 'must be a file').optional(),
    },
    args,
  );
  if (options['personal-keys'] === '-') {
    throw new CommandError(EXIT.wrongUsage, 'The option --personal-keys is wrong: it must be a file.');
  }
  if (options.format === 'parquet' && options.output === '-') {
    throw new CommandError(EXIT.wrongUsage, 'The format parquet needs a folder as --output.');
  }
  return options;
}

type Range = { readonly ledger: string; readonly since: bigint; readonly until: bigint | null };

function checkRange({ head }: BooksSource, { ledger, since, until }: Range): void {
  const end = `the journal of the ledger ${ledger} ends with row ${head.last}`;
  if (until !== null && until > head.last) {
    throw new CommandError(EXIT.wrongUsage, `The option --until is wrong: ${end}.`);
  }
  if (since > head.until) {
    const why = until === null ? end : 'it is after --until';
    throw new CommandError(EXIT.wrongUsage, `The option --since is wrong: ${why}.`);
  }
}

type Wanted = {
  readonly ledger: Ledger;
  readonly since: bigint;
  readonly output: string;
  readonly progress: Progress;
  readonly signal: AbortSignal;
};

async function writeFile(books: BooksSource, options: Wanted): Promise<Written> {
  const { ledger, since, output, progress, signal } = options;
  const written = newCounts();
  const content = contentOf(books, { ledger: ledger.name, since });
  const texts = observe(writeBooks(content, written), () => progress.update(written.rows));
  try {
    await writeOutput(output, output.endsWith('.gz') ? compress(texts) : texts, signal);
  } catch (error) {
    throw refuseUnproven(error, ledger.name);
  }
  return written;
}

async function writeFolder(books: BooksSource, options: Wanted): Promise<Written> {
  const { ledger, since, output, progress, signal } = options;
  let rows = 0;
  const onRow = () => progress.update((rows += 1));
  return await writeTables(books, output, { ledger: ledger.name, since, onRow, signal });
}

function reportWritten({ head }: BooksSource, { ledger, output }: Wanted, written: Written): void {
  const place = output === '-' ? '' : ` to ${output}`;
  process.stderr.write(
    `ledger ${ledger.name}, journal ${head.until} sha256:${head.hash} exported${place}: ${written.rows} rows, ${written.transfers} transfers, ${written.accounts} accounts\n`,
  );
}

async function* observe(texts: AsyncIterable<string>, onText: () => void): AsyncGenerator<string> {
  for await (const text of texts) {
    onText();
    yield text;
  }
}

async function* compress(texts: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  const gzip = createGzip();
  const source = Readable.from(texts);
  source.on('error', (error) => gzip.destroy(error));
  for await (const chunk of source.pipe(gzip)) yield Buffer.from(chunk);
}

async function* personalKeysOf(books: BooksSource): AsyncGenerator<string> {
  for await (const batch of books.personalKeys()) {
    yield batch
      .map(([number, currency, key]) => `${JSON.stringify({ account_number: number, currency, key })}\n`)
      .join('');
  }
}

/** What the books do not have is settled only by the service from which they come. */
function reportPending(pending: number): void {
  if (pending === 0) return;
  process.stderr.write(
    `${pending} accepted transfers are pending, and are not in the books: before a move, stop taking requests, let the service settle them, stop it, and export again.\n`,
  );
}
