// What the JSON of several answers shares: integers of any size, amounts and instants.
import { z } from 'zod';
import { sidesOf } from '../domain/between-ledgers.ts';
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

/** The accounts of a transfer. One between ledgers names the other ledger, and the account there. */
export const partiesView = {
  from_account: z.string(),
  to_account: z.string(),
  from_ledger: z.string().optional().describe('Only if from_account is in another ledger: its name.'),
  to_ledger: z.string().optional().describe('Only if to_account is in another ledger: its name.'),
};

export function renderParties(transfer: Parameters<typeof sidesOf>[0]): z.input<z.ZodObject<typeof partiesView>> {
  const { from, to, fromLedger, toLedger } = sidesOf(transfer);
  return {
    from_account: from,
    to_account: to,
    ...(fromLedger !== null && { from_ledger: fromLedger }),
    ...(toLedger !== null && { to_ledger: toLedger }),
  };
}

export function renderConversion(text: string): z.input<typeof conversionView> {
  const { from, to, rate } = parseConversion(text);
  return { from_currency: from, to_currency: to, rate };
}
