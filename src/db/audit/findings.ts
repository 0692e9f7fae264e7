// What the parts of an audit in many snapshots found so far. It is plain data, so that an interrupted audit can be saved.
import { readBatches } from './cursor.ts';
import type { Counted } from './rules.ts';
import type { Connection } from '../connection/connect.ts';

/** A fact that does not hold. `ledger` is an id; a field is null if it does not apply. */
export type Found = {
  readonly ledger: number | null;
  readonly account: string | null;
  readonly currency: string | null;
  readonly transfer: string | null;
  readonly journal: string | null;
  readonly what: string;
  readonly expected: string | null;
  readonly found: string | null;
};

export type Findings = {
  /** By the names of checks: how many discrepancies there are, and the first of them. */
  readonly checks: Record<string, { total: number; kept: Found[] }>;
  /** By the ids of ledgers. */
  readonly ledgers: Record<string, number>;
  /** How many rows were read. */
  readonly rows: Partial<Record<Counted, number>>;
};

export function noFindings(): Findings {
  return { checks: {}, ledgers: {}, rows: {} };
}

/** The kept discrepancies as texts, to find one again. */
const texts = new WeakMap<readonly Found[], Set<string>>();

function textsOf(kept: readonly Found[]): Set<string> {
  const known = texts.get(kept) ?? new Set(kept.map((found) => JSON.stringify(found)));
  texts.set(kept, known);
  return known;
}

/** Adds a discrepancy, unless an earlier snapshot showed the same. At most `keptMax` of a check are kept. */
export function addFound(findings: Findings, check: string, found: Found, keptMax: number): void {
  const result = (findings.checks[check] ??= { total: 0, kept: [] });
  const text = JSON.stringify(found);
  const kept = textsOf(result.kept);
  if (kept.has(text)) return;
  result.total += 1;
  if (result.kept.length < keptMax) {
    result.kept.push(found);
    kept.add(text);
  }
  if (found.ledger !== null) findings.ledgers[found.ledger] = (findings.ledgers[found.ledger] ?? 0) + 1;
}

export function addRows(findings: Findings, table: Counted, rows: number): void {
  findings.rows[table] = (findings.rows[table] ?? 0) + rows;
}

/** The discrepancies of a check in the order in which an audit in one snapshot reports them. */
export function sortFound(all: readonly Found[]): readonly Found[] {
  const byNumber = (a: bigint | null, b: bigint | null) =>
    a === b ? 0 : a === null ? -1 : b === null ? 1 : a < b ? -1 : 1;
  const byText = (a: string | null, b: string | null) =>
    a === b ? 0 : a === null ? 1 : b === null ? -1 : a < b ? -1 : 1;
  const toNumber = (value: number | string | null) => (value === null ? null : BigInt(value));
  return [...all].sort(
    (a, b) =>
      byNumber(toNumber(a.ledger), toNumber(b.ledger)) ||
      byNumber(toNumber(a.journal), toNumber(b.journal)) ||
      byText(a.account, b.account) ||
      byText(a.currency, b.currency) ||
      byText(a.transfer, b.transfer) ||
      byText(a.what, b.what),
  );
}

/** The discrepancies that statements select, in order of each statement. */
export async function* readFound(connection: Connection, statements: readonly string[]): AsyncGenerator<Found> {
  for (const statement of statements) {
    const ordered = `${statement} order by ledger nulls first, journal nulls first, account, currency, transfer, what`;
    for await (const batch of readBatches(connection, ordered)) {
      for (const [ledger, account, currency, transfer, journal, what, expected, found] of batch) {
        yield {
          ledger: typeof ledger === 'string' ? Number(ledger) : null,
          account: account ?? null,
          currency: currency ?? null,
          transfer: transfer ?? null,
          journal: journal ?? null,
          what: what ?? '',
          expected: expected ?? null,
          found: found ?? null,
        };
      }
    }
  }
}
