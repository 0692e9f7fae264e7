// Writes webhooks as callers change them: their endpoints, secrets and state, and requests to send a delivery again.
import type { EventFilter } from '../../domain/event.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { journalEnd } from '../queries/journal-end.ts';

export type NewWebhook = {
  readonly id: string;
  readonly url: string;
  readonly description: string | null;
  readonly filter: EventFilter;
  readonly secret: string;
};

/** The first of two numbers of an advisory lock; the second is the ledger. */
const LOCK_ID = 38;

/** A request about webhooks with an idempotency key. The fingerprint is that of its content. */
export type KeyedRequest = { readonly key: string; readonly fingerprint: Uint8Array };

/** `secret`: that which the request made, if it is the endpoint's secret of now. */
export type EarlierRequest = {
  readonly endpointId: string;
  readonly fingerprint: Buffer;
  readonly secret: string | null;
};

/**
 * Serializes additions, and requests with a key, until the end of the transaction: no two of them count the endpoints, or
 * look for the key, at the same time.
 */
export async function lockWebhooks(connection: Queryable, ledger: Ledger): Promise<void> {
  await connection.query('select pg_advisory_xact_lock($1::integer, $2::integer)', [LOCK_ID, ledger.id]);
}

/** The request that used a key first. Call lockWebhooks() before. */
export async function findKeyedRequest(
  connection: Queryable,
  ledger: Ledger,
  key: string,
): Promise<EarlierRequest | undefined> {
  const found = await connection.query<{ endpoint_id: string; fingerprint: Buffer; secret: string | null }>(
    `select endpoint_id, fingerprint, secret
     from webhook_keys
     left join webhook_endpoints
       on webhook_endpoints.ledger_id = webhook_keys.ledger_id and webhook_endpoints.id = endpoint_id
         and webhook_endpoints.secret_number = webhook_keys.secret_number
     where webhook_keys.ledger_id = $1::integer and key = $2::text`,
    [ledger.id, key],
  );
  const [row] = found.rows;
  return row && { endpointId: row.endpoint_id, fingerprint: row.fingerprint, secret: row.secret };
}

/** Stores the key of a request. `secretNumber`: of the secret that it made; null: it made none. */
export async function insertKeyedRequest(
  connection: Queryable,
  ledger: Ledger,
  request: KeyedRequest & { readonly endpointId: string; readonly secretNumber: number | null },
): Promise<void> {
  await connection.query(
    `insert into webhook_keys (ledger_id, endpoint_id, secret_number, key, fingerprint)
     values ($1::integer, $2::uuid, $3::integer, $4::text, $5::bytea)`,
    [ledger.id, request.endpointId, request.secretNumber, request.key, Buffer.from(request.fingerprint)],
  );
}

/**
 * Adds an endpoint whose line begins at the end of the journal. Returns false, and adds nothing, if the ledger has
 * `endpointsMax` of them. Call lockWebhooks() before.
 */
export async function insertWebhook(
  connection: Queryable,
  ledger: Ledger,
  webhook: NewWebhook,
  endpointsMax: number,
): Promise<boolean> {
  const { filter } = webhook;
  const inserted = await connection.query(
    `insert into webhook_endpoints (ledger_id, id, url, description, types, account, kind, secret)
     select ledger_id, $2::uuid, $3::text, $4::text, $5::text[], $6::text, $7::text, $8::text
     from journal_head
     where ledger_id = $1::integer
       and (select count(*) from webhook_endpoints where ledger_id = $1::integer) < $9::integer`,
    [
      ledger.id,
      webhook.id,
      webhook.url,
      webhook.description,
      filter.types,
      filter.account,
      filter.kind,
      webhook.secret,
      endpointsMax,
    ],
  );
  if (inserted.rowCount !== 1) return false;
  const end = await connection.query<{ number: bigint }>(`select number from ${journalEnd('$1::integer')} as head`, [
    ledger.id,
  ]);
  await connection.query(
    `insert into webhook_cursors (ledger_id, endpoint_id, journal_number)
     values ($1::integer, $2::uuid, $3::bigint)`,
    [ledger.id, webhook.id, end.rows[0]?.number ?? 0n],
  );
  return true;
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
  // The clock is read first: a distributed engine refuses an update that reads it beside columns.
  const time = await connection.query<{ now: string }>('select now()');
  const updated = await connection.query(
    `update webhook_endpoints
     set url = coalesce($3::text, url),
       description = case when $4::boolean then $5::text else description end,
       types = case when $6::boolean then $7::text[] else types end,
       account = case when $8::boolean then $9::text else account end,
       kind = case when $10::boolean then $11::text else kind end,
       disabled_reason = case when $12::boolean then null when not $12::boolean then coalesce(disabled_reason, 'paused') else disabled_reason end,
       disabled_at = case when $12::boolean then null when not $12::boolean then coalesce(disabled_at, $13::timestamptz) else disabled_at end
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
      time.rows[0]?.now,
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
 * Gives an endpoint a new secret; the previous one signs too for `overlapSeconds`. Returns the number of the secret;
 * undefined: there is no such endpoint.
 */
export async function rotateSecret(
  connection: Queryable,
  ledger: Ledger,
  id: string,
  { secret, overlapSeconds }: { secret: string; overlapSeconds: number },
): Promise<number | undefined> {
  const updated = await connection.query<{ secret_number: number }>(
    `update webhook_endpoints
     set previous_secret = secret, previous_until = now() + $4::integer * interval '1 second', secret = $3::text,
       secret_number = secret_number + 1
     where ledger_id = $1::integer and id = $2::uuid
     returning secret_number`,
    [ledger.id, id, secret, overlapSeconds],
  );
  const [row] = updated.rows;
  if (row) await noteChange(connection, ledger, id, { triesAtOnce: false, enabled: undefined });
  return row?.secret_number;
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
