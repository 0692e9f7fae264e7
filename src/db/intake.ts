// The statements of intake: making orders durable, one key one transfer, and finding what a stopped process left.
import type { Order } from '../domain/transfer.ts';
import type { Connection, ConnectionPool, Queryable } from './connect.ts';
import { withTransaction } from './connect.ts';

/** An order as it arrives. Metadata is a flat object of strings. */
export type NewTransfer = Order & {
  readonly requestId: string | null;
  readonly description: string | null;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly idempotency: { readonly key: string; readonly fingerprint: Buffer } | null;
};

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
    select id
    from intakes
    where id = $1::uuid
    for key share
  ), keyed as (
    insert into idempotency_keys (transfer_id, key, fingerprint)
    select sent.id, sent.key, sent.fingerprint
    from unnest($2::uuid[], $10::text[], $11::bytea[]) as sent (id, key, fingerprint)
    cross join intake
    where sent.key is not null
    -- In order of the key, so that two processes with keys in common wait for each other instead of deadlocking.
    order by sent.key
    on conflict (key) do nothing
    returning transfer_id
  ), inserted as (
    insert into pending_transfers (
      amount, id, intake_id, from_account, to_account, currency, request_id, description, metadata
    )
    select
      sent.amount, sent.id, intake.id, sent.from_account, sent.to_account, sent.currency, sent.request_id,
      sent.description, sent.metadata
    from unnest(
      $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::jsonb[], $10::text[]
    ) as sent (id, from_account, to_account, amount, currency, request_id, description, metadata, key)
    cross join intake
    where sent.key is null or sent.id in (select transfer_id from keyed)
    -- The same orders may be sent again when the answer to the first time was lost.
    on conflict (id) do nothing
  )
  select exists (select from intake) as intake_alive, now() as created_at`;

/** Makes orders durable under an intake, all in one statement and one commit. Those whose key is taken are left out. */
export async function insertPending(
  connection: Queryable,
  intakeId: string,
  transfers: readonly NewTransfer[],
): Promise<Inserted> {
  const result = await connection.query<{ intake_alive: boolean; created_at: string }>({
    name: 'insert pending',
    text: INSERT_PENDING,
    values: [
      intakeId,
      transfers.map((transfer) => transfer.id),
      transfers.map((transfer) => transfer.fromAccount),
      transfers.map((transfer) => transfer.toAccount),
      transfers.map((transfer) => transfer.amount),
      transfers.map((transfer) => transfer.currency),
      transfers.map((transfer) => transfer.requestId),
      transfers.map((transfer) => transfer.description),
      transfers.map((transfer) => (transfer.metadata ? JSON.stringify(transfer.metadata) : null)),
      transfers.map((transfer) => transfer.idempotency?.key ?? null),
      transfers.map((transfer) => transfer.idempotency?.fingerprint ?? null),
    ],
  });
  const row = result.rows[0];
  if (!row) throw new Error('The statement that stores orders answered nothing.');
  return { intakeAlive: row.intake_alive, createdAt: row.created_at };
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

/** Registers an intake, or renews its heartbeat. */
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
 * Takes over at most `countMax` orders of intakes whose heartbeat is older than `staleAfterMs`, by the database's clock,
 * and returns their ids, oldest first. Stopped intakes that have no orders left are forgotten.
 */
export async function adoptOrphans(
  pool: ConnectionPool,
  intakeId: string,
  options: { staleAfterMs: number; countMax: number },
): Promise<string[]> {
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
    // Locked against the last orders of an intake that is slow rather than dead; see INSERT_PENDING.
    await connection.query(`select id from intakes where id = any($1::uuid[]) order by id for update`, [staleIds]);
    const adopted = await connection.query<{ id: string }>(
      `update pending_transfers
       set intake_id = $1::uuid
       where id in (
         select id
         from pending_transfers
         where intake_id = any($2::uuid[])
         order by id
         limit $3::integer
         for update skip locked
       )
       returning id`,
      [intakeId, staleIds, options.countMax],
    );
    await connection.query(
      `delete from intakes
       where id = any($1::uuid[])
         and heartbeat_at < clock_timestamp() - $2::integer * interval '1 millisecond'
         and not exists (select from pending_transfers where intake_id = intakes.id)`,
      [staleIds, options.staleAfterMs],
    );
    return adopted.rows.map((row) => row.id).sort();
  });
}

/** Forgets an intake that ends in good order. If it left orders behind, its row stays and they will be adopted. */
export async function forgetIntake(connection: Queryable | Connection, intakeId: string): Promise<void> {
  await connection.query(
    `delete from intakes
     where id = $1::uuid and not exists (select from pending_transfers where intake_id = intakes.id)`,
    [intakeId],
  );
}
