// The query parameters that lists share, and the lists that have hardly any others.
import { z } from 'zod';
import { MONEY_MAX } from '../../domain/money.ts';
import { mustBe } from '../../validation.ts';

export const LIMIT_MAX = 1000;

/** An integer in a query. Number() would also read 0x10, 1e2 and the empty text. */
const queryInteger = (min: number, max: number) =>
  z.preprocess(
    (value) => (typeof value === 'string' && !/^\d+$/.test(value) ? Number.NaN : value),
    z.coerce
      .number({ error: mustBe(`an integer from ${min} to ${max}`) })
      .int()
      .min(min)
      .max(max),
  );

export const limit = queryInteger(1, LIMIT_MAX)
  .default(50)
  .describe(`The largest number of items: 1 to ${LIMIT_MAX}, 50 by default.`);
export const amountFilter = queryInteger(0, Number(MONEY_MAX)).optional();
export const after = z.string().max(200).optional().describe('The `next` of the previous page.');

export const order = z.enum(['newest', 'oldest']).default('newest').describe('Which comes first.');
/** Of a list in order of a name, not of time. */
export const alphabetical = z.enum(['asc', 'desc']).default('asc').describe('Ascending or descending.');

export const listLedgersSchema = z.strictObject({ order: alphabetical, limit, after });

export const listApprovalsSchema = z.strictObject({
  state: z.enum(['pending', 'approved', 'rejected', 'expired']).optional(),
  order,
  limit,
  after,
});

export const listJournalSchema = z.strictObject({ order, limit, after });

export const journalRowSchema = z.strictObject({
  after_record: queryInteger(0, Number.MAX_SAFE_INTEGER)
    .default(0)
    .describe('The `next_record` of the previous answer: only the records that follow.'),
  limit: limit.describe(`The largest number of records: 1 to ${LIMIT_MAX}, 50 by default.`),
});

export const auditLogSchema = z.strictObject({
  refused: z.enum(['true', 'false']).optional().describe('true: only refusals; false: only administration.'),
  order,
  limit,
  after,
});
