// Leases: a process's claim on the transfers that it accepted.
//
//   open ──the holder stops, or another process takes over──▶ closed
//
// Every statement that stores pending transfers under a lease locks the lease's row of their ledger until its commit. It
// stores nothing if that row is closed or has another session. So after a new session or a take-over has written the row,
// no earlier statement can store anything more, and all stored transfers are visible. A row that is added later, by a
// process that does not know of its end, is found by the transfers under it.
import type { Ledger } from '../../domain/ledger.ts';
import type { ConnectionPool, Queryable } from '../connection/connect.ts';
import { idsOf, loadPending, PAGE, type PageBounds, type PageRow, type PendingTransfer } from './pending-page.ts';
import { withTransaction } from '../connection/transaction.ts';

export type { PageBounds, PendingTransfer } from './pending-page.ts';

/** A lease as its holder knows it. */
export type HeldLease = { readonly id: string; readonly session: number };

/** A lease as another process observes it. */
export type ObservedLease = {
  readonly id: string;
  /** The number of its last heartbeat; null if it has none. */
  readonly beat: bigint | null;
  /** Whether it is closed or unknown, and transfers are pending under it. */
  readonly ended: boolean;
  /** Whether its last heartbeat is older than the bound, by the database's clock. */
  readonly late: boolean;
};

/** A lease was closed by another process, or has another session: nothing was stored under it. */
export class LeaseLostError extends Error {}

/** Registers a new lease, with its first heartbeat. */
export async function openLease(connection: Queryable, id: string): Promise<HeldLease> {
  await connection.query({
    name: 'open lease',
    text: `
      with opened as (
        insert into leases (id)
        values ($1::uuid)
      )
      insert into heartbeats (lease_id)
      values ($1::uuid)`,
    values: [id],
  });
  return { id, session: 1 };
}

/**
 * Lets a session of a lease store transfers of a ledger, and ends earlier sessions there: waits for the statements that
 * are storing under them. False if the lease was closed or has another session.
 */
export async function enterLedger(connection: Queryable, ledger: Ledger, held: HeldLease): Promise<boolean> {
  await connection.query({
    name: 'enter ledger',
    text: `
      insert into ledger_leases (ledger_id, lease_id, session)
      values ($1::integer, $2::uuid, $3::integer)
      on conflict (lease_id, ledger_id) do update set session = greatest(ledger_leases.session, excluded.session)`,
    values: [ledger.id, held.id, held.session],
  });
  // Afterwards: whatever ends the lease later also ends the row.
  const found = await connection.query({
    name: 'find held lease',
    text: 'select from leases where id = $1::uuid and session = $2::integer and not closed',
    values: [held.id, held.session],
  });
  return found.rowCount === 1;
}

/** Begins a new session of an open lease; null if it is closed. It stores in a ledger after it has entered it. */
export async function renewLease(connection: Queryable, id: string): Promise<HeldLease | null> {
  const renewed = await connection.query<{ session: number }>({
    name: 'renew lease',
    text: `
      with held as materialized (
        select id
        from leases
        where id = $1::uuid and not closed
        for update
      )
      update leases
      set session = session + 1
      from held
      where leases.id = held.id
      returning leases.session`,
    values: [id],
  });
  const session = renewed.rows[0]?.session;
  return session === undefined ? null : { id, session };
}

/**
 * Ends earlier sessions of a lease in all ledgers, and waits for the statements that are storing under them. All ledgers
 * must be in reach; `enterLedger` does the same in one.
 */
export async function fenceLease(connection: Queryable, { id, session }: HeldLease): Promise<void> {
  await connection.query({
    name: 'fence lease',
    text: `
      update ledger_leases
      set session = $2::integer
      where lease_id = $1::uuid and session < $2::integer`,
    values: [id, session],
  });
}

/** Closes a lease whose holder stops. The next process that observes it adopts the remaining transfers. */
export async function closeLease(connection: Queryable, id: string): Promise<void> {
  await connection.query(
    `with closed as (
       update leases
       set closed = true
       where id = $1::uuid
     )
     delete from heartbeats
     where lease_id = $1::uuid`,
    [id],
  );
}

/** Writes the heartbeat of a lease. False if the lease is closed: another process has taken it over. */
export async function writeHeartbeat(connection: Queryable, id: string): Promise<boolean> {
  const written = await connection.query({
    name: 'write heartbeat',
    text: `
      insert into heartbeats (lease_id)
      select id
      from leases
      where id = $1::uuid and not closed
      on conflict (lease_id) do update set beat = heartbeats.beat + 1, written_at = clock_timestamp()`,
    values: [id],
  });
  return written.rowCount === 1;
}

/** All leases but `ownId` that have a heartbeat or pending transfers. */
export async function observeLeases(
  connection: Queryable,
  ownId: string,
  orphanedAfterMs: number,
): Promise<ObservedLease[]> {
  const observed = await connection.query<ObservedLease>({
    name: 'observe leases',
    text: `
      select held.lease_id as id, heartbeats.beat, coalesce(leases.closed, true) as ended,
        coalesce(heartbeats.written_at < clock_timestamp() - $2::integer * interval '1 millisecond', false) as late
      from (
        select lease_id
        from heartbeats
        union
        select lease_id
        from pending_transfers
      ) as held
      left join leases on leases.id = held.lease_id
      left join heartbeats on heartbeats.lease_id = held.lease_id
      where held.lease_id <> $1::uuid`,
    values: [ownId, orphanedAfterMs],
  });
  return observed.rows;
}

/**
 * Closes a lease if its heartbeat is still the observed one, and takes over a page of its pending transfers, oldest
 * first. Atomic groups come whole. A page that is null: nothing remains, except in skipped ledgers. `closed`: this call
 * closed the lease. Throws LeaseLostError if `own` was lost.
 */
export async function adoptPage(
  pool: ConnectionPool,
  own: HeldLease,
  orphan: ObservedLease,
  bounds: PageBounds,
): Promise<{ closed: boolean; page: PendingTransfer[] | null }> {
  return await withTransaction(pool, async (connection) => {
    // In order of id, so that two processes that adopt from each other wait instead of deadlocking.
    if (own.id < orphan.id) await lockOwn(connection, own);
    const found = await connection.query<{ closed: boolean }>(
      'select closed from leases where id = $1::uuid for update',
      [orphan.id],
    );
    if (own.id > orphan.id) await lockOwn(connection, own);
    const closed = await connection.query(
      `update leases
       set closed = true
       where id = $1::uuid and not closed
         and (select beat from heartbeats where lease_id = leases.id) is not distinct from $2::bigint`,
      [orphan.id, orphan.beat],
    );
    const isClosed = closed.rowCount === 1 || found.rows.every((row) => row.closed);
    const page = isClosed ? await takePage(connection, own, orphan, bounds) : null;
    // The heartbeat shows how the holder ended, so it is kept while any transfer remains: see `died`.
    if (page === null && bounds.skippedLedgers.length === 0) {
      await connection.query(
        `delete from heartbeats
         where lease_id = (select id from leases where id = $1::uuid and closed)`,
        [orphan.id],
      );
    }
    return { closed: closed.rowCount === 1, page };
  });
}

async function takePage(
  connection: Queryable,
  own: HeldLease,
  orphan: ObservedLease,
  bounds: PageBounds,
): Promise<PendingTransfer[] | null> {
  await connection.query('update ledger_leases set closed = true where lease_id = $1::uuid and not closed', [
    orphan.id,
  ]);
  const page = await connection.query<PageRow>(PAGE('where lease_id = $1::uuid'), [
    orphan.id,
    bounds.countMax,
    bounds.bytesMax,
    bounds.skippedLedgers,
  ]);
  if (page.rows.length === 0) return null;
  await connection.query(
    `update pending_transfers
     set lease_id = $1::uuid, adoptions = least(adoptions + $4::integer, 1000),
       lone_deaths = least(lone_deaths + case when on_trial then $4::integer else 0 end, 1000), on_trial = false
     where id = any($2::uuid[]) or (atomic and group_id = any($3::uuid[]))`,
    [own.id, ...idsOf(page.rows), died(orphan) ? 1 : 0],
  );
  return await loadPending(connection, page.rows);
}

/**
 * Whether the holder of a lease died. A holder that closed its lease itself, and its heartbeat with it, did not die of
 * its transfers. The heartbeat of a dead holder stays until everything is adopted, so that later pages count too.
 */
function died({ ended, beat }: ObservedLease): boolean {
  return !ended || beat !== null;
}

/** Prevents a renewal of the own lease until the commit, so that a renewal sees the effects of this transaction. */
async function lockOwn(connection: Queryable, own: HeldLease): Promise<void> {
  const locked = await connection.query(
    'select from leases where id = $1::uuid and session = $2::integer and not closed for key share',
    [own.id, own.session],
  );
  if (locked.rowCount === 0) throw new LeaseLostError('The lease of this process was closed or renewed.');
}

/** The largest pending id under a lease; null if there is none. */
export async function loadLastPendingId(connection: Queryable, leaseId: string): Promise<string | null> {
  const last = await connection.query<{ id: string }>(
    'select id from pending_transfers where lease_id = $1::uuid order by id desc limit 1',
    [leaseId],
  );
  return last.rows[0]?.id ?? null;
}

/**
 * A page of the pending transfers under a lease, in order of id within a range. Atomic groups come whole. Null: there
 * are no more.
 */
export async function loadPendingPage(
  connection: Queryable,
  leaseId: string,
  { after, last }: { after: string; last: string },
  bounds: PageBounds,
): Promise<{ transfers: PendingTransfer[]; lastId: string } | null> {
  const page = await connection.query<PageRow>(PAGE('where lease_id = $1::uuid and id > $5::uuid and id <= $6::uuid'), [
    leaseId,
    bounds.countMax,
    bounds.bytesMax,
    bounds.skippedLedgers,
    after,
    last,
  ]);
  const lastId = page.rows.at(-1)?.id;
  if (lastId === undefined) return null;
  return { transfers: await loadPending(connection, page.rows), lastId };
}
