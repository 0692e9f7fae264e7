// The schemas of groups of transfers.
import { z } from 'zod';
import { RATE_FORM } from '../../domain/conversion.ts';
import { mustBe } from '../../validation.ts';
import { ERRORS_MAX } from '../http/problem.ts';
import { amount, createTransferSchema, GROUP_MAX, money } from './schemas.ts';

const whole = z
  .int({ error: mustBe(`an integer from 0 to ${GROUP_MAX - 1}`) })
  .min(0)
  .max(GROUP_MAX - 1)
  .optional()
  .describe('The index of an earlier member, whose amount is the whole. By default the `total` of the group is.');

export const share = z.strictObject({
  of: whole,
  basis_points: z
    .int({ error: mustBe('an integer from 0 to 10000') })
    .min(0)
    .max(10_000)
    .default(0)
    .describe('Hundredths of a percent of the whole, rounded down to the minor unit.'),
  plus: money.default(0).describe('Minor units, in addition.'),
});

export const remainder = z.strictObject({ of: whole });

export const conversion = z.strictObject({
  of: z
    .int({ error: mustBe(`an integer from 0 to ${GROUP_MAX - 1}`) })
    .min(0)
    .max(GROUP_MAX - 1)
    .describe('The index of the earlier member that is converted. Both must name their `currency`.'),
  rate: z
    .string({ error: mustBe('a decimal number as text, such as "1.0825", of at most 9 digits and 12 decimals') })
    .regex(RATE_FORM)
    .describe('What one unit of its currency costs in this one, in major units. Both members keep it.'),
});

/**
 * A member of a group. It has one of `amount`, `share`, `remainder` and `conversion`. The schema does not say so, because
 * generators of clients dislike such unions; member-amounts.ts checks it.
 */
export const groupMemberSchema = createTransferSchema.extend({
  amount: createTransferSchema.shape.amount.optional(),
  share: share.optional().describe('Instead of `amount`: a part of a whole. The group must be atomic.'),
  remainder: remainder.optional().describe('Instead of `amount`: what the other parts leave of a whole.'),
  conversion: conversion
    .optional()
    .describe('Another member in the currency of this one, rounded down. An `amount` beside it is checked.'),
});

export const createGroupSchema = z.strictObject({
  transfers: z
    .array(z.unknown(), { error: mustBe(`an array of 1 to ${GROUP_MAX} transfers`) })
    .min(1)
    .max(GROUP_MAX)
    // One by one: an array of zod would collect the issues of all members, which takes too long.
    .transform((members, context) => {
      const transfers: z.output<typeof groupMemberSchema>[] = [];
      for (const [index, member] of members.entries()) {
        const parsed = groupMemberSchema.safeParse(member);
        if (parsed.success) transfers.push(parsed.data);
        else for (const issue of parsed.error.issues) context.addIssue({ ...issue, path: [index, ...issue.path] });
        if (context.issues.length >= ERRORS_MAX) break;
      }
      return transfers;
    })
    .meta({ items: { $ref: '#/components/schemas/NewGroupMember' } }),
  atomic: z.boolean().default(false).describe('Settle all or none.'),
  total: amount
    .optional()
    .describe('Minor units: the sum of all members, except those that are parts of another. The group must be atomic.'),
});
