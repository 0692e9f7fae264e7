// gopherpay verify: proves portable books, as files or folders of tables, without a database and without a service.
import { defineCommand } from 'citty';
import { z } from 'zod';
import { type Discrepancy, Findings } from '../books/findings.ts';
import { FormError, parseLine } from '../books/form.ts';
import { readBooks } from '../books/read-books.ts';
import { readAgain } from '../books/second-reading.ts';
import { type BooksEnd, type Expected, Verification } from '../books/verify.ts';
import { renderTable } from './audit-output.ts';
import { CommandError, EXIT, interruptible, parseArguments } from './command.ts';
import { EXPECT_ARGS, expectOptions, LIMIT_ARGS, limitOption, readExpected } from './expected.ts';
import { writeStandardOutput } from './file.ts';
import { printable } from './printable.ts';
import { startProgress } from './progress.ts';

export const verify = defineCommand({
  meta: {
    name: 'verify',
    description: 'Prove what gopherpay export wrote, in its order, without a database and without a service.',
  },
  args: {
    file: {
      type: 'positional',
      required: false,
      description: 'The files, or folders of tables; each continues the one before',
    },
    json: { type: 'boolean', description: 'One JSON object a line: discrepancies, checks, and a summary as the last' },
    ...EXPECT_ARGS,
    ...LIMIT_ARGS,
  },
  async run({ args }) {
    const files = filesOf(args);
    const options = parseArguments(
      {
        json: z.boolean().default(false),
        ...expectOptions,
        ...limitOption,
      },
      withoutFiles(args),
    );
    const discrepancies: Discrepancy[] = [];
    const findings = new Findings(options.limit, (discrepancy) => discrepancies.push(discrepancy));
    const expect = await readExpected(options, async () => await readLedger(files[0] ?? ''));
    await interruptible(async (signal) => {
      const end = await verifyFiles(files, { findings, expect, signal });
      const texts = options.json ? renderJson(findings, discrepancies, end) : renderText(findings, discrepancies, end);
      await writeStandardOutput(texts, signal);
    });
    if (findings.total > 0) {
      throw new CommandError(
        EXIT.discrepancy,
        `The books are not whole: ${countOf(findings.total)}. Take the file again from where it was made; if the copy is exact, run gopherpay audit there.`,
      );
    }
  },
});

/** The words that are no options. */
export function filesOf({ _: words }: Readonly<Record<string, unknown>>): readonly string[] {
  const files = Array.isArray(words) ? words.map(String) : [];
  if (files.length === 0) throw new CommandError(EXIT.wrongUsage, 'A file is missing; see --help.');
  return files;
}

export function withoutFiles(args: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(args).filter(([name]) => name !== '_' && name !== 'file'));
}

/** The ledger that the header of a file names; null if it has none, which the verification reports. */
export async function readLedger(file: string): Promise<string | null> {
  try {
    for await (const { lines } of readBooks(file, new AbortController().signal)) {
      const header = parseLine(lines[0] ?? '');
      return header.type === 'header' ? header.ledger : null;
    }
  } catch (error) {
    if (!(error instanceof FormError)) throw unreadable(error, file);
  }
  return null;
}

/** Reads the files and folders twice; null if they are no books. */
async function verifyFiles(
  files: readonly string[],
  { findings, expect, signal }: { findings: Findings; expect: readonly Expected[]; signal: AbortSignal },
): Promise<BooksEnd | null> {
  const verification = new Verification(findings, expect);
  for (const file of files) {
    const progress = startProgress(1, `journal rows of ${file}`);
    try {
      for await (const { done, total } of verification.verifyFile(file, signal)) progress.update(done, total);
    } catch (error) {
      throw unreadable(error, file);
    } finally {
      progress.stop();
    }
  }
  const end = verification.end();
  if (!end || findings.results().some(({ check, discrepancies }) => check === 'file.form' && discrepancies > 0))
    return end;
  const first = { ...end, files, reversed: verification.reversed, whole: end.since === 0 };
  const progress = startProgress(end.transfers, 'transfers, read again');
  try {
    for await (const done of readAgain(first, findings, signal)) progress.update(done);
  } catch (error) {
    if (!(error instanceof FormError)) throw error;
    findings.add('file.form', {}, 'line', 'what it was when it was read first', error.message);
  } finally {
    progress.stop();
  }
  return end;
}

/** How many discrepancies the error names. */
const DISCREPANCIES_NAMED = 5;

/** Proves books, for a command that goes on only if they are whole. Throws a CommandError that names what is wrong. */
export async function proveBooks(
  files: readonly string[],
  { expect = [], signal }: { expect?: readonly Expected[]; signal: AbortSignal },
): Promise<BooksEnd> {
  const named: string[] = [];
  const findings = new Findings(1, (discrepancy) => named.push(renderDiscrepancy(discrepancy)));
  const end = await verifyFiles(files, { findings, expect, signal });
  if (end !== null && findings.total === 0) return end;
  const shown = named.slice(0, DISCREPANCIES_NAMED).join('\n');
  throw new CommandError(
    EXIT.discrepancy,
    `${shown}\nThe books in ${files.join(', ')} are not whole: ${countOf(findings.total)}.`,
  );
}

/** Errors of files, and not of a connection to a database. */
const OF_FILES = /^E(NOENT|ACCES|PERM|ISDIR|NOTDIR|LOOP|IO)$/;

/** The error of a file that cannot be read, as the end of a command; any other error as it is. */
export function unreadable(error: unknown, file: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || !OF_FILES.test(String(error.code))) return error;
  return new CommandError(EXIT.wrongUsage, `${file} cannot be read (${error.message}).`);
}

function renderJson(findings: Findings, discrepancies: readonly Discrepancy[], end: BooksEnd | null): string[] {
  const journals = end === null ? [] : [{ ledger: end.ledger, journal_number: end.number, journal_hash: end.hash }];
  return [
    ...discrepancies.map((discrepancy) => ({ type: 'discrepancy', ...discrepancy })),
    ...findings.results().map((result) => ({ type: 'check', ...result })),
    {
      type: 'summary',
      ok: findings.total === 0,
      ledger: end?.ledger ?? null,
      journal_number: end?.number ?? null,
      journal_hash: end?.hash ?? null,
      settled_at: renderMicros(end?.settledAt ?? null),
      since: end?.since ?? null,
      transfers: end?.transfers ?? null,
      accounts: end?.accounts ?? null,
      discrepancies: findings.total,
      journals,
    },
  ].map((fields) => `${JSON.stringify(fields)}\n`);
}

function renderText(findings: Findings, discrepancies: readonly Discrepancy[], end: BooksEnd | null): string[] {
  const results = findings.results().map((result) => ({ ...result, skipped: false }));
  return [
    renderTable(results),
    ...renderDiscrepancies(discrepancies),
    ...(end === null ? [] : renderEnd(findings, end)),
  ];
}

function renderDiscrepancies(discrepancies: readonly Discrepancy[]): string[] {
  if (discrepancies.length === 0) return [];
  return ['\n', ...discrepancies.map((discrepancy) => `${renderDiscrepancy(discrepancy)}\n`), '\n'];
}

export function renderDiscrepancy(discrepancy: Discrepancy): string {
  const { check, file, line, account, currency, transfer, journal, what, expected, found } = discrepancy;
  const about = [
    line === null ? '' : `${file} line ${line}`,
    account === null ? (currency ?? '') : `account ${account}${currency === null ? '' : ` ${currency}`}`,
    transfer === null ? '' : `transfer ${transfer}`,
    journal === null ? '' : `journal ${journal}`,
  ].filter((part) => part !== '');
  return printable(`${check}: ${about.join(', ')}: ${what}: expected ${expected}, found ${found}`);
}

function renderEnd(findings: Findings, end: BooksEnd): string[] {
  const from = end.since === 0 ? '' : `, from journal ${end.since} on`;
  const row = `ledger ${end.ledger}, journal ${end.number} sha256:${end.hash}`;
  const unknown =
    end.unknownFields === 0
      ? []
      : [
          `${end.unknownFields} accounts changed after this row: their fields are not in the file, and only their seals are.\n`,
        ];
  const before =
    end.since === 0
      ? []
      : ['What came before the first file is taken as it is found: verify it with the files before.\n'];
  const verdict = findings.total === 0 ? `verified${from}` : `NOT verified${from}: ${countOf(findings.total)}`;
  return [...unknown, ...before, `${row} ${verdict}\n`];
}

function countOf(discrepancies: number): string {
  return discrepancies === 1 ? '1 discrepancy' : `${discrepancies.toLocaleString('en')} discrepancies`;
}

function renderMicros(micros: number | null): string | null {
  if (micros === null) return null;
  const seconds = new Date(Math.floor(micros / 1e6) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(((micros % 1e6) + 1e6) % 1e6).padStart(6, '0')}Z`;
}
