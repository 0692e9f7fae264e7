// The schemas of requests about ledgers and their clocks.
import { z } from 'zod';
import { CLOCKS, LEDGER_NAME_FORM } from '../../domain/ledger.ts';
import { instant, mustBe } from '../../validation.ts';

/** A later year would leave no room for the expiries of holds. */
const clockTime = instant.regex(/^[2-8]\d{3}-/, 'must be an instant of the years 2000 to 8999');

export const createLedgerSchema = z.strictObject({
  name: z
    .string({ error: mustBe('a lower-case letter or digit, then at most 62 of a-z 0-9 _ -') })
    .regex(LEDGER_NAME_FORM)
    .describe('1 to 63 of a-z 0-9 _ -, the first a letter or digit.'),
  clock: z
    .enum(CLOCKS)
    .default('real')
    .describe('manual: a test clock, which stands still until a caller advances it.'),
  now: clockTime
    .optional()
    .describe('The first time of a test clock; the real time by default. Refused with the real clock.'),
});

export const advanceClockSchema = z.strictObject({
  now: clockTime.describe('The new time, not before the present one.'),
});
