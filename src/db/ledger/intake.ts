// The statements of intake: they make transfers durable, and each key names one request.
import { toColumns } from '../../domain/job.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { IdempotencyKey, NewTransfer } from '../../domain/transfer.ts';
import type { Queryable } from '../connection/connect.ts';
import { isDistributed } from '../connection/distributed.ts';
import { type InsertedRow, insertPendingDistributed } from './intake-distributed.ts';
import type { HeldLease } from './leases.ts';
import { micros } from './locked-job.ts';
import { COLUMN_NAMES, COLUMN_VALUES, columnArrays, renderColumn, renderColumns } from '../queries/transfer-columns.ts';

/** The transfers of one request: one, or a group. The key names the transfer, or the group. */
export type StoredRequest = {
  readonly transfers: readonly NewTransfer[];
  readonly namedId: string;
  readonly idempotency: IdempotencyKey | null;
};

export type Inserted = {
  /** False if the lease was closed, has another session or has not entered the ledger: nothing was stored. */
  readonly leaseHeld: boolean;
  readonly createdAt: string;
  /** The same instant, in microseconds since the epoch. */
  readonly createdAtMicros: bigint;
};

/** What an idempotency key names: a transfer or group, an account, or an account with its opening transfer. */
export type KeyHolder = {
  readonly key: string;
  readonly transferId: string | null;
  readonly accountNumber: string | null;
  readonly fingerprint: Buffer;
  /** Null unless it names accounts. */
  readonly personalFingerprint: Buffer | null;
};

/** The time of a test clock, in statements for such ledgers only: to read it costs an intake of one transfer 24 µs. */
const TEST_CLOCK = {
  time: `time as materialized (
    select clock as created_at
    from journal_head
    where ledger_id = $1::integer
  ), `,
  column: 'created_at, ',
  join: `
    cross join time`,
  now: '(select created_at from time)',
};
const REAL_CLOCK: typeof TEST_CLOCK = { time: '', column: '', join: '', now: 'now()' };

// The lease's row of the ledger is locked until the commit, and counts the accepted transfers: see leases.ts.
const insertPendingBy = ({ time, column, join, now }: typeof TEST_CLOCK) => `
  with ${time}lease as materialized (
    select lease_id
    from ledger_leases
    where ledger_id = $1::integer and lease_id = $2::uuid and session = $3::integer and not closed
    for no key update
  ), keyed as (
    insert into idempotency_keys (ledger_id, transfer_id, key, fingerprint)
    select $1::integer, sent.id, sent.key, sent.fingerprint
    from unnest($4::uuid[], $5::text[], $6::bytea[]) as sent (id, key, fingerprint)
    cross join lease
    -- In order of the key, so that two processes with keys in common wait for each other instead of deadlocking.
    order by sent.key
    on conflict (ledger_id, key) do nothing
    returning transfer_id
  ), inserted as (
    insert into pending_transfers (ledger_id, lease_id, ${column}amount, currency, ${COLUMN_NAMES})
    select $1::integer, lease_id, ${column}amount, currency, ${COLUMN_VALUES}
    from unnest($7::uuid[], $8::bigint[], $9::text[], ${columnArrays(10)})
      as sent (keyed_id, amount, currency, ${COLUMN_NAMES})
    cross join lease${join}
    where keyed_id is null or keyed_id in (select transfer_id from keyed)
    returning id
  ), counted as (
    update ledger_leases
    set accepted_count = accepted_count + (select count(*) from inserted)
    from lease
    where ledger_leases.ledger_id = $1::integer and ledger_leases.lease_id = lease.lease_id
  )
  select exists (select from lease) as lease_held, ${now} as created_at, ${micros(now)} as created_at_micros`;

const INSERT_PENDING = insertPendingBy(REAL_CLOCK);
const INSERT_PENDING_BY_TEST_CLOCK = insertPendingBy(TEST_CLOCK);

/**
 * Makes the transfers of requests to a ledger durable under a lease, in one statement and one commit. Requests whose
 * key is taken are omitted.
 */
export async function insertPending(
  connection: Queryable,
  { ledger, lease }: { ledger: Ledger; lease: HeldLease },
  requests: readonly StoredRequest[],
): Promise<Inserted> {
  const keyed = requests.flatMap(({ idempotency, namedId }) => (idempotency ? [{ ...idempotency, namedId }] : []));
  const transfers = requests.flatMap((request) => request.transfers);
  const keyedIds = requests.flatMap(({ transfers: members, idempotency, namedId }) =>
    members.map(() => (idempotency ? namedId : null)),
  );
  const columns = toColumns(transfers.map((transfer) => ({ transfer, storedAtMicros: null })));
  const values = [
    ledger.id,
    lease.id,
    lease.session,
    renderColumn(keyed.map(({ namedId }) => namedId)),
    renderColumn(keyed.map(({ key }) => key)),
    renderColumn(keyed.map(({ fingerprint }) => `\\x${Buffer.from(fingerprint).toString('hex')}`)),
    renderColumn(keyedIds),
    renderColumn(columns.amount),
    renderColumn(columns.currency),
    ...renderColumns(columns),
  ];
  const row = isDistributed(connection)
    ? await insertPendingDistributed(connection, values)
    : await insertWhole(connection, ledger, values);
  return { leaseHeld: row.lease_held, createdAt: row.created_at, createdAtMicros: row.created_at_micros };
}

async function insertWhole(connection: Queryable, ledger: Ledger, values: unknown[]): Promise<InsertedRow> {
  const result = await connection.query<InsertedRow>({
    name: ledger.hasTestClock ? 'insert pending by test clock' : 'insert pending',
    text: ledger.hasTestClock ? INSERT_PENDING_BY_TEST_CLOCK : INSERT_PENDING,
    values,
  });
  const row = result.rows[0];
  if (!row) throw new Error('The statement that stores transfers returned no row.');
  return row;
}

/** The holders of idempotency keys of a ledger; unknown keys are omitted. */
export async function loadKeyHolders(
  connection: Queryable,
  ledger: Ledger,
  keys: readonly string[],
): Promise<KeyHolder[]> {
  const result = await connection.query<{
    key: string;
    transfer_id: string | null;
    account_number: string | null;
    fingerprint: Buffer;
    personal_fingerprint: Buffer | null;
  }>({
    name: 'load key holders',
    text: `
      select key, transfer_id, account_number, fingerprint, personal_fingerprint
      from idempotency_keys
      where ledger_id = $1::integer and key = any($2::text[])`,
    values: [ledger.id, keys],
  });
  return result.rows.map((row) => ({
    key: row.key,
    transferId: row.transfer_id,
    accountNumber: row.account_number,
    fingerprint: row.fingerprint,
    personalFingerprint: row.personal_fingerprint,
  }));
}
