// gopherpay audit: proves the promises from the stored rows, and prints the last journal row that it verified.
import { styleText } from 'node:util';
import { defineCommand } from 'citty';
import { SingleBar } from 'cli-progress';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import { type DatabaseSettings, type DatabaseTimeouts, readingTimeouts } from '../db/connection/connect.ts';
import { type AuditEvent, type CheckResult, type Discrepancy, type JournalEnd, withAudit } from '../db/audit/audit.ts';
import type { Checkpoint } from '../db/audit/chain.ts';
import { MAIN_LEDGER } from '../domain/ledger.ts';
import {
  CommandError,
  EXIT,
  findLedgerOf,
  interruptible,
  ledgerName,
  parseArguments,
  withDatabase,
} from './command.ts';
import { writeAuditMetrics } from './audit-metrics.ts';
import { EXPECT_ARGS, expectOptions, LIMIT_ARGS, limitOption, readExpected, wrongExpectation } from './expected.ts';
import { writeStandardOutput } from './file.ts';
import { printable } from './printable.ts';

type Verdict = Extract<AuditEvent, { type: 'verdict' }>;

const JOURNAL_NUMBER = /^\d{1,18}$/;

type Wanted = {
  readonly json: boolean;
  /** Null: all ledgers. */
  readonly ledger: string | null;
  readonly since: bigint | null;
  readonly expect: readonly Checkpoint[];
  readonly discrepanciesMax: number;
  /** The file for the metrics; null: none. */
  readonly metricsFile: string | null;
};

export const audit = defineCommand({
  meta: {
    name: 'audit',
    description: 'Prove that the books are whole: every balance, every transfer, the whole journal of every ledger.',
  },
  args: {
    json: { type: 'boolean', description: 'One JSON object a line: discrepancies, checks, and a summary as the last' },
    ledger: { type: 'string', description: 'Audit only this ledger', valueHint: 'NAME' },
    since: { type: 'string', description: 'Audit only what came after this row of the journal', valueHint: 'NUMBER' },
    ...EXPECT_ARGS,
    ...LIMIT_ARGS,
    'metrics-file': {
      type: 'string',
      description: 'Write the result as metrics, for the textfile collector of Prometheus',
      valueHint: 'FILE',
    },
  },
  async run({ args }) {
    const wanted = await parseOptions(args);
    const config = readConfig();
    const timeouts = readingTimeouts(config.readingTimeoutMs);
    await interruptible(async (signal) => {
      await withDatabase(config, 'reader', async (database) => {
        await printAudit(database, wanted, { timeouts, signal });
      });
    });
  },
});

/** Audits the books, and prints what it finds. Throws a CommandError if they are not whole. */
export async function printAudit(
  database: DatabaseSettings,
  wanted: Wanted,
  options: { timeouts: DatabaseTimeouts; signal: AbortSignal },
): Promise<Verdict> {
  const { json, since, metricsFile } = wanted;
  const startedAt = performance.now();
  const ended: { verdict?: Verdict } = {};
  const ledger = await findAudited(database, wanted.ledger, options);
  await withAudit(database, { ...wanted, ledger }, options, async (events) => {
    const observed = observe(events, ended, process.stderr.isTTY && !(json && process.stdout.isTTY));
    const texts = json ? renderJson(observed, wanted) : renderText(observed, since);
    await writeStandardOutput(texts, options.signal);
  });
  const { verdict } = ended;
  if (!verdict) throw new Error('The audit ended without a verdict.');
  if (metricsFile !== null) await writeAuditMetrics(metricsFile, verdict, performance.now() - startedAt);
  if (verdict.discrepancies > 0) {
    throw new CommandError(EXIT.discrepancy, `The books are not whole: ${countOf(verdict.discrepancies)}.`);
  }
  return verdict;
}

async function parseOptions(args: Readonly<Record<string, unknown>>): Promise<Wanted> {
  const parsed = parseArguments(
    {
      json: z.boolean().default(false),
      ledger: ledgerName.optional(),
      since: z
        .string()
        .regex(JOURNAL_NUMBER, 'must be the number of a row of the journal')
        .transform(BigInt)
        .optional(),
      ...expectOptions,
      ...limitOption,
      'metrics-file': z.string().min(1, 'must be a file').optional(),
    },
    args,
  );
  const since = parsed.since ?? null;
  // Each ledger has its own journal, so a row number needs a ledger.
  const ledger = parsed.ledger ?? (since === null || since === 0n ? null : MAIN_LEDGER.name);
  const expect = await readExpected(parsed, () => ledger);
  if (since !== null && expect.some(({ number }) => number < since)) {
    throw wrongExpectation('its row must not come before that of --since');
  }
  const metricsFile = parsed['metrics-file'] ?? null;
  return { json: parsed.json, ledger, since, expect, discrepanciesMax: parsed.limit, metricsFile };
}

/** The id of the ledger to audit; null: all. */
async function findAudited(
  database: DatabaseSettings,
  name: string | null,
  options: { timeouts: DatabaseTimeouts; signal: AbortSignal },
): Promise<number | null> {
  if (name === null) return null;
  const { id } = await findLedgerOf(database, name, 'gopherpay audit', options);
  return id;
}

/** Yields the printable events, shows progress for the others, and keeps the verdict. */
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

async function* renderJson(events: Printed, { ledger, since }: Wanted): AsyncGenerator<string> {
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
          ledger,
          ...renderEnd(event.journals.find((end) => end.ledger === (ledger ?? MAIN_LEDGER.name))),
          audited_at: event.at,
          since: since === null ? null : Number(since),
          checks,
          discrepancies: event.discrepancies,
          journals: event.journals.map((end) => ({
            ledger: end.ledger,
            ...renderEnd(end),
            discrepancies: end.discrepancies,
          })),
        });
    }
  }
}

function renderEnd(end: JournalEnd | undefined): Record<string, unknown> {
  return { journal_number: end ? Number(end.number) : null, journal_hash: end?.hash ?? null };
}

function line(fields: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify(fields)}\n`;
}

/** The table of checks is printed first, so discrepancies are kept until then: at most the limit of each check. */
async function* renderText(events: Printed, since: bigint | null): AsyncGenerator<string> {
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
        const isMainOnly = event.journals.every(({ ledger }) => ledger === MAIN_LEDGER.name);
        yield renderDiscrepancies(checks, discrepancies, isMainOnly);
        yield renderVerdict(event, since, isMainOnly);
    }
  }
}

export function renderTable(checks: readonly CheckResult[]): string {
  const rows = checks.map(({ check, rows, discrepancies, skipped }) => ({
    cells: [check, skipped ? 'skipped' : grouped(rows), skipped ? '' : grouped(discrepancies)],
    color: skipped ? ('dim' as const) : discrepancies === 0 ? ('green' as const) : ('red' as const),
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
  return [align(header), ...rows.map(({ cells, color }) => styleText(color, align(cells)))]
    .map((text) => `${text}\n`)
    .join('');
}

function renderDiscrepancies(
  checks: readonly CheckResult[],
  discrepancies: readonly Discrepancy[],
  isMainOnly: boolean,
): string {
  const blocks = checks.map(({ check, discrepancies: total }) => {
    const told = discrepancies.filter((discrepancy) => discrepancy.check === check);
    const rest = total > told.length ? [`${check}: ${grouped(total - told.length)} more`] : [];
    return [...told.map((discrepancy) => renderDiscrepancy(discrepancy, isMainOnly)), ...rest]
      .map((text) => `${text}\n`)
      .join('');
  });
  const all = blocks.join('');
  return all === '' ? '' : `\n${all}\n`;
}

/** The ledger is not named if there is only the main one. */
function renderDiscrepancy(discrepancy: Discrepancy, isMainOnly: boolean): string {
  const { check, ledger, account, currency, transfer, journal, what, expected, found } = discrepancy;
  const about = [
    ledger === null || (isMainOnly && ledger === MAIN_LEDGER.name) ? '' : `ledger ${ledger}`,
    account !== null ? `account ${account}${currency === null ? '' : ` ${currency}`}` : (currency ?? ''),
    transfer === null ? '' : `transfer ${transfer}`,
    journal === null ? '' : `journal ${journal}`,
  ].filter((part) => part !== '');
  const place = about.length === 0 ? '' : ` ${about.join(', ')}:`;
  return printable(`${check}:${place} ${what}: expected ${expected ?? 'null'}, found ${found ?? 'null'}`);
}

/** A line for each ledger. A discrepancy in one ledger does not affect the others; one without a ledger affects all. */
function renderVerdict(verdict: Verdict, since: bigint | null, isMainOnly: boolean): string {
  const { journals, at, discrepancies } = verdict;
  const common = discrepancies - journals.reduce((sum, end) => sum + end.discrepancies, 0);
  const from = since === null ? '' : `, from journal ${since} on`;
  return journals
    .map(({ ledger, number, hash, discrepancies: own }) => {
      const row = `${isMainOnly ? '' : `ledger ${ledger}, `}journal ${number} sha256:${hash ?? 'unknown'}`;
      return own + common === 0
        ? styleText('green', `${row} verified at ${at}${from}`)
        : styleText('red', `${row} NOT verified at ${at}${from}: ${countOf(own + common)}`);
    })
    .map((text) => `${text}\n`)
    .join('');
}

function countOf(discrepancies: number): string {
  return discrepancies === 1 ? '1 discrepancy' : `${grouped(discrepancies)} discrepancies`;
}

function grouped(count: number): string {
  return count.toLocaleString('en');
}
