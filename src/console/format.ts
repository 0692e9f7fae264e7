// Values as people read them. Amounts are minor units; how many decimals a currency has is a rule of the domain.
import { CURRENCY_FORM, minorDigitsOf, parseDecimal, renderDecimal, renderMoney } from '../domain/currency.ts';

/** Renders an amount with its currency: 123456 US cents are "1,234.56 USD". */
export function money(amount: number | null, currency: string | null): string {
  if (amount === null || currency === null) return '–';
  return `${renderMoney(BigInt(amount), currency)} ${currency}`;
}

/** As `money`, of a sum that may be larger than 2^53. */
export function moneyOfSum(amount: bigint, currency: string): string {
  return `${renderMoney(amount, currency)} ${currency}`;
}

const COMPACT = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 2 });

/** Renders an amount for the axis of a chart: 123456 US cents are "1.23K". */
export function compactMoney(amount: number, currency: string): string {
  return COMPACT.format(amount / 10 ** minorDigitsOf(currency));
}

/** Renders a number for the axis of a chart: 12345 is "12.35K". */
export function compact(value: number): string {
  return COMPACT.format(value);
}

/** An amount as a person may type it again: 123456 US cents are "1234.56". */
export function plainAmount(amount: number, currency: string): string {
  return renderDecimal(BigInt(amount), currency);
}

/**
 * The minor units of an amount that a person typed: "12.5" US dollars are 1250 cents. Null: it is no amount above zero, or
 * has more decimals than the currency. A comma is refused: it separates decimals in some countries, thousands in others.
 */
export function parseAmount(text: string, currency: string): number | null {
  const [, whole = '', decimals = ''] = /^(\d{1,16})(?:\.(\d+))?$/.exec(text.trim()) ?? [];
  const digits = minorDigitsOf(currency);
  if (whole === '' || decimals.length > digits || !CURRENCY_FORM.test(currency)) return null;
  const amount = Number(parseDecimal(digits === 0 ? whole : `${whole}.${decimals.padEnd(digits, '0')}`, currency));
  return Number.isSafeInteger(amount) && amount > 0 ? amount : null;
}

const NUMBERS = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

export function count(value: number): string {
  return NUMBERS.format(value);
}

/** Renders a duration: "3.2 ms", "1.4 s", "2 min". */
export function duration(seconds: number): string {
  if (seconds < 1) return `${NUMBERS.format(seconds * 1000)} ms`;
  if (seconds < 120) return `${NUMBERS.format(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** Renders bytes: "3.2 MB". */
export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  let size = value;
  let index = 0;
  for (; size >= 1000 && index < units.length - 1; index += 1) size /= 1000;
  return `${NUMBERS.format(size)} ${units[index]}`;
}

/** Renders an instant in the person's own time zone, to the second: "2026-11-26 14:03:11". */
export function time(instant: string | null): string {
  if (instant === null) return '–';
  const date = new Date(instant);
  if (Number.isNaN(date.getTime())) return instant;
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** An instant as an input of the type datetime-local has it: in the person's own time zone, without one. */
export function localInput(instant: string): string {
  return Number.isNaN(Date.parse(instant)) ? '' : time(instant).replace(' ', 'T');
}

/** The instant that such an input means; null: it is empty, or no instant. */
export function instantOfInput(text: string): string | null {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

/** The milliseconds from one instant to another, with the microseconds that `Date` drops. */
export function millisBetween(from: string, to: string): number {
  return (microsOf(to) - microsOf(from)) / 1000;
}

/** Microseconds since 1970 of an instant with up to six decimals. */
export function microsOf(instant: string): number {
  const [, second = instant, fraction = ''] = /^(.*?)(?:\.(\d+))?Z$/.exec(instant) ?? [];
  return Date.parse(`${second}Z`) * 1000 + Number(fraction.padEnd(6, '0').slice(0, 6));
}

/** The beginning of an id or a hash, which a page shows in lists. */
export function short(text: string, length = 8): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`;
}
