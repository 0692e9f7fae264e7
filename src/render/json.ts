// What the JSON of several answers shares: integers of any size, amounts and instants.
import { z } from 'zod';
import { parseConversion } from '../domain/conversion.ts';
import { EVENT_TYPES } from '../domain/event.ts';
import { TRANSFER_KINDS } from '../domain/transfer.ts';

declare global {
  interface JSON {
    /** Part of JavaScript, and not yet of TypeScript's library. */
    rawJSON(text: string): object;
  }
}

/** A value that JSON.stringify renders as this integer, with all its digits. */
export function exactInteger(value: bigint): object {
  return JSON.rawJSON(String(value));
}

/**
 * A sum of balances, as `exactInteger` renders it. A balance is exact in any JSON reader; a sum may be too large for
 * that.
 */
export const sumOfMoney = z
  .unknown()
  .meta({ type: 'integer', description: 'Minor units, an integer that may be larger than 2^53.' });

export const minorUnits = z.int().describe('Minor units (cents), an integer.');

export const transferKind = z.enum(TRANSFER_KINDS);

export const eventType = z.enum(EVENT_TYPES);

export const instant = z.iso.datetime().describe('RFC 3339, UTC, microseconds.');

export const conversionView = z.object({
  from_currency: z.string(),
  to_currency: z.string(),
  rate: z.string().describe('What one unit of from_currency costs in to_currency, in major units: a decimal number.'),
});

export function renderConversion(text: string): z.input<typeof conversionView> {
  const { from, to, rate } = parseConversion(text);
  return { from_currency: from, to_currency: to, rate };
}
