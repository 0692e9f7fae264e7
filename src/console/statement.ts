// A statement as the service sends it, as far as the page shows it. Pure, so that tests need no browser.

export type StatementEntry = {
  readonly entry_number: number;
  readonly settled_at: string;
  readonly transfer_id: string;
  readonly kind: string;
  readonly counterparty: string;
  readonly description: string | null;
  readonly amount: number;
  readonly balance: number;
};

export type StatementJson = {
  readonly account_number: string;
  readonly currency: string;
  readonly month: string;
  readonly begins: string;
  readonly ends: string;
  readonly final: boolean;
  readonly entry_count: number;
  readonly opening_balance: number;
  readonly total_in: number;
  readonly total_out: number;
  readonly entries: readonly StatementEntry[];
  readonly closing_balance: number;
};

export type Statement = Omit<StatementJson, 'total_in' | 'total_out' | 'entries' | 'closing_balance'> & {
  readonly totalIn: bigint;
  readonly totalOut: bigint;
  readonly closing: bigint;
  /** Null: there are too many to show. */
  readonly entries: readonly StatementEntry[] | null;
};

type Sums = { readonly total_in: string; readonly total_out: string };

/**
 * Parses the text of a statement. Its head comes before the entries, so a text that was read in part has it. The totals may
 * be larger than 2^53, so they are read from the text. The names of members cannot occur in a text within it, where quotes
 * are escaped. Throws a SyntaxError if the text ends within the head, or is not whole although it should be.
 */
export function parseStatement(text: string, isWhole: boolean): Statement {
  const end = text.indexOf(',"entries":[');
  if (end === -1) throw new SyntaxError('The statement ends early.');
  const head = `${text.slice(0, end)}}`;
  const { total_in: _in, total_out: _out, ...summary }: StatementJson = JSON.parse(head);
  const sums: Sums = JSON.parse(`{${head.slice(head.indexOf('"total_in":')).replaceAll(/:(\d+)/g, ':"$1"')}`);
  const [totalIn, totalOut] = [BigInt(sums.total_in), BigInt(sums.total_out)];
  const whole: StatementJson | null = isWhole ? JSON.parse(text) : null;
  return {
    ...summary,
    totalIn,
    totalOut,
    closing: BigInt(summary.opening_balance) + totalIn - totalOut,
    entries: whole?.entries ?? null,
  };
}

/** The months from the one in which an account was opened to the present one, the newest first: ['2026-11', '2026-10']. */
export function monthsBetween(opened: string, now: string): string[] {
  const months: string[] = [];
  const end = opened.slice(0, 7);
  for (let month = now.slice(0, 7); month >= end; month = monthBefore(month)) months.push(month);
  return months;
}

function monthBefore(month: string): string {
  const [year = 0, number = 1] = month.split('-').map(Number);
  return number === 1 ? `${year - 1}-12` : `${year}-${String(number - 1).padStart(2, '0')}`;
}
