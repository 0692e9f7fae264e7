// Makes keys in a test's database, as `gopherpay keys create` does.
import { type AccessLimits, NO_LIMITS, type Scope, SCOPES } from '../../src/domain/access.ts';
import type { Ledger } from '../../src/domain/ledger.ts';
import { digestOf, makeKeyId, makeSecret, renderKey } from '../../src/key-text.ts';

/** What runs a statement as the superuser. */
type Database = { readonly query: (sql: string, parameters?: unknown[]) => Promise<unknown> };

export type TestKey = { readonly id: string; readonly text: string; readonly headers: { authorization: string } };

type KeyOptions = {
  readonly scopes?: readonly Scope[];
  /** Null: every ledger. */
  readonly ledger?: Ledger | null;
  readonly limits?: Partial<AccessLimits>;
  /** An SQL interval. */
  readonly expiresIn?: string;
};

/** Makes a key of every ledger with all scopes, unless the options override it. A running service knows it within a second. */
export async function makeKey(database: Database, options: KeyOptions = {}): Promise<TestKey> {
  const { scopes = SCOPES, ledger = null, expiresIn = null } = options;
  const limits = { ...NO_LIMITS, ...options.limits };
  const [id, secret] = [makeKeyId(), makeSecret()];
  await database.query(
    `with bumped as (update access_state set version = version + 1)
     insert into api_keys (
       id, name, ledger_id, scopes, account_prefix, amount_max, daily_amount_max, requests_per_second, expires_at,
       secret_digest
     )
     values ($1, 'test', $2, $3, $4, $5, $6, $7, now() + $8::interval, $9)`,
    [
      id,
      ledger?.id ?? null,
      scopes,
      limits.accountPrefix,
      limits.amountMax,
      limits.dailyAmountMax,
      limits.requestsPerSecond,
      expiresIn,
      digestOf(secret),
    ],
  );
  return keyOf(id, secret);
}

export function keyOf(id: string, secret: string): TestKey {
  const text = renderKey({ id, secret });
  return { id, text, headers: { authorization: `Bearer ${text}` } };
}

export async function revoke(database: Database, { id }: TestKey): Promise<void> {
  await database.query(
    `with bumped as (update access_state set version = version + 1)
     update api_keys set revoked_at = now() where id = $1`,
    [id],
  );
}
