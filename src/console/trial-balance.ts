// The trial balance. Its sums may be larger than 2^53, so they are read from the text of the answer.

export type Totals = {
  readonly currency: string;
  readonly accounts: number;
  readonly positive: bigint;
  readonly negative: bigint;
  readonly sum: bigint;
};

type SumsAsText = {
  readonly currencies: readonly {
    readonly currency: string;
    readonly account_count: number;
    readonly positive: string;
    readonly negative: string;
    readonly sum: string;
  }[];
};

/** Parses the answer of GET /balances. Its only texts are instants and currencies, so a number is never within a text. */
export function parseTrialBalance(text: string): Totals[] {
  const { currencies }: SumsAsText = JSON.parse(text.replaceAll(/("(?:positive|negative|sum)":)(-?\d+)/g, '$1"$2"'));
  return currencies.map(({ currency, account_count: accounts, positive, negative, sum }) => ({
    currency,
    accounts,
    positive: BigInt(positive),
    negative: BigInt(negative),
    sum: BigInt(sum),
  }));
}
