// The schemas of requests about ledgers and their clocks.
import { z } from 'zod';
import { CLOCKS, LEDGER_NAME_FORM } from '../../domain/ledger.ts';
import { instant, mustBe } from '../../validation.ts';

/** A later instant would leave no room for the expiries of holds, and an earlier one has no place in the journal. */
const clockTime = instant.refine(
  (value) => value >= '1970-01-02' && value < '9000',
  'must be an instant from 1970-01-02 to 8999-12-31',
);

export const createLedgerSchema = z
  .strictObject({
    name: z
      .string({ error: mustBe('a lower-case letter or digit, then at most 62 of a-z 0-9 _ -') })
      .regex(LEDGER_NAME_FORM)
      .describe('1 to 63 of a-z 0-9 _ -, the first a letter or digit.'),
    clock: z
      .enum(CLOCKS)
      .default('real')
      .describe('manual: a test clock, which stands still until a caller advances it.'),
    now: clockTime.optional().describe('The first time of a test clock; the real time by default.'),
  })
  .refine(({ clock, now }) => clock === 'manual' || now === undefined, {
    error: 'must be absent, unless `clock` is manual',
    path: ['now'],
  });

export const advanceClockSchema = z.strictObject({
  now: clockTime.describe('The new time, not before the present one.'),
});
