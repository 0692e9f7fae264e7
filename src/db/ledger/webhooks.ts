// Writes webhooks as callers change them: their endpoints, secrets and state, and requests to send a delivery again.
import type { EventFilter } from '../../domain/event.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';

export type NewWebhook = {
  readonly id: string;
  readonly url: string;
  readonly description: string | null;
  readonly filter: EventFilter;
  readonly secret: string;
  readonly idempotency: { readonly key: string; readonly fingerprint: Uint8Array } | null;
};

/**
 * Adds an endpoint whose line begins at the end of the journal. Returns false, and adds nothing, if its idempotency key
 * was used, or if the ledger has `endpointsMax` of them.
 */
export async function insertWebhook(
  connection: Queryable,
  ledger: Ledger,
  webhook: NewWebhook,
  endpointsMax: number,
): Promise<boolean> {
  const { filter } = webhook;
  const inserted = await connection.query(
    `with inserted as (
       insert into webhook_endpoints (ledger_id, id, url, description, types, account, kind, secret, idempotency_key, fingerprint)
       select $1::integer, $2::uuid, $3::text, $4::text, $5::text[], $6::text, $7::text, $8::text, $9::text, $10::bytea
       where (select count(*) from webhook_endpoints where ledger_id = $1::integer) < $11::integer
       on conflict (ledger_id, idempotency_key) do nothing
       returning ledger_id, id
     )
     insert into webhook_cursors (ledger_id, endpoint_id, journal_number)
     select inserted.ledger_id, inserted.id, journal_head.number
     from inserted
     join journal_head on journal_head.ledger_id = inserted.ledger_id`,
    [
      ledger.id,
      webhook.id,
      webhook.url,
      webhook.description,
      filter.types,
      filter.account,
      filter.kind,
      webhook.secret,
      webhook.idempotency?.key,
      webhook.idempotency && Buffer.from(webhook.idempotency.fingerprint),
      endpointsMax,
    ],
  );
  return inserted.rowCount === 1;
}

/** The endpoint that the request with an idempotency key created, with its secret of now. */
export async function findWebhookByKey(
  connection: Queryable,
  ledger: Ledger,
  idempotencyKey: string,
): Promise<{ id: string; secret: string; fingerprint: Buffer | null } | undefined> {
  const found = await connection.query<{ id: string; secret: string; fingerprint: Buffer | null }>(
    'select id, secret, fingerprint from webhook_endpoints where ledger_id = $1::integer and idempotency_key = $2::text',
    [ledger.id, idempotencyKey],
  );
  return found.rows[0];
}

/** Undefined: as it is. */
export type WebhookChange = {
  readonly url: string | undefined;
  readonly description: string | null | undefined;
  readonly types: EventFilter['types'] | undefined;
  readonly account: EventFilter['account'] | undefined;
  readonly kind: EventFilter['kind'] | undefined;
  readonly enabled: boolean | undefined;
};

/**
 * Changes an endpoint. Returns false if there is none. The process that works on its line notices that within a heartbeat.
 * An endpoint that is enabled again, or gets another URL, is tried at once.
 */
export async function updateWebhook(
  connection: Queryable,
  ledger: Ledger,
  id: string,
  change: WebhookChange,
): Promise<boolean> {
  const isChanged = (name: keyof WebhookChange): boolean => change[name] !== undefined;
  const updated = await connection.query(
    `update webhook_endpoints
     set url = coalesce($3::text, url),
       description = case when $4::boolean then $5::text else description end,
       types = case when $6::boolean then $7::text[] else types end,
       account = case when $8::boolean then $9::text else account end,
       kind = case when $10::boolean then $11::text else kind end,
       disabled_reason = case $12::boolean when true then null when false then coalesce(disabled_reason, 'paused') else disabled_reason end,
       disabled_at = case $12::boolean when true then null when false then coalesce(disabled_at, now()) else disabled_at end
     where ledger_id = $1::integer and id = $2::uuid`,
    [
      ledger.id,
      id,
      change.url,
      isChanged('description'),
      change.description,
      isChanged('types'),
      change.types,
      isChanged('account'),
      change.account,
      isChanged('kind'),
      change.kind,
      change.enabled,
    ],
  );
  if (updated.rowCount !== 1) return false;
  const triesAtOnce = change.enabled === true || change.url !== undefined;
  await noteChange(connection, ledger, id, { triesAtOnce, enabled: change.enabled });
  return true;
}

/** `enabled`: undefined if it is as before. */
async function noteChange(
  connection: Queryable,
  ledger: Ledger,
  id: string,
  { triesAtOnce, enabled }: { triesAtOnce: boolean; enabled: boolean | undefined },
): Promise<void> {
  await connection.query(
    `update webhook_cursors
     set changed = true, disabled = not coalesce($4::boolean, not disabled), attempts = case when $3::boolean then 0 else attempts end,
       failing_since = case when $3::boolean then null else failing_since end,
       next_attempt_at = case when $3::boolean then '-infinity' else next_attempt_at end
     where ledger_id = $1::integer and endpoint_id = $2::uuid`,
    [ledger.id, id, triesAtOnce, enabled],
  );
}

/** Deletes an endpoint with its deliveries. Returns false if there is none. */
export async function deleteWebhook(connection: Queryable, ledger: Ledger, id: string): Promise<boolean> {
  const values = [ledger.id, id];
  const deleted = await connection.query(
    'delete from webhook_endpoints where ledger_id = $1::integer and id = $2::uuid',
    values,
  );
  // A process that is sending loses its claim with the cursor.
  await connection.query(
    'delete from webhook_cursors where ledger_id = $1::integer and endpoint_id = $2::uuid',
    values,
  );
  await connection.query(
    'delete from webhook_deliveries where ledger_id = $1::integer and endpoint_id = $2::uuid',
    values,
  );
  return deleted.rowCount === 1;
}

/**
 * Gives an endpoint a new secret; the previous one signs too for `overlapSeconds`. The request that rotated it last, sent
 * again with its key, changes nothing. Returns the secret of now; undefined: there is no such endpoint.
 */
export async function rotateSecret(
  connection: Queryable,
  ledger: Ledger,
  id: string,
  { secret, overlapSeconds, key }: { secret: string; overlapSeconds: number; key: string | null },
): Promise<{ secret: string; isNew: boolean } | undefined> {
  const found = await connection.query<{ secret: string; replayed: boolean }>(
    `select secret, rotation_key is not distinct from $3::text and $3::text is not null as replayed
     from webhook_endpoints
     where ledger_id = $1::integer and id = $2::uuid
     for update`,
    [ledger.id, id, key],
  );
  const [row] = found.rows;
  if (!row) return undefined;
  if (row.replayed) return { secret: row.secret, isNew: false };
  await connection.query(
    `update webhook_endpoints
     set previous_secret = secret, previous_until = now() + $4::integer * interval '1 second', secret = $3::text,
       rotation_key = $5::text
     where ledger_id = $1::integer and id = $2::uuid`,
    [ledger.id, id, secret, overlapSeconds, key],
  );
  await noteChange(connection, ledger, id, { triesAtOnce: false, enabled: undefined });
  return { secret, isNew: true };
}

/** Asks to have a delivery sent again. Returns false if there is none. */
export async function requestDelivery(
  connection: Queryable,
  ledger: Ledger,
  endpointId: string,
  number: bigint,
): Promise<boolean> {
  const updated = await connection.query(
    `update webhook_deliveries
     set requested = true
     where ledger_id = $1::integer and endpoint_id = $2::uuid and number = $3::bigint`,
    [ledger.id, endpointId, number],
  );
  return updated.rowCount === 1;
}
