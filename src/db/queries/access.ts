// Reads who may use the service: keys, and the rule of approval of each ledger.
import { type AccessLimits, isScope, type Principal } from '../../domain/access.ts';
import type { Queryable } from '../connection/connect.ts';

/** A key that is valid now. */
export type ActiveKey = {
  readonly principal: Principal & { readonly id: string };
  readonly secretDigest: Buffer;
  /** The secret before the last rotation, and for how long it is valid. Null: there is none. */
  readonly previous: { readonly digest: Buffer; readonly remainingMs: number } | null;
  /** Null: for ever. */
  readonly remainingMs: number | null;
  readonly clientCertificate: string | null;
};

export type AccessState = {
  readonly version: bigint;
  /** Whether any key was ever created. Then every request must be authenticated. */
  readonly hasKeys: boolean;
  readonly keys: readonly ActiveKey[];
  /** The amounts above which funding and overdraft limits need an approval, by the id of the ledger. */
  readonly approvalAbove: ReadonlyMap<number, bigint>;
};

export async function loadAccessVersion(connection: Queryable): Promise<bigint> {
  const result = await connection.query<{ version: bigint }>({
    name: 'load access version',
    text: 'select version from access_state',
    values: [],
  });
  return result.rows[0]?.version ?? 0n;
}

/** The columns of a key's limits. */
export type LimitsRow = {
  account_prefix: string | null;
  amount_max: bigint | null;
  daily_amount_max: bigint | null;
  requests_per_second: number | null;
};

type KeyRow = LimitsRow & {
  id: string;
  ledger: string | null;
  scopes: string[];
  client_certificate: string | null;
  secret_digest: Buffer;
  previous_digest: Buffer | null;
  previous_ms: number | null;
  remaining_ms: number | null;
};

/** All valid keys. The version is read first, so that a later change causes another load. */
export async function loadAccess(connection: Queryable): Promise<AccessState> {
  const version = await loadAccessVersion(connection);
  const found = await connection.query<KeyRow>({
    name: 'load access keys',
    text: `
      select api_keys.id, ledgers.name as ledger, scopes, account_prefix, amount_max, daily_amount_max,
        requests_per_second, client_certificate, secret_digest,
        case when previous_until > now() then previous_digest end as previous_digest,
        (extract(epoch from previous_until - now()) * 1000)::float8 as previous_ms,
        (extract(epoch from expires_at - now()) * 1000)::float8 as remaining_ms
      from api_keys
      left join ledgers on ledgers.id = api_keys.ledger_id
      where revoked_at is null and (expires_at is null or expires_at > now())
        -- A key of a ledger that does not exist would otherwise be a key of all.
        and (api_keys.ledger_id is null or ledgers.id is not null)`,
    values: [],
  });
  const any = await connection.query<{ has_keys: boolean }>({
    name: 'has keys',
    text: 'select exists (select from api_keys) as has_keys',
    values: [],
  });
  const rules = await connection.query<{ id: number; approval_above: bigint }>({
    name: 'load approval rules',
    text: 'select id, approval_above from ledgers where approval_above is not null',
    values: [],
  });
  return {
    version,
    hasKeys: any.rows[0]?.has_keys ?? true,
    keys: found.rows.map(toActiveKey),
    approvalAbove: new Map(rules.rows.map((row) => [row.id, row.approval_above])),
  };
}

function toActiveKey(row: KeyRow): ActiveKey {
  const scopes = new Set(row.scopes.filter(isScope));
  return {
    principal: { id: row.id, ledger: row.ledger, scopes, limits: toLimits(row) },
    secretDigest: row.secret_digest,
    previous: row.previous_digest === null ? null : { digest: row.previous_digest, remainingMs: row.previous_ms ?? 0 },
    remainingMs: row.remaining_ms,
    clientCertificate: row.client_certificate,
  };
}

export function toLimits(row: LimitsRow): AccessLimits {
  return {
    accountPrefix: row.account_prefix,
    amountMax: row.amount_max,
    dailyAmountMax: row.daily_amount_max,
    requestsPerSecond: row.requests_per_second,
  };
}

/** Whether a key was revoked. The callers of tokens have no keys. */
export async function isRevoked(connection: Queryable, id: string): Promise<boolean> {
  const found = await connection.query('select from api_keys where id = $1::text and revoked_at is not null', [id]);
  return found.rowCount === 1;
}
