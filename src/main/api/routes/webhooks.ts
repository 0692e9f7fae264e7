// The handlers of webhooks: register, show, change and delete them, rotate their secrets, list deliveries and repeat one.
import { randomUUIDv7 } from 'node:crypto';
import type { z } from 'zod';
import type { ConnectionPool, Queryable } from '../../../db/connection/connect.ts';
import { withTransaction } from '../../../db/connection/transaction.ts';
import { type AdministrationAction, recordAdministration } from '../../../db/ledger/administration.ts';
import {
  deleteWebhook,
  findWebhookByKey,
  insertWebhook,
  requestDelivery,
  rotateSecret,
  updateWebhook,
} from '../../../db/ledger/webhooks.ts';
import {
  listDeliveries,
  listWebhooks,
  loadDelivery,
  loadWebhook,
  type WebhookRecord,
} from '../../../db/queries/webhooks.ts';
import type { Ledger } from '../../../domain/ledger.ts';
import { createSecret } from '../../../render/webhook.ts';
import { isUuid } from '../../../validation.ts';
import { Problem } from '../../http/problem.ts';
import { complainOfUrl } from '../../webhooks/target.ts';
import { createWebhookSchema, listWebhooksSchema, rotateSecretSchema, updateWebhookSchema } from '../event-schemas.ts';
import { invalidCursor, renderRows } from '../pages.ts';
import type { Reads } from '../reads.ts';
import { type Answer, defineRoute, NO_BODY, type RequestContext, type Route } from '../route.ts';
import { NO_PARAMETERS } from '../schemas.ts';
import { fingerprintOf, parseIdempotencyKey, REPLAYED } from '../submission.ts';
import { renderDelivery, renderWebhook } from '../webhook-views.ts';

/** Of one ledger. */
export const WEBHOOKS_MAX = 100;

type WebhookParts = {
  readonly lookUps: Reads;
  readonly changes: Reads;
  /** Whether webhooks may be sent to private addresses, and without TLS. */
  readonly allowPrivate: boolean;
  /** Called after a change, so that this process acts on it at once. */
  readonly onChange: () => void;
};
type Context<Body = unknown> = Omit<RequestContext<unknown, Body>, 'query'>;

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
      problems: ['url_not_allowed', 'too_many_webhooks'],
      handle: async (context) => await create(parts, context),
    }),
    defineRoute({
      operationId: 'listWebhooks',
      tag: 'Webhooks',
      method: 'GET',
      pattern: '/webhooks',
      wholeLedger: true,
      scope: 'webhooks:read',
      summary: 'Webhooks, oldest first',
      query: listWebhooksSchema,
      body: NO_BODY,
      answers: { 200: 'WebhookPage' },
      problems: [],
      handle: async ({ ledger, caller, query: { limit, after } }) => {
        if (after !== undefined && !isUuid(after)) throw invalidCursor();
        const page = { limit: limit + 1, after: after ?? null };
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
      handle: async (context) => {
        await write(parts, context, 'webhook.deleted', async (connection, id) => {
          if (!(await deleteWebhook(connection, context.ledger, id))) throw webhookNotFound();
        });
        return { status: 204 };
      },
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
      summary: 'The last deliveries of a webhook, newest first',
      query: listWebhooksSchema,
      body: NO_BODY,
      answers: { 200: 'DeliveryPage' },
      problems: ['webhook_not_found'],
      handle: async (context) => {
        const { limit, after } = context.query;
        if (after !== undefined && !isNumber(after)) throw invalidCursor();
        const { id } = await find(parts, context);
        const page = { limit: limit + 1, before: after === undefined ? null : BigInt(after) };
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

async function create(parts: WebhookParts, context: Context<z.output<typeof createWebhookSchema>>): Promise<Answer> {
  const { ledger, body, headers } = context;
  refuseUrl(parts, body.url);
  const key = parseIdempotencyKey(headers);
  const fingerprint = fingerprintOf(['webhook', body]);
  const secret = createSecret();
  const webhook = {
    id: randomUUIDv7(),
    url: body.url,
    description: body.description ?? null,
    filter: { types: body.types ?? null, account: body.account ?? null, kind: body.kind ?? null },
    secret,
    idempotency: key === null ? null : { key, fingerprint },
  };
  const created = await inTransaction(parts, context, async (connection) => {
    if (await insertWebhook(connection, ledger, webhook, WEBHOOKS_MAX)) {
      await record(connection, context, 'webhook.created', webhook.id, { url: originOf(body.url) });
      return { id: webhook.id, secret, isNew: true };
    }
    const earlier = key === null ? undefined : await findWebhookByKey(connection, ledger, key);
    if (!earlier) throw new Problem('too_many_webhooks', `The ledger has ${WEBHOOKS_MAX} webhooks: delete one.`);
    if (!earlier.fingerprint?.equals(fingerprint)) {
      throw new Problem('idempotency_key_reused', 'The key was used for another request; choose a new one.');
    }
    return { ...earlier, isNew: false };
  });
  parts.onChange();
  const shown = await load(parts, context, created.id);
  return {
    status: 201,
    headers: { Location: `/webhooks/${shown.id}`, ...(!created.isNew && REPLAYED) },
    json: renderWebhook(shown, created.secret),
  };
}

async function change(parts: WebhookParts, context: Context<z.output<typeof updateWebhookSchema>>): Promise<Answer> {
  const { ledger, body } = context;
  if (body.url !== undefined) refuseUrl(parts, body.url);
  const { url, description, types, account, kind, status } = body;
  const enabled = status === undefined ? undefined : status === 'enabled';
  const changed = { url, description, types, account, kind, enabled };
  const details = url === undefined ? {} : { url: originOf(url) };
  const id = await write(
    parts,
    context,
    'webhook.changed',
    async (connection, webhookId) => {
      if (!(await updateWebhook(connection, ledger, webhookId, changed))) throw webhookNotFound();
    },
    details,
  );
  return { status: 200, json: renderWebhook(await load(parts, context, id)) };
}

async function rotate(parts: WebhookParts, context: Context<z.output<typeof rotateSecretSchema>>): Promise<Answer> {
  const { ledger, body, headers } = context;
  const key = parseIdempotencyKey(headers);
  const rotation = { secret: createSecret(), overlapSeconds: body.overlap, key };
  const id = idOf(context);
  const rotated = await inTransaction(parts, context, async (connection) => {
    const result = await rotateSecret(connection, ledger, id, rotation);
    if (!result) throw webhookNotFound();
    if (result.isNew) await record(connection, context, 'webhook.secret_rotated', id);
    return result;
  });
  parts.onChange();
  return {
    status: 200,
    ...(!rotated.isNew && { headers: REPLAYED }),
    json: renderWebhook(await load(parts, context, id), rotated.secret),
  };
}

async function redeliver(parts: WebhookParts, context: Context): Promise<Answer> {
  const { ledger, caller, parameters } = context;
  const webhook = await find(parts, context);
  if (webhook.disabledReason !== null) {
    throw new Problem('webhook_disabled', 'Enable the webhook first: PATCH it with the status enabled.');
  }
  const text = parameters[1] ?? '';
  const number = isNumber(text) ? BigInt(text) : 0n;
  const delivery = await parts.changes.run(caller, async (pool) => {
    if (!(await requestDelivery(pool, ledger, webhook.id, number))) return undefined;
    return await loadDelivery(pool, ledger, webhook.id, number);
  });
  if (!delivery) throw new Problem('delivery_not_found', 'The webhook has no such delivery, or no longer.');
  parts.onChange();
  return { status: 202, json: renderDelivery(delivery) };
}

/** Runs a change of the webhook that the path names, and records it. Returns its id. */
async function write(
  parts: WebhookParts,
  context: Context,
  action: AdministrationAction,
  work: (connection: Queryable, id: string) => Promise<void>,
  details: Record<string, string> = {},
): Promise<string> {
  const id = idOf(context);
  await inTransaction(parts, context, async (connection) => {
    await work(connection, id);
    await record(connection, context, action, id, details);
  });
  parts.onChange();
  return id;
}

async function inTransaction<Result>(
  { changes }: WebhookParts,
  { caller }: Context,
  work: (connection: Queryable) => Promise<Result>,
): Promise<Result> {
  return await changes.run(caller, async (pool) => await withTransaction(pool, work));
}

/** Writes an act to the log of administration. Without keys there is no one to name. */
async function record(
  connection: Queryable,
  { ledger, principal }: Context,
  action: AdministrationAction,
  subject: string,
  details: Record<string, string> = {},
): Promise<void> {
  if (principal.id === null) return;
  await recordAdministration(connection, ledger, { action, actor: principal.id, subject, details });
}

async function find(parts: WebhookParts, context: Context): Promise<WebhookRecord> {
  return await load(parts, context, idOf(context));
}

async function load(
  { lookUps }: WebhookParts,
  { ledger, caller }: { ledger: Ledger; caller: string },
  id: string,
): Promise<WebhookRecord> {
  const webhook = await lookUps.run(caller, async (pool: ConnectionPool) => await loadWebhook(pool, ledger, id));
  if (!webhook) throw webhookNotFound();
  return webhook;
}

function idOf({ parameters: [id = ''] }: Context): string {
  if (!isUuid(id)) throw webhookNotFound();
  return id;
}

function isNumber(text: string): boolean {
  return /^\d{1,15}$/.test(text);
}

function refuseUrl({ allowPrivate }: WebhookParts, url: string): void {
  const complaint = complainOfUrl(url, { allowPrivate });
  if (complaint !== null) throw new Problem('url_not_allowed', `The URL ${complaint}.`);
}

/** A URL without its path and its query, which may contain a secret of the receiver. */
function originOf(url: string): string {
  return new URL(url).origin;
}

function webhookNotFound(): Problem {
  return new Problem('webhook_not_found', 'There is no webhook with this id.');
}
