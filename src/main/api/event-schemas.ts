// The schemas of requests about events: the feed and webhooks.
import { z } from 'zod';
import { EVENT_TYPES, isEventType } from '../../domain/event.ts';
import { TRANSFER_KINDS } from '../../domain/transfer.ts';
import { mustBe } from '../../validation.ts';
import { URL_LENGTH_MAX } from '../webhooks/target.ts';
import { after, limit, order } from './list-parameters.ts';
import { anyAccount, text } from './schemas.ts';

const TYPES = EVENT_TYPES.join('|').replaceAll('.', '\\.');

export const eventsSchema = z.strictObject({
  after: z
    .string({ error: mustBe('the number of an event, or end') })
    .regex(/^(\d{1,15}|end)$/)
    .default('0')
    .describe('The number of the last event received: the `next` of the previous page. end: only later events.'),
  types: z
    .string({ error: mustBe(`event types separated by commas, of ${EVENT_TYPES.join(', ')}`) })
    .regex(new RegExp(`^(${TYPES})(,(${TYPES}))*$`))
    .transform((list) => list.split(',').filter(isEventType))
    .optional()
    .describe(`Only events of these types, separated by commas: ${EVENT_TYPES.join(', ')}.`),
  account: anyAccount
    .optional()
    .describe('Only events of this account: its transfers in both directions, and its changes.'),
  kind: z.enum(TRANSFER_KINDS).optional().describe('Only transfers of this kind.'),
  limit,
});

const OVERLAP_SECONDS = 24 * 3600;
const OVERLAP_SECONDS_MAX = 7 * OVERLAP_SECONDS;

const filter = {
  types: z
    .array(z.enum(EVENT_TYPES), { error: mustBe('an array of event types') })
    .min(1)
    .max(EVENT_TYPES.length)
    .nullable()
    .optional()
    .describe('Only events of these types; null, the default: all.'),
  account: anyAccount.nullable().optional().describe('Only events of this account; null, the default: all.'),
  kind: z
    .enum(TRANSFER_KINDS)
    .nullable()
    .optional()
    .describe('Only transfers of this kind; null, the default: all, and changes of accounts.'),
};
// The handler checks more of it, because what is allowed depends on a setting.
const url = text(URL_LENGTH_MAX).describe('An https URL of a public host; others are refused with url_not_allowed.');
const description = text(500).nullable().optional();

export const createWebhookSchema = z.strictObject({ url, ...filter, description });

export const updateWebhookSchema = z.strictObject({
  url: url.optional(),
  ...filter,
  description,
  status: z.enum(['enabled', 'disabled']).optional().describe('enabled: continue where the webhook stopped.'),
});

export const rotateSecretSchema = z.strictObject({
  overlap: z
    .int({ error: mustBe(`a whole number of seconds, from 0 to ${OVERLAP_SECONDS_MAX}`) })
    .min(0)
    .max(OVERLAP_SECONDS_MAX)
    .default(OVERLAP_SECONDS)
    .describe('Seconds for which the previous secret signs too; a day by default.'),
});

export const listWebhooksSchema = z.strictObject({ order, limit, after });
