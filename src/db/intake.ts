// The statements of intake: they make transfers durable, and each key names one request.
import type { NewTransfer } from '../domain/transfer.ts';
import type { Queryable } from './connect.ts';
import type { HeldLease } from './leases.ts';
import { ORDER_COLUMNS, ORDER_NAMES, ORDER_VALUES, orderArrays, renderColumn, renderOrders } from './orders.ts';

export type Inserted = {
  /** False if the lease was closed or has another session: nothing was stored. */
  readonly leaseHeld: boolean;
  readonly createdAt: string;
};

/** What an idempotency key names: a transfer or group, an account, or an account with its opening transfer. */
export type KeyHolder = {
  readonly key: string;
  readonly transferId: string | null;
  readonly accountNumber: string | null;
  readonly fingerprint: Buffer;
};

const SENT = (first: number) => `
    unnest(
      $${first}::uuid[], $${first + 1}::bigint[], $${first + 2}::text[], $${first + 3}::text[], $${first + 4}::text[],
      $${first + 5}::jsonb[], ${orderArrays(first + 6)}
    ) as sent (keyed_id, amount, currency, request_id, description, metadata, ${ORDER_NAMES})`;
const STORED_COLUMNS = `amount, currency, request_id, description, metadata, ${ORDER_COLUMNS}`;
const STORED_VALUES = `amount, currency, request_id, description, metadata, ${ORDER_VALUES}`;

// The lease is locked until the commit, and counts the accepted transfers: see leases.ts.
const INSERT_PENDING = `
  with lease as materialized (
    select id as lease_id
    from leases
    where id = $1::uuid and session = $5::integer and not closed
    for no key update
  ), keyed as (
    insert into idempotency_keys (transfer_id, key, fingerprint)
    select sent.id, sent.key, sent.fingerprint
    from unnest($2::uuid[], $3::text[], $4::bytea[]) as sent (id, key, fingerprint)
    cross join lease
    -- In order of the key, so that two processes with keys in common wait for each other instead of deadlocking.
    order by sent.key
    on conflict (ledger_id, key) do nothing
    returning transfer_id
  ), inserted as (
    insert into pending_transfers (lease_id, ${STORED_COLUMNS})
    select lease_id, ${STORED_VALUES}
    from ${SENT(6)}
    cross join lease
    where keyed_id is null or keyed_id in (select transfer_id from keyed)
    returning id
  ), counted as (
    update leases
    set accepted_count = accepted_count + (select count(*) from inserted)
    from lease
    where leases.id = lease.lease_id
  )
  select exists (select from lease) as lease_held, now() as created_at`;

/**
 * Makes transfers durable under a lease, in one statement and, outside a larger transaction, one commit.
 * Those whose key is taken are left out; the members of a group share one key, which names the group.
 */
export async function insertPending(
  connection: Queryable,
  lease: HeldLease,
  transfers: readonly NewTransfer[],
): Promise<Inserted> {
  // A key counts once, with the first member of its group.
  const keyed = transfers.filter(
    ({ idempotency, group }) => idempotency !== null && (group === null || group.position === 0),
  );
  const result = await connection.query<{ lease_held: boolean; created_at: string }>({
    name: 'insert pending',
    text: INSERT_PENDING,
    values: [
      lease.id,
      renderColumn(keyed, namedBy),
      renderColumn(keyed, ({ idempotency }) => idempotency?.key ?? null),
      renderColumn(
        keyed,
        ({ idempotency }) => idempotency && `\\x${Buffer.from(idempotency.fingerprint).toString('hex')}`,
      ),
      lease.session,
      ...renderSent(transfers),
    ],
  });
  const row = result.rows[0];
  if (!row) throw new Error('The statement that stores transfers answered nothing.');
  return { leaseHeld: row.lease_held, createdAt: row.created_at };
}

/** Stores transfers for a dry run: under no lease and without keys, in a transaction that is rolled back. */
export async function insertForDryRun(connection: Queryable, transfers: readonly NewTransfer[]): Promise<void> {
  await connection.query({
    name: 'insert for dry run',
    text: `
      insert into pending_transfers (lease_id, ${STORED_COLUMNS})
      select '00000000-0000-0000-0000-000000000000', ${STORED_VALUES}
      from ${SENT(1)}`,
    values: renderSent(transfers),
  });
}

function renderSent(transfers: readonly NewTransfer[]): (string | null)[] {
  return [
    renderColumn(transfers, (transfer) => (transfer.idempotency ? namedBy(transfer) : null)),
    renderColumn(transfers, ({ amount }) => amount),
    renderColumn(transfers, ({ currency }) => currency),
    renderColumn(transfers, ({ requestId }) => requestId),
    renderColumn(transfers, ({ description }) => description),
    renderColumn(transfers, ({ metadata }) => metadata && JSON.stringify(metadata)),
    ...renderOrders(transfers),
  ];
}

/** What an idempotency key names: the transfer, or the group it is a member of. */
export function namedBy(transfer: Pick<NewTransfer, 'id' | 'group'>): string {
  return transfer.group?.id ?? transfer.id;
}

/** What each of these idempotency keys names; unknown keys are omitted. */
export async function loadKeyHolders(connection: Queryable, keys: readonly string[]): Promise<KeyHolder[]> {
  const result = await connection.query<{
    key: string;
    transfer_id: string | null;
    account_number: string | null;
    fingerprint: Buffer;
  }>({
    name: 'load key holders',
    text: `
      select key, transfer_id, account_number, fingerprint
      from idempotency_keys
      where key = any($1::text[])`,
    values: [keys],
  });
  return result.rows.map((row) => ({
    key: row.key,
    transferId: row.transfer_id,
    accountNumber: row.account_number,
    fingerprint: row.fingerprint,
  }));
}

/** Lets a key name an account and its opening transfer, if any. Returns false if the key is already in use. */
export async function claimKeyForAccount(
  connection: Queryable,
  named: { key: string; fingerprint: Uint8Array; accountNumber: string; openingId: string | null },
): Promise<boolean> {
  const claimed = await connection.query({
    name: 'claim key for account',
    text: `
      insert into idempotency_keys (key, fingerprint, account_number, transfer_id)
      values ($1::text, $2::bytea, $3::text, $4::uuid)
      on conflict (ledger_id, key) do nothing`,
    values: [named.key, Buffer.from(named.fingerprint), named.accountNumber, named.openingId],
  });
  return claimed.rowCount === 1;
}
