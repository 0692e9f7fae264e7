// gopherpay audit: proves the promises on the books as they are stored, and says which row of the journal was verified.
import { styleText } from 'node:util';
import { defineCommand } from 'citty';
import { SingleBar } from 'cli-progress';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import { readingTimeouts } from '../db/connect.ts';
import { type AuditEvent, type AuditOptions, type CheckResult, type Discrepancy, withAudit } from '../db/audit.ts';
import { CommandError, EXIT, interruptible, parseArguments, withDatabase } from './command.ts';
import { writeStandardOutput } from './file.ts';

type Verdict = Extract<AuditEvent, { type: 'verdict' }>;

const JOURNAL_NUMBER = /^\d{1,18}$/;
const EXPECTED = /^(\d{1,18}):(?:sha256:)?([0-9a-f]{64})$/i;

export const audit = defineCommand({
  meta: {
    name: 'audit',
    description: 'Prove that the books are whole: every balance, every transfer, the whole journal.',
  },
  args: {
    json: { type: 'boolean', description: 'One JSON object a line: discrepancies, checks, and a summary as the last' },
    since: { type: 'string', description: 'Audit only what came after this row of the journal', valueHint: 'NUMBER' },
    expect: {
      type: 'string',
      description: 'The hash that a row of the journal must have, as an earlier audit told it',
      valueHint: 'NUMBER:HASH',
    },
    limit: { type: 'string', description: 'How many discrepancies to tell of each check (100)' },
  },
  async run({ args }) {
    const { json = false, ...options } = parseOptions(args);
    const config = readConfig();
    const timeouts = readingTimeouts(config.readingTimeoutMs);
    const ended: { verdict?: Verdict } = {};
    await interruptible(async (signal) => {
      await withDatabase(config, async (database) => {
        await withAudit(database, options, { timeouts, signal }, async (events) => {
          const observed = observe(events, ended, process.stderr.isTTY && !(json && process.stdout.isTTY));
          const texts = json ? renderJson(observed, options) : renderText(observed, options);
          await writeStandardOutput(texts, signal);
        });
      });
    });
    const { verdict } = ended;
    if (!verdict) throw new Error('The audit ended without a verdict.');
    if (verdict.discrepancies > 0) {
      throw new CommandError(EXIT.discrepancy, `The books are not whole: ${countOf(verdict.discrepancies)}.`);
    }
  },
});

function parseOptions(args: Readonly<Record<string, unknown>>): AuditOptions & { json?: boolean | undefined } {
  const parsed = parseArguments(
    {
      json: z.boolean().optional(),
      since: z
        .string()
        .regex(JOURNAL_NUMBER, 'must be the number of a row of the journal')
        .transform(BigInt)
        .optional(),
      expect: z
        .string()
        .regex(EXPECTED, 'must be the number of a row, a colon and 64 hexadecimal digits')
        .transform((text) => {
          const [, number = '', hash = ''] = EXPECTED.exec(text) ?? [];
          return { number: BigInt(number), hash: hash.toLowerCase() };
        })
        .optional(),
      limit: z
        .string()
        .regex(/^\d{1,5}$/, 'must be a whole number up to 99999')
        .transform(Number)
        .default(100),
    },
    args,
  );
  const since = parsed.since ?? null;
  if (since !== null && parsed.expect && parsed.expect.number < since) {
    throw new CommandError(
      EXIT.wrongUsage,
      'The option --expect is wrong: its row must not come before that of --since.',
    );
  }
  return { json: parsed.json, since, expect: parsed.expect ?? null, discrepanciesMax: parsed.limit };
}

/** Passes on what there is to print, shows the progress of the rest, and keeps the verdict. */
async function* observe(
  events: AsyncIterable<AuditEvent>,
  ended: { verdict?: Verdict },
  showProgress: boolean,
): AsyncGenerator<Extract<AuditEvent, { type: 'check' | 'discrepancy' | 'verdict' }>> {
  const bar = showProgress
    ? new SingleBar({
        format: '{bar} {percentage} % | {value} of {total} rows | {check}',
        stream: process.stderr,
        hideCursor: true,
        clearOnComplete: true,
      })
    : null;
  try {
    for await (const event of events) {
      switch (event.type) {
        case 'plan':
          bar?.start(event.rows, 0, { check: '' });
          break;
        case 'started':
          bar?.update({ check: event.check });
          break;
        case 'progress':
          bar?.increment(event.rows);
          break;
        case 'verdict':
          ended.verdict = event;
          bar?.stop();
          yield event;
          break;
        default:
          yield event;
      }
    }
  } finally {
    bar?.stop();
  }
}

type Printed = AsyncIterable<Extract<AuditEvent, { type: 'check' | 'discrepancy' | 'verdict' }>>;

async function* renderJson(events: Printed, { since }: AuditOptions): AsyncGenerator<string> {
  let checks = 0;
  for await (const event of events) {
    switch (event.type) {
      case 'discrepancy':
        yield line({ ...event, journal: event.journal === null ? null : Number(event.journal) });
        break;
      case 'check':
        checks += 1;
        yield line(event);
        break;
      case 'verdict':
        yield line({
          type: 'summary',
          ok: event.discrepancies === 0,
          journal_number: Number(event.journalNumber),
          journal_hash: event.journalHash,
          audited_at: event.at,
          since: since === null ? null : Number(since),
          checks,
          discrepancies: event.discrepancies,
        });
    }
  }
}

function line(fields: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify(fields)}\n`;
}

/** The checks come first, so what was found is kept until they are done: at most the limit of each check. */
async function* renderText(events: Printed, { since }: AuditOptions): AsyncGenerator<string> {
  const checks: CheckResult[] = [];
  const discrepancies: Discrepancy[] = [];
  for await (const event of events) {
    switch (event.type) {
      case 'discrepancy':
        discrepancies.push(event);
        break;
      case 'check':
        checks.push(event);
        break;
      case 'verdict':
        yield renderTable(checks);
        yield renderDiscrepancies(checks, discrepancies);
        yield renderVerdict(event, since);
    }
  }
}

function renderTable(checks: readonly CheckResult[]): string {
  const rows = checks.map(({ check, rows, discrepancies, skipped }) => ({
    cells: [check, skipped ? 'left out' : grouped(rows), skipped ? '' : grouped(discrepancies)],
    colour: skipped ? ('dim' as const) : discrepancies === 0 ? ('green' as const) : ('red' as const),
  }));
  const header = ['check', 'rows', 'discrepancies'];
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map(({ cells }) => cells[column]?.length ?? 0)),
  );
  const align = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  return [align(header), ...rows.map(({ cells, colour }) => styleText(colour, align(cells)))]
    .map((text) => `${text}\n`)
    .join('');
}

function renderDiscrepancies(checks: readonly CheckResult[], discrepancies: readonly Discrepancy[]): string {
  const blocks = checks.map(({ check, discrepancies: total }) => {
    const told = discrepancies.filter((discrepancy) => discrepancy.check === check);
    const rest = total > told.length ? [`${check}: ${grouped(total - told.length)} more`] : [];
    return [...told.map(renderDiscrepancy), ...rest].map((text) => `${text}\n`).join('');
  });
  const all = blocks.join('');
  return all === '' ? '' : `\n${all}\n`;
}

function renderDiscrepancy(discrepancy: Discrepancy): string {
  const { check, account, currency, transfer, journal, what, expected, found } = discrepancy;
  const about = [
    account !== null ? `account ${account}${currency === null ? '' : ` ${currency}`}` : (currency ?? ''),
    transfer === null ? '' : `transfer ${transfer}`,
    journal === null ? '' : `journal ${journal}`,
  ].filter((part) => part !== '');
  const place = about.length === 0 ? '' : ` ${about.join(', ')}:`;
  return printable(`${check}:${place} ${what}: expected ${expected ?? 'null'}, found ${found ?? 'null'}`);
}

function renderVerdict(verdict: Verdict, since: bigint | null): string {
  const row = `journal ${verdict.journalNumber} sha256:${verdict.journalHash ?? 'unknown'}`;
  const from = since === null ? '' : `, from journal ${since} on`;
  return verdict.discrepancies === 0
    ? `${styleText('green', `${row} verified at ${verdict.at}${from}`)}\n`
    : `${styleText('red', `${row} NOT verified at ${verdict.at}${from}: ${countOf(verdict.discrepancies)}`)}\n`;
}

function countOf(discrepancies: number): string {
  return discrepancies === 1 ? '1 discrepancy' : `${grouped(discrepancies)} discrepancies`;
}

function grouped(count: number): string {
  return count.toLocaleString('en');
}

/** Text from the books must not control the terminal of the auditor. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}
