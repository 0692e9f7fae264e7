// Requests about webhooks: register, change and delete them, rotate their secrets, and repeat a delivery. Every POST honors
// an idempotency key.
import { randomUUIDv7 } from 'node:crypto';
import type { z } from 'zod';
import type { ConnectionPool, Queryable } from '../../db/connection/connect.ts';
import { withTransaction } from '../../db/connection/transaction.ts';
import { type AdministrationAction, recordAdministration } from '../../db/ledger/administration.ts';
import {
  deleteWebhook,
  findKeyedRequest,
  insertKeyedRequest,
  insertWebhook,
  lockWebhooks,
  requestDelivery,
  rotateSecret,
  updateWebhook,
} from '../../db/ledger/webhooks.ts';
import { loadDelivery, loadWebhook, type WebhookRecord } from '../../db/queries/webhooks.ts';
import type { Ledger } from '../../domain/ledger.ts';
import { createSecret } from '../../render/webhook.ts';
import { isUuid } from '../../validation.ts';
import { Problem } from '../http/problem.ts';
import { complainOfUrl } from '../webhooks/target.ts';
import type { createWebhookSchema, rotateSecretSchema, updateWebhookSchema } from './event-schemas.ts';
import type { Reads } from './reads.ts';
import type { Answer, RequestContext } from './route.ts';
import { fingerprintOf, parseIdempotencyKey, REPLAYED } from './submission.ts';
import { renderDelivery, renderWebhook } from './webhook-views.ts';

/** Of one ledger. */
export const WEBHOOKS_MAX = 100;

export type WebhookParts = {
  readonly lookUps: Reads;
  readonly changes: Reads;
  /** Whether webhooks may be sent to private addresses, and without TLS. */
  readonly allowPrivate: boolean;
  /** Called after a change, so that this process acts on it at once. */
  readonly onChange: () => void;
};
type Context<Body = unknown> = Omit<RequestContext<unknown, Body>, 'query'>;

export async function create(
  parts: WebhookParts,
  context: Context<z.output<typeof createWebhookSchema>>,
): Promise<Answer> {
  const { ledger, body } = context;
  refuseUrl(parts, body.url);
  const secret = createSecret();
  const webhook = {
    id: randomUUIDv7(),
    url: body.url,
    description: body.description ?? null,
    filter: { types: body.types ?? null, account: body.account ?? null, kind: body.kind ?? null },
    secret,
  };
  const created = await once(parts, context, ['webhook', body], async (connection) => {
    // Serializes the additions without a key too.
    await lockWebhooks(connection, ledger);
    if (!(await insertWebhook(connection, ledger, webhook, WEBHOOKS_MAX))) {
      throw new Problem('too_many_webhooks', `The ledger has ${WEBHOOKS_MAX} webhooks: delete one.`);
    }
    await record(connection, context, 'webhook.created', webhook.id, { url: originOf(body.url) });
    return { endpointId: webhook.id, secret, secretNumber: 1 };
  });
  const shown = await load(parts, context, created.endpointId);
  return {
    status: 201,
    headers: { Location: `/webhooks/${shown.id}`, ...(created.isReplay && REPLAYED) },
    json: renderWebhook(shown, created.secret),
  };
}

export async function change(
  parts: WebhookParts,
  context: Context<z.output<typeof updateWebhookSchema>>,
): Promise<Answer> {
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

export async function remove(parts: WebhookParts, context: Context): Promise<Answer> {
  await write(parts, context, 'webhook.deleted', async (connection, id) => {
    if (!(await deleteWebhook(connection, context.ledger, id))) throw webhookNotFound();
  });
  return { status: 204 };
}

export async function rotate(
  parts: WebhookParts,
  context: Context<z.output<typeof rotateSecretSchema>>,
): Promise<Answer> {
  const { ledger, body } = context;
  const secret = createSecret();
  const id = idOf(context);
  const rotated = await once(parts, context, ['rotate-secret', id, body], async (connection) => {
    const secretNumber = await rotateSecret(connection, ledger, id, { secret, overlapSeconds: body.overlap });
    if (secretNumber === undefined) throw webhookNotFound();
    await record(connection, context, 'webhook.secret_rotated', id);
    return { endpointId: id, secret, secretNumber };
  });
  return {
    status: 200,
    ...(rotated.isReplay && { headers: REPLAYED }),
    json: renderWebhook(await load(parts, context, id), rotated.secret),
  };
}

export async function redeliver(parts: WebhookParts, context: Context): Promise<Answer> {
  const { ledger, caller, parameters } = context;
  const webhook = await find(parts, context);
  const text = parameters[1] ?? '';
  const number = isNumber(text) ? BigInt(text) : 0n;
  const deliveryNotFound = (): Problem =>
    new Problem('delivery_not_found', 'The webhook has no such delivery, or no longer.');
  const requested = await once(parts, context, ['redeliver', webhook.id, String(number)], async (connection) => {
    if (webhook.disabledReason !== null) {
      throw new Problem('webhook_disabled', 'Enable the webhook first: PATCH it with the status enabled.');
    }
    if (!(await requestDelivery(connection, ledger, webhook.id, number))) throw deliveryNotFound();
    return { endpointId: webhook.id, secret: null, secretNumber: null };
  });
  const delivery = await parts.lookUps.run(
    caller,
    async (pool) => await loadDelivery(pool, ledger, webhook.id, number),
  );
  if (!delivery) throw deliveryNotFound();
  return { status: 202, ...(requested.isReplay && { headers: REPLAYED }), json: renderDelivery(delivery) };
}

/** What a request did. `secret`: the one that it made; null: it made none, or another one made a later one. */
type Done = { readonly endpointId: string; readonly secret: string | null };

/**
 * Runs the work of a POST in a transaction. A request that was sent before with the same idempotency key does nothing
 * again. Throws a problem if the key was used for another request.
 */
async function once(
  parts: WebhookParts,
  context: Context,
  content: readonly unknown[],
  work: (connection: Queryable) => Promise<Done & { readonly secretNumber: number | null }>,
): Promise<Done & { readonly isReplay: boolean }> {
  const { ledger, headers } = context;
  const key = parseIdempotencyKey(headers);
  const fingerprint = fingerprintOf(content);
  const done = await inTransaction(parts, context, async (connection) => {
    if (key === null) return { ...(await work(connection)), isReplay: false };
    await lockWebhooks(connection, ledger);
    const earlier = await findKeyedRequest(connection, ledger, key);
    if (!earlier) {
      const { endpointId, secret, secretNumber } = await work(connection);
      await insertKeyedRequest(connection, ledger, { key, fingerprint, endpointId, secretNumber });
      return { endpointId, secret, isReplay: false };
    }
    if (!earlier.fingerprint.equals(fingerprint)) {
      throw new Problem('idempotency_key_reused', 'The key was used for another request; choose a new one.');
    }
    return { ...earlier, isReplay: true };
  });
  parts.onChange();
  return done;
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

export async function find(parts: WebhookParts, context: Context): Promise<WebhookRecord> {
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

/** Whether a text is the number of a delivery. */
export function isNumber(text: string): boolean {
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
