// Figures by ledger, for a bounded number of ledgers: each series costs memory here and in Prometheus, and callers may
// create any number of ledgers.

/** So many ledgers have figures of their own: the first that were used since the start of the process. */
export const LEDGERS_MAX = 100;
/** The label of all further ledgers together. It cannot be the name of a ledger. */
export const OTHER_LEDGERS = '_other';

export class LedgerFigures {
  completed = 0;
  failed = 0;
  refused = 0;
  /** The last row of its journal that this process wrote; null: none. */
  journalNumber: number | null = null;
}

export class FiguresByLedger {
  readonly #figures = new Map<string, LedgerFigures>();
  readonly #others = new LedgerFigures();

  /** The figures of a ledger, or those that all further ledgers share. */
  of(ledger: string): LedgerFigures {
    const known = this.#figures.get(ledger);
    if (known) return known;
    if (this.#figures.size >= LEDGERS_MAX) return this.#others;
    const figures = new LedgerFigures();
    this.#figures.set(ledger, figures);
    return figures;
  }

  journal(ledger: string, number: bigint): void {
    const figures = this.of(ledger);
    // Numbers of different journals cannot be combined.
    if (figures !== this.#others) figures.journalNumber = Number(number);
  }

  /** The figures by label. */
  all(): [label: string, LedgerFigures][] {
    const named = [...this.#figures];
    return named.length < LEDGERS_MAX ? named : [...named, [OTHER_LEDGERS, this.#others]];
  }

  /** Amounts of any ledgers, added up by label. */
  byLabel(amounts: Iterable<readonly [ledger: string, amount: number]>): Map<string, number> {
    const sums = new Map(this.all().map(([label]) => [label, 0]));
    for (const [ledger, amount] of amounts) {
      const label = this.#figures.has(ledger) ? ledger : OTHER_LEDGERS;
      sums.set(label, (sums.get(label) ?? 0) + amount);
    }
    return sums;
  }
}
