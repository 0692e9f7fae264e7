// The statements about ledgers. A ledger is never renamed or deleted.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';

export type LedgerRecord = {
  readonly name: string;
  readonly createdAt: string;
  /** The time of its test clock. Null: it has the real clock. */
  readonly clock: string | null;
};

/** The result of a request to create a ledger. `full`: LEDGERS_MAX is reached. */
export type LedgerCreation =
  | { readonly result: 'created' | 'replayed'; readonly ledger: Ledger; readonly record: LedgerRecord }
  | { readonly result: 'exists' | 'full' }
  /** An earlier request with this key created this ledger. */
  | { readonly result: 'key_reused'; readonly name: string };

/** Ledgers are never deleted, so their number is bounded; a process can remember all of them. */
export const LEDGERS_MAX = 100_000;

/** A request to create a ledger. */
export type LedgerRequest = {
  readonly name: string;
  /** The first time of its test clock; undefined: the time of its creation. Null: the ledger has the real clock. */
  readonly testClock: { readonly start: string | undefined } | null;
  readonly idempotencyKey: string | null;
};

type LedgerRow = { name: string; created_at: string; clock: string | null };

/** Any number that nothing else locks in this database. */
const CREATE_LOCK_ID = 4_115_086_301_217n;
/** The first of two numbers, of which the second is a name's hash, or an id. */
const NAME_LOCK_ID = 411_508_630;
const ID_LOCK_ID = 411_508_631;

/** The ledgers of these names, in no order; unknown names are omitted. */
export async function loadLedgers(connection: Queryable, names: readonly string[]): Promise<Ledger[]> {
  const result = await connection.query<{ id: number; name: string; has_test_clock: boolean }>({
    name: 'load ledgers',
    text: `
      select id, name, clock_start is not null as has_test_clock
      from ledgers
      where name = any($1::text[])`,
    values: [names],
  });
  return result.rows.map(({ id, name, has_test_clock: hasTestClock }) => toLedger(id, name, hasTestClock));
}

/** At most `limit` ledgers in order of name, after a name. */
export async function listLedgers(
  connection: Queryable,
  page: { limit: number; after: string | null; ascending: boolean },
): Promise<LedgerRecord[]> {
  const [comparison, direction] = page.ascending ? ['>', 'asc'] : ['<', 'desc'];
  const result = await connection.query<LedgerRow>(
    `select name, created_at, clock
     from ledgers
     left join journal_head on ledger_id = id
     where $1::text is null or name ${comparison} $1::text
     order by name ${direction}
     limit $2::integer`,
    [page.after, page.limit],
  );
  return result.rows.map(toRecord);
}

/** A ledger as callers see it; undefined if the name is unknown. */
export async function loadLedgerRecord(connection: Queryable, name: string): Promise<LedgerRecord | undefined> {
  const result = await connection.query<LedgerRow>({
    name: 'load ledger record',
    text: `
      select name, created_at, clock
      from ledgers
      left join journal_head on ledger_id = id
      where name = $1::text`,
    values: [name],
  });
  return result.rows.map(toRecord)[0];
}

/** SQL: when a test clock starts, which is when the ledger is created if the request names no time. */
const CLOCK_START = (isTest: string, start: string, createdAt: string) =>
  `case when ${isTest}::boolean then coalesce(${start}::timestamptz, ${createdAt}) end`;

/** Creates a ledger with an empty journal. Run it in a transaction. */
export async function createLedger(
  connection: Queryable,
  { name, testClock, idempotencyKey }: LedgerRequest,
): Promise<LedgerCreation> {
  await lockLedgerName(connection, name);
  await connection.query('select pg_advisory_xact_lock($1::bigint)', [CREATE_LOCK_ID]);
  const found = await connection.query<LedgerRow & { id: number; idempotency_key: string | null; is_same: boolean }>(
    `select id, name, created_at, clock, idempotency_key,
       name = $1::text and clock_start is not distinct from ${CLOCK_START('$3', '$4', 'created_at')} as is_same
     from ledgers
     join journal_head on ledger_id = id
     where name = $1::text or idempotency_key = $2::text`,
    [name, idempotencyKey, testClock !== null, testClock?.start],
  );
  const keyed = found.rows.find((row) => idempotencyKey !== null && row.idempotency_key === idempotencyKey);
  if (keyed) {
    return keyed.is_same
      ? { result: 'replayed', ledger: toLedger(keyed.id, name, keyed.clock !== null), record: toRecord(keyed) }
      : { result: 'key_reused', name: keyed.name };
  }
  if (found.rows.length > 0) return { result: 'exists' };
  const id = await reserveLedgerId(connection);
  if (id > LEDGERS_MAX) return { result: 'full' };
  // Citus refuses the functions of the clock in an insert of several nodes.
  const start = await connection.query<{ clock: string | null }>(
    `select ${CLOCK_START('$1', '$2', 'now()')} as clock`,
    [testClock !== null, testClock?.start],
  );
  const inserted = await connection.query<LedgerRow & { id: number }>(
    `insert into ledgers (id, name, idempotency_key, clock_start)
     values ($1::integer, $2::text, $3::text, $4::timestamptz)
     returning id, name, created_at, clock_start as clock`,
    [id, name, idempotencyKey, start.rows[0]?.clock ?? null],
  );
  const [row] = inserted.rows;
  if (!row) throw new Error('A ledger was not inserted.');
  await connection.query(
    `insert into journal_head (ledger_id, opened_at, clock)
     values ($1::integer, coalesce($2::timestamptz, clock_timestamp()), $2::timestamptz)`,
    [row.id, row.clock],
  );
  return { result: 'created', ledger: toLedger(row.id, name, row.clock !== null), record: toRecord(row) };
}

/** Serializes creations of one name until the end of the transaction, of which an import may be a long one. */
export async function lockLedgerName(connection: Queryable, name: string): Promise<void> {
  await connection.query('select pg_advisory_xact_lock($1::integer, hashtext($2::text))', [NAME_LOCK_ID, name]);
}

/**
 * An id that no ledger has: `wanted`, or one beyond all others. It is reserved until the end of the transaction, so that
 * creations and imports do not wait for each other. A row lock would need the right to update ledgers, which the role of the
 * service does not have.
 */
export async function reserveLedgerId(connection: Queryable, wanted: number | null = null): Promise<number> {
  if (wanted !== null && (await tryReserve(connection, wanted))) return wanted;
  for (let beyond = 1; ; beyond += 1) {
    const { rows } = await connection.query<{ id: number }>('select max(id) + $1::integer as id from ledgers', [
      beyond,
    ]);
    const id = rows[0]?.id ?? 1;
    if (await tryReserve(connection, id)) return id;
  }
}

async function tryReserve(connection: Queryable, id: number): Promise<boolean> {
  const locked = await connection.query<{ is_mine: boolean }>(
    'select pg_try_advisory_xact_lock($1::integer, $2::integer) as is_mine',
    [ID_LOCK_ID, id],
  );
  if (locked.rows[0]?.is_mine !== true) return false;
  // A statement of its own, which sees the rows of those that had the lock before.
  const found = await connection.query('select from ledgers where id = $1::integer', [id]);
  return found.rows.length === 0;
}

function toLedger(id: number, name: string, hasTestClock: boolean): Ledger {
  return hasTestClock ? { id, name, hasTestClock } : { id, name };
}

function toRecord(row: LedgerRow): LedgerRecord {
  return { name: row.name, createdAt: row.created_at, clock: row.clock };
}
