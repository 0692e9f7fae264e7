// Advances the test clock of a ledger.
import type { Ledger } from '../../domain/ledger.ts';
import type { IdempotencyKey } from '../../domain/transfer.ts';
import type { Queryable } from '../connection/connect.ts';
import { recordAdministration } from './administration.ts';
import { type KeyHolder, loadKeyHolders } from './intake.ts';

/**
 * The result of a request to advance a clock. `later`: the clock is past the instant. All but the first two change
 * nothing, if the caller rolls back.
 */
export type Advance =
  | { readonly result: 'advanced' | 'replayed' | 'real' }
  | { readonly result: 'later'; readonly clock: string }
  /** The key names this earlier request. */
  | { readonly result: 'key_reused'; readonly holder: KeyHolder };

/**
 * Advances the clock of a ledger to an instant, and records who did. The clock is in the head of the journal, so jobs and
 * advances wait for each other. Run it in a transaction.
 */
export async function advanceClock(
  connection: Queryable,
  ledger: Ledger,
  { to, actor, idempotency }: { to: string; actor: string | null; idempotency: IdempotencyKey | null },
): Promise<Advance> {
  // Keys are locked before the head, as in jobs.
  const holder = idempotency && (await claimKey(connection, ledger, idempotency, to));
  if (holder && !holder.fingerprint.equals(idempotency.fingerprint)) return { result: 'key_reused', holder };
  if (holder) return { result: 'replayed' };
  const heads = await connection.query<{ clock: string | null; is_later: boolean; is_reached: boolean }>(
    `select clock, clock > $2::timestamptz as is_later, clock = $2::timestamptz as is_reached
     from journal_head
     where ledger_id = $1::integer
     for no key update`,
    [ledger.id, to],
  );
  const { clock = null, is_later: isLater = false, is_reached: isReached = false } = heads.rows[0] ?? {};
  if (clock === null) return { result: 'real' };
  if (isLater) return { result: 'later', clock };
  if (isReached) return { result: 'advanced' };
  await connection.query('update journal_head set clock = $2::timestamptz where ledger_id = $1::integer', [
    ledger.id,
    to,
  ]);
  const act = { action: 'ledger.clock_advanced', subject: ledger.name, details: { from: clock, to } } as const;
  await recordAdministration(connection, ledger, { ...act, actor });
  return { result: 'advanced' };
}

/** Claims a key for an advance. Returns the holder of a key that is taken. */
async function claimKey(
  connection: Queryable,
  ledger: Ledger,
  { key, fingerprint }: IdempotencyKey,
  to: string,
): Promise<KeyHolder | null> {
  const claimed = await connection.query(
    `insert into idempotency_keys (ledger_id, key, fingerprint, clock)
     values ($1::integer, $2::text, $3::bytea, $4::timestamptz)
     on conflict (ledger_id, key) do nothing`,
    [ledger.id, key, Buffer.from(fingerprint), to],
  );
  if (claimed.rowCount === 1) return null;
  const [holder = null] = await loadKeyHolders(connection, ledger, [key]);
  return holder;
}
