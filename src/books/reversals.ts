// What completed reversals undo: compared while the books are read, with the originals of as many reversals as one reading has
// memory for. The books may have any number of them, so further ones are compared by further readings.
import type { Findings } from './findings.ts';
import type { Line } from './form.ts';

/** How many are compared in one reading: their originals have about 150 MB. */
export const REVERSALS_OF_READING = 250_000;

/** Without its texts, of which there may be 8 KB. */
type Kept = Pick<Line<'transfer'>, 'from_account' | 'to_account' | 'amount' | 'currency' | 'status' | 'kind'> & {
  /** Its place among all transfers, from 1. */
  readonly place: number;
};
type Reversal = Kept & Pick<Line<'transfer'>, 'id' | 'parent_id'> & { readonly sum: number };

export class ReversalReading {
  /** What the reversals of the next reading undo. */
  readonly next: string[] = [];
  readonly #findings: Findings;
  /** Whether the books begin with row 1, so that every original is in them. */
  readonly #whole: boolean;
  readonly #max: number;
  /** The number of the first reversal that is compared, from 0. */
  readonly #first: number;
  readonly #count: number;
  readonly #wanted: ReadonlySet<string>;
  readonly #originals = new Map<string, Kept>();
  readonly #sums = new Map<string, number>();
  /** Those that came before their originals, or without them. */
  readonly #early: { readonly reversal: Reversal; readonly file: string; readonly line: number | null }[] = [];
  #seen = 0;

  /** `reversed`: what the reversals that are compared undo, in their order; `first`: how many reversals come before them. */
  constructor(
    findings: Findings,
    { whole, first, reversed, max }: { whole: boolean; first: number; reversed: readonly string[]; max: number },
  ) {
    this.#findings = findings;
    this.#whole = whole;
    this.#max = max;
    this.#first = first;
    this.#count = reversed.length;
    this.#wanted = new Set(reversed);
  }

  wants(id: string): boolean {
    return this.#wanted.has(id);
  }

  takeOriginal(line: Line<'transfer'>, place: number): void {
    this.#originals.set(line.id, keep(line, place));
  }

  takeReversal(line: Line<'transfer'>, place: number): void {
    const { id, parent_id: parent = '', amount = 0 } = line;
    const number = this.#seen;
    this.#seen += 1;
    const end = this.#first + this.#count;
    if (number >= end && this.next.length < this.#max) this.next.push(parent);
    if (!this.#wanted.has(parent)) return;
    const sum = (this.#sums.get(parent) ?? 0) + amount;
    this.#sums.set(parent, sum);
    if (number < this.#first || number >= end) return;
    const reversal = { ...keep(line, place), id, parent_id: parent, sum };
    const original = this.#originals.get(parent);
    const { file, line: at } = this.#findings;
    if (original) this.#compare(reversal, original);
    else this.#early.push({ reversal, file, line: at });
  }

  end(): void {
    const findings = this.#findings;
    for (const { reversal, file, line } of this.#early) {
      findings.file = file;
      findings.line = line;
      this.#compare(reversal, this.#originals.get(reversal.parent_id ?? ''));
    }
  }

  #compare(reversal: Reversal, original: Kept | undefined): void {
    const findings = this.#findings;
    const { id, parent_id: parent, from_account: from, to_account: to, currency, place, sum } = reversal;
    const about = { transfer: id, currency };
    findings.count('reversals.amounts');
    findings.count('transfers.parents');
    if (!original) {
      if (this.#whole) findings.add('transfers.parents', about, 'what it reverses', 'a settled transfer', parent);
      return;
    }
    const state = `${original.status} ${original.kind}`;
    const isReversible = state === 'completed transfer' || state === 'completed capture';
    findings.must('transfers.parents', about, 'original', isReversible, 'a completed transfer or capture', state);
    const expected = `${original.to_account} to ${original.from_account} in ${original.currency}`;
    findings.equal('transfers.parents', about, 'accounts', expected, `${from} to ${to} in ${currency}`);
    findings.must('transfers.parents', about, 'place', original.place < place, 'after its original', 'before it');
    const most = original.amount ?? 0;
    findings.must('reversals.amounts', about, 'sum of the reversals', sum <= most, `at most ${most}`, sum);
  }
}

function keep(line: Line<'transfer'>, place: number): Kept {
  const { from_account, to_account, amount, currency, status, kind } = line;
  return { from_account, to_account, amount, currency, status, kind, place };
}
