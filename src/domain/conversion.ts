// Conversions between currencies: two transfers of one atomic group, at a rate that both keep.
import { minorDigitsOf } from './currency.ts';

/** How much of the other currency one unit costs, in major units: a decimal number, never a float. */
export const RATE_FORM = /^(?:0|[1-9]\d{0,8})(?:\.\d{1,12})?$/;

export type Conversion = { readonly from: string; readonly to: string; readonly rate: string };

/** As both transfers keep it: `EUR/USD 1.0825`, which is what one euro costs in dollars. */
export function renderConversion({ from, to, rate }: Conversion): string {
  return `${from}/${to} ${rate}`;
}

export function parseConversion(text: string): Conversion {
  return { from: text.slice(0, 3), to: text.slice(4, 7), rate: text.slice(8) };
}

/** What an amount becomes, rounded down to the minor unit of the other currency. */
export function convert(amount: bigint, conversion: Conversion): bigint {
  const { numerator, denominator } = fractionOf(conversion);
  return (amount * numerator) / denominator;
}

/**
 * Whether two amounts are a conversion at the rate: the second is the first, rounded down, or the first is the least
 * that the second costs. So rounding never takes anything from the exchange, and gives it less than one minor unit.
 */
export function isConversion(amount: bigint, converted: bigint, conversion: Conversion): boolean {
  const { numerator, denominator } = fractionOf(conversion);
  const isCovered = converted * denominator <= amount * numerator;
  const isLeast = converted * denominator > (amount - 1n) * numerator;
  return isCovered && (converted === convert(amount, conversion) || isLeast);
}

/** The rate as a fraction of minor units. */
function fractionOf({ from, to, rate }: Conversion): { numerator: bigint; denominator: bigint } {
  const [whole = '', decimals = ''] = rate.split('.');
  const digits = BigInt(minorDigitsOf(to) - minorDigitsOf(from) - decimals.length);
  const numerator = BigInt(whole + decimals);
  return digits < 0n
    ? { numerator, denominator: 10n ** -digits }
    : { numerator: numerator * 10n ** digits, denominator: 1n };
}
