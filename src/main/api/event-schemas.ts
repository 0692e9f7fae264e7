// The schemas of requests about events: the feed and webhooks.
import { z } from 'zod';
import { EVENT_TYPES, isEventType } from '../../domain/event.ts';
import { TRANSFER_KINDS } from '../../domain/transfer.ts';
import { mustBe } from '../../validation.ts';
import { limit } from './list-parameters.ts';
import { party } from './schemas.ts';

export const eventsSchema = z.strictObject({
  after: z
    .string({ error: mustBe('the number of an event') })
    .regex(/^\d{1,15}$/)
    .default('0')
    .describe('The number of the last event received: the `next` of the previous page.'),
  types: z
    .string({ error: mustBe(`event types separated by commas, of ${EVENT_TYPES.join(', ')}`) })
    .refine((list) => list.split(',').every(isEventType))
    .transform((list) => list.split(',').filter(isEventType))
    .optional()
    .describe(`Only events of these types, separated by commas: ${EVENT_TYPES.join(', ')}.`),
  account: party.optional().describe('Only events of this account: its transfers in both directions, and its changes.'),
  kind: z.enum(TRANSFER_KINDS).optional().describe('Only transfers of this kind.'),
  limit,
});
