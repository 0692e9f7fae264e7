// The statements about ledgers. A ledger is never renamed or deleted.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';

export type LedgerRecord = { readonly name: string; readonly createdAt: string };

/** The result of a request to create a ledger. `full`: LEDGERS_MAX is reached. */
export type LedgerCreation =
  | { readonly result: 'created' | 'replayed'; readonly ledger: Ledger; readonly record: LedgerRecord }
  | { readonly result: 'exists' | 'full' }
  /** An earlier request with this key created this ledger. */
  | { readonly result: 'key_reused'; readonly name: string };

/** Ledgers are never deleted, so their number is bounded; a process can remember all of them. */
export const LEDGERS_MAX = 100_000;

/** Any number that nothing else locks in this database. */
const CREATE_LOCK_ID = 4_115_086_301_217n;

/** The ledgers of these names, in no order; unknown names are omitted. */
export async function loadLedgers(connection: Queryable, names: readonly string[]): Promise<Ledger[]> {
  const result = await connection.query<Ledger>({
    name: 'load ledgers',
    text: `
      select id, name
      from ledgers
      where name = any($1::text[])`,
    values: [names],
  });
  return result.rows.map(({ id, name }) => ({ id, name }));
}

/** At most `limit` ledgers in order of name, after a name. */
export async function listLedgers(
  connection: Queryable,
  page: { limit: number; after: string | null; ascending: boolean },
): Promise<LedgerRecord[]> {
  const [comparison, direction] = page.ascending ? ['>', 'asc'] : ['<', 'desc'];
  const result = await connection.query<{ name: string; created_at: string }>(
    `select name, created_at
     from ledgers
     where $1::text is null or name ${comparison} $1::text
     order by name ${direction}
     limit $2::integer`,
    [page.after, page.limit],
  );
  return result.rows.map(toRecord);
}

/** A ledger as callers see it; undefined if the name is unknown. */
export async function loadLedgerRecord(connection: Queryable, name: string): Promise<LedgerRecord | undefined> {
  const result = await connection.query<{ name: string; created_at: string }>({
    name: 'load ledger record',
    text: `
      select name, created_at
      from ledgers
      where name = $1::text`,
    values: [name],
  });
  return result.rows.map(toRecord)[0];
}

/** Creates a ledger with an empty journal. Run it in a transaction. */
export async function createLedger(
  connection: Queryable,
  { name, idempotencyKey }: { name: string; idempotencyKey: string | null },
): Promise<LedgerCreation> {
  // The lock serializes creations, so that two of them do not take the same id. A row lock would need the right to
  // update ledgers, which the role of the service does not have.
  await connection.query('select pg_advisory_xact_lock($1::bigint)', [CREATE_LOCK_ID]);
  const found = await connection.query<Ledger & { created_at: string; idempotency_key: string | null }>(
    `select id, name, created_at, idempotency_key
     from ledgers
     where name = $1::text or idempotency_key = $2::text`,
    [name, idempotencyKey],
  );
  const keyed = found.rows.find((row) => idempotencyKey !== null && row.idempotency_key === idempotencyKey);
  if (keyed) {
    return keyed.name === name
      ? { result: 'replayed', ledger: { id: keyed.id, name }, record: toRecord(keyed) }
      : { result: 'key_reused', name: keyed.name };
  }
  if (found.rows.length > 0) return { result: 'exists' };
  const inserted = await connection.query<{ id: number; name: string; created_at: string }>(
    `insert into ledgers (id, name, idempotency_key)
     select last.id + 1, $1::text, $2::text
     from (select max(id) as id from ledgers) as last
     where last.id < $3::integer
     returning id, name, created_at`,
    [name, idempotencyKey, LEDGERS_MAX],
  );
  const [row] = inserted.rows;
  if (!row) return { result: 'full' };
  await connection.query('insert into journal_head (ledger_id) values ($1::integer)', [row.id]);
  return { result: 'created', ledger: { id: row.id, name }, record: toRecord(row) };
}

function toRecord(row: { name: string; created_at: string }): LedgerRecord {
  return { name: row.name, createdAt: row.created_at };
}
