// The statements of intake: making orders durable, one key one transfer, and finding what a stopped process left.
import type { Durable } from '../domain/job.ts';
import type { NewTransfer } from '../domain/transfer.ts';
import type { Connection, ConnectionPool, Queryable } from './connect.ts';
import { withTransaction } from './connect.ts';
import {
  ORDER_COLUMNS,
  ORDER_NAMES,
  ORDER_VALUES,
  orderArrays,
  renderColumn,
  renderOrders,
  REQUEST_ID,
} from './orders.ts';

export type Inserted = {
  /** False if the intake itself is unknown to the database: it was taken for dead, and nothing was stored. */
  readonly intakeAlive: boolean;
  readonly createdAt: string;
};

export type KeyHolder = { readonly key: string; readonly transferId: string; readonly fingerprint: Buffer };

// The intake's own row is locked (only against deletion, a heartbeat goes through), so that nobody can take the intake
// for dead and forget it between its last orders and their commit.
const INSERT_PENDING = `
  with intake as (
    select id as intake_id
    from intakes
    where id = $1::uuid
    for key share
  ), keyed as (
    insert into idempotency_keys (transfer_id, key, fingerprint)
    select sent.id, sent.key, sent.fingerprint
    from unnest($2::uuid[], $3::text[], $4::bytea[]) as sent (id, key, fingerprint)
    cross join intake
    -- In order of the key, so that two processes with keys in common wait for each other instead of deadlocking.
    order by sent.key
    on conflict (key) do nothing
    returning transfer_id
  ), inserted as (
    insert into pending_transfers (
      intake_id, amount, currency, request_id, description, metadata, ${ORDER_COLUMNS}
    )
    select intake_id, amount, currency, request_id, description, metadata, ${ORDER_VALUES}
    from unnest($5::uuid[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::jsonb[], ${orderArrays(11)})
      as sent (keyed_id, amount, currency, request_id, description, metadata, ${ORDER_NAMES})
    cross join intake
    where keyed_id is null or keyed_id in (select transfer_id from keyed)
    -- The same orders may be sent again when the answer to the first time was lost.
    on conflict (id) do nothing
  )
  select exists (select from intake) as intake_alive, now() as created_at,
    -- Until the end of this transaction, which is this statement.
    case when $23::boolean then set_config('synchronous_commit', 'off', true) end`;

/**
 * Stores orders under an intake, all in one statement and one commit. Those whose key is taken are left out; the members of a
 * group share one key, which names the group. They are durable then, unless `asynchronous`: then whatever is next flushed on
 * this server, such as the commit of the job that settles them, makes them so; until that they survive everything but a crash
 * of the server. Never within a larger transaction, which would then be asynchronous as a whole.
 */
export async function insertPending(
  connection: Queryable,
  intakeId: string,
  transfers: readonly NewTransfer[],
  { asynchronous = false } = {},
): Promise<Inserted> {
  // A key counts once, with the first member of its group.
  const keyed = transfers.filter(
    ({ idempotency, group }) => idempotency !== null && (group === null || group.position === 0),
  );
  const result = await connection.query<{ intake_alive: boolean; created_at: string }>({
    name: 'insert pending',
    text: INSERT_PENDING,
    values: [
      intakeId,
      renderColumn(keyed, namedBy),
      renderColumn(keyed, ({ idempotency }) => idempotency?.key ?? null),
      renderColumn(
        keyed,
        ({ idempotency }) => idempotency && `\\x${Buffer.from(idempotency.fingerprint).toString('hex')}`,
      ),
      renderColumn(transfers, (transfer) => (transfer.idempotency ? namedBy(transfer) : null)),
      renderColumn(transfers, ({ amount }) => amount),
      renderColumn(transfers, ({ currency }) => currency),
      renderColumn(transfers, ({ requestId }) => requestId),
      renderColumn(transfers, ({ description }) => description),
      renderColumn(transfers, ({ metadata }) => metadata && JSON.stringify(metadata)),
      ...renderOrders(transfers),
      asynchronous,
    ],
  });
  const row = result.rows[0];
  if (!row) throw new Error('The statement that stores orders answered nothing.');
  return { intakeAlive: row.intake_alive, createdAt: row.created_at };
}

/** What an idempotency key names: the transfer, or the group it is a member of. */
export function namedBy(transfer: Pick<NewTransfer, 'id' | 'group'>): string {
  return transfer.group?.id ?? transfer.id;
}

/** Which transfer each of these idempotency keys names. */
export async function loadKeyHolders(connection: Queryable, keys: readonly string[]): Promise<KeyHolder[]> {
  const result = await connection.query<{ key: string; transfer_id: string; fingerprint: Buffer }>({
    name: 'load key holders',
    text: `
      select key, transfer_id, fingerprint
      from idempotency_keys
      where key = any($1::text[])`,
    values: [keys],
  });
  return result.rows.map((row) => ({ key: row.key, transferId: row.transfer_id, fingerprint: row.fingerprint }));
}

/** Registers an intake, or renews its heartbeat. What this server committed before is on disk after it. */
export async function beat(connection: Queryable, intakeId: string): Promise<void> {
  await connection.query({
    name: 'beat',
    text: `
      insert into intakes (id)
      values ($1::uuid)
      on conflict (id) do update set heartbeat_at = clock_timestamp()`,
    values: [intakeId],
  });
}

/**
 * Takes over at most `countMax` orders (and the rest of their groups) of intakes whose heartbeat is older than
 * `staleAfterMs`, by the database's clock, and returns them, oldest first. Stopped intakes that have no orders left are
 * forgotten.
 */
export async function adoptOrphans(
  pool: ConnectionPool,
  intakeId: string,
  options: { staleAfterMs: number; countMax: number },
): Promise<Durable[]> {
  const stale = await pool.query<{ id: string }>({
    name: 'find stopped intakes',
    text: `
      select id
      from intakes
      where heartbeat_at < clock_timestamp() - $1::integer * interval '1 millisecond'`,
    values: [options.staleAfterMs],
  });
  const staleIds = stale.rows.map((row) => row.id);
  if (staleIds.length === 0) return [];
  return await withTransaction(pool, async (connection) => {
    // Locked against the last orders of an intake that is slow rather than dead (see INSERT_PENDING), and against
    // another process that adopts at the same time.
    await connection.query('select id from intakes where id = any($1::uuid[]) order by id for update', [staleIds]);
    const found = await connection.query<{ id: string; group_id: string | null }>(
      `select id, group_id
       from pending_transfers
       where intake_id = any($1::uuid[])
       order by id
       limit $2::integer`,
      [staleIds, options.countMax],
    );
    const adopted = await connection.query<{
      id: string;
      request_id: string;
      from_account: string;
      to_account: string;
      parent_id: string | null;
      atomic_group_id: string | null;
      group_position: number | null;
    }>(
      `update pending_transfers
       set intake_id = $1::uuid
       where id = any($2::uuid[]) or group_id = any($3::uuid[])
       returning id, ${REQUEST_ID} as request_id, from_account, to_account, parent_id,
         case when atomic then group_id end as atomic_group_id, group_position`,
      [intakeId, found.rows.map((row) => row.id), found.rows.flatMap((row) => row.group_id ?? [])],
    );
    await connection.query(
      `delete from intakes
       where id = any($1::uuid[])
         and heartbeat_at < clock_timestamp() - $2::integer * interval '1 millisecond'
         and not exists (select from pending_transfers where intake_id = intakes.id)`,
      [staleIds, options.staleAfterMs],
    );
    const order = (row: { id: string; atomic_group_id: string | null }) => row.atomic_group_id ?? row.id;
    return adopted.rows
      .sort((a, b) => order(a).localeCompare(order(b)) || (a.group_position ?? 0) - (b.group_position ?? 0))
      .map((row) => ({
        id: row.id,
        requestId: row.request_id,
        fromAccount: row.from_account,
        toAccount: row.to_account,
        parentId: row.parent_id,
        atomicGroupId: row.atomic_group_id,
      }));
  });
}

/**
 * Orders the end of holds whose time has come by the database's clock, at most one per id offered, each hold once over
 * all processes. Returns the orders, which are durable.
 */
export async function orderExpiries(
  pool: ConnectionPool,
  intakeId: string,
  ids: readonly string[],
): Promise<Durable[]> {
  const ordered = await pool.query<{ id: string; parent_id: string; from_account: string; to_account: string }>({
    name: 'order expiries',
    text: `
      with intake as (
        select id
        from intakes
        where id = $1::uuid
        for key share
      ), due as (
        select id, from_account, to_account, currency
        from holds
        -- The time that stands in the orders, so that none says it came before its hold was due.
        where state = 'open' and expiry_id is null and expires_at <= now()
        order by expires_at
        limit cardinality($2::uuid[])
        for update skip locked
      ), numbered as (
        select due.*, ($2::uuid[])[(row_number() over ())::integer] as order_id
        from due
        cross join intake
      ), claimed as (
        update holds
        set expiry_id = numbered.order_id
        from numbered
        where holds.id = numbered.id
      )
      insert into pending_transfers (id, intake_id, parent_id, kind, from_account, to_account, currency, description)
      select order_id, intake.id, numbered.id, 'expiry', from_account, to_account, currency, 'Hold expired'
      from numbered
      cross join intake
      returning id, parent_id, from_account, to_account`,
    values: [intakeId, ids],
  });
  return ordered.rows.map((row) => ({
    id: row.id,
    requestId: row.id,
    fromAccount: row.from_account,
    toAccount: row.to_account,
    parentId: row.parent_id,
    atomicGroupId: null,
  }));
}

/** Forgets an intake that ends in good order. If it left orders behind, its row stays and they will be adopted. */
export async function forgetIntake(connection: Queryable | Connection, intakeId: string): Promise<void> {
  await connection.query(
    `delete from intakes
     where id = $1::uuid and not exists (select from pending_transfers where intake_id = intakes.id)`,
    [intakeId],
  );
}
