// The answers about webhooks.
import { z } from 'zod';
import type { DeliveryRecord, WebhookRecord } from '../../db/queries/webhooks.ts';
import { eventType, instant, transferKind } from '../../render/json.ts';

const webhookView = z.object({
  object: z.literal('webhook'),
  id: z.uuid(),
  url: z.string(),
  description: z.string().nullable(),
  types: z.array(eventType).nullable(),
  account: z.string().nullable(),
  kind: transferKind.nullable(),
  status: z.enum(['enabled', 'disabled']),
  disabled_reason: z
    .enum(['paused', 'gone', 'failing'])
    .nullable()
    .describe('paused: by a caller; gone: it answered 410; failing: it failed for days.'),
  disabled_at: instant.nullable(),
  journal_number: z.int().describe('The last row of the journal that is done.'),
  failing_since: instant.nullable().describe('Null: the next event has not failed.'),
  next_attempt_at: instant.nullable(),
  previous_secret_until: instant.nullable().describe('Until then the secret before the last rotation signs too.'),
  secret: z
    .string()
    .optional()
    .describe('Only in the answer to the request that made it, and in its replays until the next rotation: keep it.'),
  created_at: instant,
});

/** `secret`: only where it was made by the request. */
export function renderWebhook(webhook: WebhookRecord, secret: string | null = null): z.input<typeof webhookView> {
  const { filter, disabledReason } = webhook;
  return {
    object: 'webhook',
    id: webhook.id,
    url: webhook.url,
    description: webhook.description,
    types: filter.types && [...filter.types],
    account: filter.account,
    kind: filter.kind,
    status: disabledReason === null ? 'enabled' : 'disabled',
    disabled_reason: disabledReason,
    disabled_at: webhook.disabledAt,
    journal_number: Number(webhook.journalNumber),
    failing_since: webhook.failingSince,
    next_attempt_at: webhook.nextAttemptAt,
    previous_secret_until: webhook.previousUntil,
    ...(secret !== null && { secret }),
    created_at: webhook.createdAt,
  };
}

const deliveryView = z.object({
  object: z.literal('delivery'),
  number: z.int().describe('1, 2, 3 … in the order of the deliveries of the webhook.'),
  event_id: z.string().describe('The `webhook-id` of the message.'),
  type: z.string(),
  journal_number: z.int(),
  state: z.enum(['pending', 'delivered']).describe('pending: it failed, or it is to be sent again.'),
  attempts: z.int(),
  attempted_at: instant.describe('When it was tried last.'),
  answer_status: z.int().nullable().describe('The status of the last answer; null: there was none.'),
  error: z
    .enum(['status', 'timeout', 'connection', 'too_large', 'refused'])
    .nullable()
    .describe('Why the last attempt failed; null: it did not.'),
  created_at: instant,
});

const errorOf = z.literal(deliveryView.shape.error.unwrap().options).nullable();

export function renderDelivery(delivery: DeliveryRecord): z.input<typeof deliveryView> {
  return {
    object: 'delivery',
    number: Number(delivery.number),
    event_id: delivery.eventId,
    type: delivery.type,
    journal_number: Number(delivery.journalNumber),
    state: delivery.delivered && !delivery.requested ? 'delivered' : 'pending',
    attempts: delivery.attempts,
    attempted_at: delivery.attemptedAt,
    answer_status: delivery.status,
    error: errorOf.parse(delivery.error),
    created_at: delivery.createdAt,
  };
}

const cursor = z.string().nullable().describe('Send it as `after` for the next page; null at the end.');

function pageOf<Item extends z.ZodType>(items: Item) {
  return z.object({ object: z.literal('list'), items: z.array(items), next: cursor });
}

export const WEBHOOK_VIEWS = {
  Webhook: webhookView,
  WebhookPage: pageOf(webhookView),
  Delivery: deliveryView,
  DeliveryPage: pageOf(deliveryView),
};
