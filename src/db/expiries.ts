// Ends due holds: stores, under a lease, a transfer of kind expiry for each.
import type { QueuedTransfer } from '../domain/job.ts';
import type { Queryable } from './connect.ts';
import type { HeldLease } from './leases.ts';

/** How many bytes an expiry counts for: it has no text of a caller. */
const EXPIRY_BYTES = 200;

// One statement, so that no lock outlives it if the network fails: a process whose lease cannot be locked cannot be succeeded.
const INSERT_EXPIRIES = `
  with due as materialized (
    select id, from_account, to_account, currency
    from holds
    -- The time that stands in the transfers, so that none was accepted before its hold was due.
    where state = 'open' and expiry_id is null and expires_at <= now()
    order by expires_at
    limit cardinality($3::uuid[])
    for update skip locked
  ), lease as materialized (
    select id as lease_id
    from leases
    -- Locked only if something is due, because intake waits for it.
    where id = $1::uuid and session = $2::integer and not closed and exists (select from due)
    for no key update
  ), numbered as (
    select due.*, lease_id, ($3::uuid[])[(row_number() over ())::integer] as transfer_id
    from due
    cross join lease
  ), claimed as (
    update holds
    set expiry_id = numbered.transfer_id
    from numbered
    where holds.id = numbered.id
  ), inserted as (
    insert into pending_transfers (id, lease_id, parent_id, kind, from_account, to_account, currency, description)
    select transfer_id, lease_id, id, 'expiry', from_account, to_account, currency, 'Hold expired'
    from numbered
    returning id, lease_id, parent_id, from_account, to_account
  ), counted as (
    update leases
    set accepted_count = accepted_count + (select count(*) from inserted)
    where id in (select lease_id from inserted)
  )
  select id, parent_id, from_account, to_account
  from inserted`;

/**
 * Stores the expiry of holds that are due by the database's clock, at most one per id offered, each hold once over all
 * processes. Returns what it stored: nothing if the lease was lost, which the heartbeat notices.
 */
export async function insertExpiries(
  connection: Queryable,
  lease: HeldLease,
  ids: readonly string[],
): Promise<QueuedTransfer[]> {
  const inserted = await connection.query<{ id: string; parent_id: string; from_account: string; to_account: string }>({
    name: 'insert expiries',
    text: INSERT_EXPIRIES,
    values: [lease.id, lease.session, ids],
  });
  return inserted.rows.map((row) => ({
    id: row.id,
    requestId: row.id,
    fromAccount: row.from_account,
    toAccount: row.to_account,
    parentId: row.parent_id,
    atomicGroupId: null,
    adoptions: 0,
    bytes: EXPIRY_BYTES,
  }));
}
