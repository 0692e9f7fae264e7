// Examples of webhooks.
import { AT, type Example, id, list, problem, type View } from './parts.ts';

const HOOK = id(20);
const SECRET = `whsec_${'A'.repeat(32)}`;

const webhook = (more: Partial<View<'Webhook'>> = {}): View<'Webhook'> => ({
  object: 'webhook',
  id: HOOK,
  url: 'https://hooks.example.com/gopherpay',
  description: null,
  types: ['transfer.completed', 'transfer.failed'],
  account: null,
  kind: null,
  status: 'enabled',
  disabled_reason: null,
  disabled_at: null,
  journal_number: 17,
  failing_since: null,
  next_attempt_at: null,
  previous_secret_until: null,
  created_at: AT,
  ...more,
});

/** A webhook with its secret, which comes before the time of its creation. */
const withSecret = ({ created_at, ...others }: View<'Webhook'>): View<'Webhook'> => ({
  ...others,
  secret: SECRET,
  created_at,
});

const STOPPED = webhook({ status: 'disabled', disabled_reason: 'paused', disabled_at: AT });
const ROTATED = webhook({ ...STOPPED, previous_secret_until: AT });

export const WEBHOOK_EXAMPLES: readonly Example[] = [
  {
    operationId: 'createWebhook',
    name: 'transfers',
    headers: { 'Idempotency-Key': 'transfers-hook' },
    body: { url: 'https://hooks.example.com/gopherpay', types: ['transfer.completed', 'transfer.failed'] },
    status: 201,
    answer: withSecret(webhook()),
  },
  { operationId: 'listWebhooks', name: 'all', status: 200, answer: list([webhook()]) },
  { operationId: 'getWebhook', name: 'one', parameters: { id: HOOK }, status: 200, answer: webhook() },
  {
    operationId: 'updateWebhook',
    name: 'stop',
    parameters: { id: HOOK },
    body: { status: 'disabled' },
    status: 200,
    answer: STOPPED,
  },
  {
    operationId: 'rotateWebhookSecret',
    name: 'anHour',
    parameters: { id: HOOK },
    headers: { 'Idempotency-Key': 'rotation-1' },
    body: { overlap: 3600 },
    status: 200,
    answer: withSecret(ROTATED),
  },
  { operationId: 'listDeliveries', name: 'none', parameters: { id: HOOK }, status: 200, answer: list([]) },
  {
    operationId: 'redeliver',
    name: 'disabled',
    parameters: { id: HOOK, number: '1' },
    status: 409,
    answer: problem('webhook_disabled', {
      requestId: id(21),
      status: 409,
      title: 'The webhook is disabled',
      detail: 'Enable the webhook first: PATCH it with the status enabled.',
    }),
  },
  { operationId: 'deleteWebhook', name: 'one', parameters: { id: HOOK }, status: 204 },
];
