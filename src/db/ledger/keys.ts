// The statements that write keys. Only the command line runs them: no route of the service does.
import type { AccessLimits, Scope } from '../../domain/access.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { type LimitsRow, toLimits } from '../queries/access.ts';

export type NewKey = {
  readonly id: string;
  readonly name: string;
  /** Null: every ledger. */
  readonly ledger: Ledger | null;
  readonly scopes: readonly Scope[];
  readonly limits: AccessLimits;
  /** Null: never. */
  readonly expiresInSeconds: number | null;
  readonly clientCertificate: string | null;
  readonly secretDigest: Buffer;
};

export type KeyRecord = {
  readonly id: string;
  readonly name: string;
  /** Null: every ledger. */
  readonly ledger: string | null;
  readonly scopes: readonly string[];
  readonly limits: AccessLimits;
  readonly state: 'active' | 'expired' | 'revoked';
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly revokedAt: string | null;
  /** Until when the secret before the last rotation is valid. */
  readonly previousUntil: string | null;
};

/** How many valid keys there may be: every process holds all of them in memory. */
export const KEYS_MAX = 10_000;

/** Adds a key. Returns null if there are KEYS_MAX. */
export async function insertKey(connection: Queryable, key: NewKey): Promise<KeyRecord | null> {
  const { limits } = key;
  const inserted = await connection.query(
    `insert into api_keys (
       id, name, ledger_id, scopes, account_prefix, amount_max, daily_amount_max, requests_per_second, expires_at,
       client_certificate, secret_digest
     )
     select $1::text, $2::text, $3::integer, $4::text[], $5::text, $6::bigint, $7::bigint, $8::integer,
       now() + $9::integer * interval '1 second', $10::text, $11::bytea
     where (select count(*) from api_keys where revoked_at is null) < $12::integer`,
    [
      key.id,
      key.name,
      key.ledger?.id ?? null,
      key.scopes,
      limits.accountPrefix,
      limits.amountMax,
      limits.dailyAmountMax,
      limits.requestsPerSecond,
      key.expiresInSeconds,
      key.clientCertificate,
      key.secretDigest,
      KEYS_MAX,
    ],
  );
  if (inserted.rowCount === 0) return null;
  return (await loadKey(connection, key.id)) ?? null;
}

/** Ends a key now. Returns whether it was valid until now. */
export async function revokeKey(connection: Queryable, id: string): Promise<boolean> {
  const revoked = await connection.query(
    'update api_keys set revoked_at = now() where id = $1::text and revoked_at is null',
    [id],
  );
  return revoked.rowCount === 1;
}

/** Gives a valid key a new secret; the present one stays valid for some seconds. Returns whether there is such a key. */
export async function rotateKey(
  connection: Queryable,
  id: string,
  { secretDigest, overlapSeconds }: { secretDigest: Buffer; overlapSeconds: number },
): Promise<boolean> {
  const rotated = await connection.query(
    `update api_keys
     set previous_digest = secret_digest, previous_until = now() + $3::integer * interval '1 second',
       secret_digest = $2::bytea
     where id = $1::text and revoked_at is null and (expires_at is null or expires_at > now())`,
    [id, secretDigest, overlapSeconds],
  );
  return rotated.rowCount === 1;
}

/** Sets or removes a ledger's rule of approval. */
export async function setApprovalRule(connection: Queryable, ledger: Ledger, above: bigint | null): Promise<void> {
  await connection.query('update ledgers set approval_above = $2::bigint where id = $1::integer', [ledger.id, above]);
}

/** Tells every process that keys or rules have changed. */
export async function bumpAccessVersion(connection: Queryable): Promise<void> {
  await connection.query('update access_state set version = version + 1');
}

const COLUMNS = `
  api_keys.id, api_keys.name, ledgers.name as ledger, scopes, account_prefix, amount_max, daily_amount_max,
  requests_per_second, api_keys.created_at, expires_at, revoked_at, previous_until,
  case when revoked_at is not null then 'revoked' when expires_at <= now() then 'expired' else 'active' end as state`;

type KeyRow = LimitsRow & {
  id: string;
  name: string;
  ledger: string | null;
  scopes: string[];
  created_at: string;
  expires_at: string | null;
  revoked_at: string | null;
  previous_until: string | null;
  state: KeyRecord['state'];
};

/** All keys, also ended ones, the oldest first; of one ledger, if it is named. */
export async function listKeys(connection: Queryable, ledger: Ledger | null): Promise<KeyRecord[]> {
  const found = await connection.query<KeyRow>(
    `select ${COLUMNS}
     from api_keys
     left join ledgers on ledgers.id = api_keys.ledger_id
     where $1::integer is null or ledger_id = $1::integer
     order by created_at, id`,
    [ledger?.id ?? null],
  );
  return found.rows.map(toRecord);
}

export async function loadKey(connection: Queryable, id: string): Promise<KeyRecord | undefined> {
  const found = await connection.query<KeyRow>(
    `select ${COLUMNS}
     from api_keys
     left join ledgers on ledgers.id = api_keys.ledger_id
     where api_keys.id = $1::text`,
    [id],
  );
  return found.rows.map(toRecord)[0];
}

function toRecord(row: KeyRow): KeyRecord {
  return {
    id: row.id,
    name: row.name,
    ledger: row.ledger,
    scopes: row.scopes,
    limits: toLimits(row),
    state: row.state,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    previousUntil: row.previous_until,
  };
}
