// The output of gopherpay audit: its progress on a terminal, its lines of JSON, its table and its verdict.
import { styleText } from 'node:util';
import { SingleBar } from 'cli-progress';
import type { AuditEvent, CheckResult, Discrepancy, JournalEnd } from '../db/audit/audit.ts';
import { MAIN_LEDGER } from '../domain/ledger.ts';
import { printable } from './printable.ts';

export type AuditVerdict = Extract<AuditEvent, { type: 'verdict' }>;

/** Yields the printable events, shows progress for the others, and keeps the verdict. */
export async function* observe(
  events: AsyncIterable<AuditEvent>,
  ended: { verdict?: AuditVerdict },
  showProgress: boolean,
): AsyncGenerator<Extract<AuditEvent, { type: 'check' | 'discrepancy' | 'verdict' }>> {
  const bar = showProgress
    ? new SingleBar({
        format: '{bar} {percentage} % | {value} of {total} rows | {eta_formatted} | {check}',
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

export async function* renderJson(
  events: Printed,
  { ledger, since }: { readonly ledger: string | null; readonly since: bigint | null },
): AsyncGenerator<string> {
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
            ...(end.since !== undefined && { since: Number(end.since) }),
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
export async function* renderText(events: Printed, since: bigint | null): AsyncGenerator<string> {
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
function renderVerdict(verdict: AuditVerdict, since: bigint | null, isMainOnly: boolean): string {
  const { journals, at, discrepancies, eachAlone } = verdict;
  const common = discrepancies - journals.reduce((sum, end) => sum + end.discrepancies, 0);
  // A ledger's rows are on one node, and read in one snapshot. There is none of all nodes.
  const note = eachAlone
    ? 'Citus: each ledger in a snapshot of its own; not audited: rows without a ledger, and both sides of a transfer between ledgers together.\n'
    : '';
  const lines = journals
    .map(({ ledger, number, hash, discrepancies: own, since: began = since }) => {
      const from = began === null ? '' : `, from journal ${began} on`;
      const row = `${isMainOnly ? '' : `ledger ${ledger}, `}journal ${number} sha256:${hash ?? 'unknown'}`;
      return own + common === 0
        ? styleText('green', `${row} verified at ${at}${from}`)
        : styleText('red', `${row} NOT verified at ${at}${from}: ${countOf(own + common)}`);
    })
    .map((text) => `${text}\n`)
    .join('');
  return `${note}${lines}`;
}

export function countOf(discrepancies: number): string {
  return discrepancies === 1 ? '1 discrepancy' : `${grouped(discrepancies)} discrepancies`;
}

function grouped(count: number): string {
  return count.toLocaleString('en');
}
