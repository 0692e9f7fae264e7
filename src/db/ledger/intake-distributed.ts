// Intake on Citus: one transaction of statements that each run whole on the ledger's node, because a statement that writes
// several tables would be committed in two phases there.
import type { Queryable } from '../connection/connect.ts';
import { Transaction } from '../connection/transaction.ts';
import { COLUMN_NAMES, COLUMN_VALUES, columnArrays } from '../queries/transfer-columns.ts';
import { micros } from './locked-job.ts';

export type InsertedRow = { lease_held: boolean; created_at: string; created_at_micros: bigint };

// The time is that of the ledger's node, as the time of a job is.
const LOCK_LEASE = `
  select coalesce(clock, now()) as created_at, ${micros('coalesce(clock, now())')} as created_at_micros
  from ledger_leases
  join journal_head on journal_head.ledger_id = ledger_leases.ledger_id
  where ledger_leases.ledger_id = $1::integer and lease_id = $2::uuid and session = $3::integer and not closed
  for no key update of ledger_leases`;

const CLAIM_KEYS = `
  insert into idempotency_keys (ledger_id, created_at, transfer_id, key, fingerprint)
  select ledger_leases.ledger_id, $3::timestamptz, sent.id, sent.key, sent.fingerprint
  from ledger_leases
  cross join unnest($4::uuid[], $5::text[], $6::bytea[]) as sent (id, key, fingerprint)
  where ledger_leases.ledger_id = $1::integer and ledger_leases.lease_id = $2::uuid
  -- In order of the key, so that two processes with keys in common wait for each other instead of deadlocking.
  order by sent.key
  on conflict (ledger_id, key) do nothing
  returning transfer_id`;

const INSERT = `
  insert into pending_transfers (ledger_id, lease_id, created_at, amount, currency, ${COLUMN_NAMES})
  select ledger_leases.ledger_id, ledger_leases.lease_id, $3::timestamptz, amount, currency, ${COLUMN_VALUES}
  from ledger_leases
  cross join unnest($5::uuid[], $6::bigint[], $7::text[], ${columnArrays(8)})
    as sent (keyed_id, amount, currency, ${COLUMN_NAMES})
  where ledger_leases.ledger_id = $1::integer and ledger_leases.lease_id = $2::uuid
    and (keyed_id is null or keyed_id = any($4::uuid[]))`;

const COUNT = `
  update ledger_leases
  set accepted_count = accepted_count + $3::bigint
  where ledger_id = $1::integer and lease_id = $2::uuid`;

/** Does what `insert pending` does elsewhere. `values`: its parameters. */
export async function insertPendingDistributed(
  connection: Queryable,
  values: readonly unknown[],
): Promise<InsertedRow> {
  const [ledgerId, leaseId, session, ids, keys, fingerprints, ...transfers] = values;
  const transaction = await Transaction.begin(connection);
  let committed = false;
  try {
    const locked = await connection.query<{ created_at: string; created_at_micros: bigint }>({
      name: 'lock ledger lease',
      text: LOCK_LEASE,
      values: [ledgerId, leaseId, session],
    });
    const [time] = locked.rows;
    if (time === undefined) return { lease_held: false, created_at: '', created_at_micros: 0n };
    const common = [ledgerId, leaseId, time.created_at];
    const claimed =
      ids === null
        ? []
        : await connection
            .query<{ transfer_id: string }>({
              name: 'claim intake keys',
              text: CLAIM_KEYS,
              values: [...common, ids, keys, fingerprints],
            })
            .then(({ rows }) => rows.map((row) => row.transfer_id));
    const inserted = await connection.query({
      name: 'insert intake',
      text: INSERT,
      values: [...common, claimed, ...transfers],
    });
    await connection.query({ name: 'count intake', text: COUNT, values: [ledgerId, leaseId, inserted.rowCount] });
    await transaction.commit();
    committed = true;
    return { lease_held: true, ...time };
  } finally {
    if (!committed) await transaction.rollback();
  }
}
