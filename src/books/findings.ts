// What a verification of portable books found, check by check.

/** Stable: scripts and auditors refer to these names. Those that the audit has, too, mean the same there. */
export const CHECKS = [
  'file.form',
  'file.order',
  'file.trailer',
  'tables.entries',
  'journal.chain',
  'journal.transfers',
  'journal.expected',
  'accounts.changes',
  'accounts.seals',
  'conservation.balances',
  'balances.entries',
  'balances.accounts',
  'overdraft.available',
  'overdraft.held',
  'holds.parts',
  'transfers.parents',
  'reversals.amounts',
  'once.settled',
  'once.groups',
  'final.transfers',
] as const;

export type CheckName = (typeof CHECKS)[number];

/** What a discrepancy is about. */
export type Subject = {
  readonly account?: string;
  readonly currency?: string | undefined;
  readonly transfer?: string;
};

export type Discrepancy = {
  readonly check: CheckName;
  readonly file: string;
  /** The number of the line, from 1; null if it is about the whole file. */
  readonly line: number | null;
  readonly account: string | null;
  readonly currency: string | null;
  readonly transfer: string | null;
  /** The row of the journal; null if it is about none. */
  readonly journal: number | null;
  readonly what: string;
  readonly expected: string;
  readonly found: string;
};

export type CheckResult = { readonly check: CheckName; readonly rows: number; readonly discrepancies: number };

type Value = string | number | bigint | boolean | null | undefined;

export class Findings {
  /** Where the verification is. */
  file = '';
  line: number | null = null;
  journal: number | null = null;
  readonly #results = new Map(CHECKS.map((check) => [check, { rows: 0, discrepancies: 0 }]));
  readonly #report: (discrepancy: Discrepancy) => void;
  readonly #max: number;

  /** `max`: how many discrepancies of each check are reported; the others are counted. */
  constructor(max: number, report: (discrepancy: Discrepancy) => void) {
    this.#max = max;
    this.#report = report;
  }

  /** Counts what a check looked at. */
  count(check: CheckName, rows = 1): void {
    const result = this.#results.get(check);
    if (result) result.rows += rows;
  }

  equal(check: CheckName, about: Subject, what: string, expected: Value, found: Value): void {
    if (expected !== found) this.add(check, about, what, expected, found);
  }

  must(check: CheckName, about: Subject, what: string, holds: boolean, expected: string, found: Value): void {
    if (!holds) this.add(check, about, what, expected, found);
  }

  add(check: CheckName, about: Subject, what: string, expected: Value, found: Value): void {
    const result = this.#results.get(check);
    if (!result) return;
    result.discrepancies += 1;
    if (result.discrepancies > this.#max) return;
    this.#report({
      check,
      file: this.file,
      line: this.line,
      account: about.account ?? null,
      currency: about.currency ?? null,
      transfer: about.transfer ?? null,
      journal: this.journal,
      what,
      expected: String(expected ?? 'null'),
      found: String(found ?? 'null'),
    });
  }

  get total(): number {
    return this.results().reduce((sum, { discrepancies }) => sum + discrepancies, 0);
  }

  results(): readonly CheckResult[] {
    return [...this.#results].map(([check, result]) => ({ check, ...result }));
  }
}
