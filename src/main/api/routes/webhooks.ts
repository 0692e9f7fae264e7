// The routes of webhooks: register, show, change and delete them, rotate their secrets, list deliveries and repeat one.
import { listDeliveries, listWebhooks } from '../../../db/queries/webhooks.ts';
import { isUuid } from '../../../validation.ts';
import { createWebhookSchema, listWebhooksSchema, rotateSecretSchema, updateWebhookSchema } from '../event-schemas.ts';
import { invalidCursor, renderRows } from '../pages.ts';
import { defineRoute, NO_BODY, type Route } from '../route.ts';
import { NO_PARAMETERS } from '../schemas.ts';
import { change, create, find, isNumber, redeliver, remove, rotate, type WebhookParts } from '../webhook-requests.ts';
import { renderDelivery, renderWebhook } from '../webhook-views.ts';

export function webhookRoutes(parts: WebhookParts): Route[] {
  return [...routesOfWebhooks(parts), ...routesOfOne(parts), ...routesOfDeliveries(parts)];
}

function routesOfWebhooks(parts: WebhookParts): Route[] {
  return [
    defineRoute({
      operationId: 'createWebhook',
      tag: 'Webhooks',
      method: 'POST',
      pattern: '/webhooks',
      wholeLedger: true,
      scope: 'webhooks:write',
      summary: 'Register a URL to which the events of the ledger are sent',
      query: NO_PARAMETERS,
      body: createWebhookSchema,
      answers: { 201: 'Webhook' },
      problems: ['url_not_allowed', 'too_many_webhooks', 'webhook_not_found'],
      handle: async (context) => await create(parts, context),
    }),
    defineRoute({
      operationId: 'listWebhooks',
      tag: 'Webhooks',
      method: 'GET',
      pattern: '/webhooks',
      wholeLedger: true,
      scope: 'webhooks:read',
      summary: 'Webhooks, by default the newest first',
      query: listWebhooksSchema,
      body: NO_BODY,
      answers: { 200: 'WebhookPage' },
      problems: [],
      handle: async ({ ledger, caller, query: { limit, after, order } }) => {
        if (after !== undefined && !isUuid(after)) throw invalidCursor();
        const page = { limit: limit + 1, after: after ?? null, newestFirst: order === 'newest' };
        const found = await parts.lookUps.run(caller, async (pool) => await listWebhooks(pool, ledger, page));
        return {
          status: 200,
          ...renderRows(
            found,
            limit,
            (webhook) => renderWebhook(webhook),
            ({ id }) => id,
          ),
        };
      },
    }),
  ];
}

function routesOfOne(parts: WebhookParts): Route[] {
  return [
    defineRoute({
      operationId: 'getWebhook',
      tag: 'Webhooks',
      method: 'GET',
      pattern: '/webhooks/:id',
      wholeLedger: true,
      scope: 'webhooks:read',
      summary: 'One webhook',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 200: 'Webhook' },
      problems: ['webhook_not_found'],
      handle: async (context) => ({ status: 200, json: renderWebhook(await find(parts, context)) }),
    }),
    defineRoute({
      operationId: 'updateWebhook',
      tag: 'Webhooks',
      method: 'PATCH',
      pattern: '/webhooks/:id',
      wholeLedger: true,
      scope: 'webhooks:write',
      summary: 'Change a webhook, stop it, or let it continue',
      query: NO_PARAMETERS,
      body: updateWebhookSchema,
      answers: { 200: 'Webhook' },
      problems: ['url_not_allowed', 'webhook_not_found'],
      handle: async (context) => await change(parts, context),
    }),
    defineRoute({
      operationId: 'deleteWebhook',
      tag: 'Webhooks',
      method: 'DELETE',
      pattern: '/webhooks/:id',
      wholeLedger: true,
      scope: 'webhooks:write',
      summary: 'Delete a webhook with its deliveries',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 204: null },
      problems: ['webhook_not_found'],
      handle: async (context) => await remove(parts, context),
    }),
    defineRoute({
      operationId: 'rotateWebhookSecret',
      tag: 'Webhooks',
      method: 'POST',
      pattern: '/webhooks/:id/rotate-secret',
      wholeLedger: true,
      scope: 'webhooks:write',
      summary: 'Make a new secret; the previous one signs too for a while',
      query: NO_PARAMETERS,
      body: rotateSecretSchema,
      bodyOptional: true,
      answers: { 200: 'Webhook' },
      problems: ['webhook_not_found'],
      handle: async (context) => await rotate(parts, context),
    }),
  ];
}

function routesOfDeliveries(parts: WebhookParts): Route[] {
  return [
    defineRoute({
      operationId: 'listDeliveries',
      tag: 'Webhooks',
      method: 'GET',
      pattern: '/webhooks/:id/deliveries',
      wholeLedger: true,
      scope: 'webhooks:read',
      summary: 'The last deliveries of a webhook, by default the newest first',
      query: listWebhooksSchema,
      body: NO_BODY,
      answers: { 200: 'DeliveryPage' },
      problems: ['webhook_not_found'],
      handle: async (context) => {
        const { limit, after, order } = context.query;
        if (after !== undefined && !isNumber(after)) throw invalidCursor();
        const { id } = await find(parts, context);
        const page = {
          limit: limit + 1,
          after: after === undefined ? null : BigInt(after),
          newestFirst: order === 'newest',
        };
        const found = await parts.lookUps.run(
          context.caller,
          async (pool) => await listDeliveries(pool, context.ledger, id, page),
        );
        return { status: 200, ...renderRows(found, limit, renderDelivery, ({ number }) => String(number)) };
      },
    }),
    defineRoute({
      operationId: 'redeliver',
      tag: 'Webhooks',
      method: 'POST',
      pattern: '/webhooks/:id/deliveries/:number/redeliver',
      wholeLedger: true,
      scope: 'webhooks:write',
      summary: 'Send a delivery once more, beside the line of the webhook',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 202: 'Delivery' },
      problems: ['webhook_not_found', 'delivery_not_found', 'webhook_disabled'],
      handle: async (context) => await redeliver(parts, context),
    }),
  ];
}
