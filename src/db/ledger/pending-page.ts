// Pages of the intake log: the pending transfers of a lease, as recovery adopts them.
import type { QueuedTransfer } from '../../domain/job.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { TransferKind } from '../../domain/transfer.ts';
import type { Queryable } from '../connection/connect.ts';
import { micros } from './locked-job.ts';

/** A transfer of the intake log. */
export type PendingTransfer = QueuedTransfer & {
  readonly ledger: Ledger;
  readonly storedAtMicros: bigint;
  /** How many processes died with the transfer under their lease. */
  readonly adoptions: number;
  /** How many of them were trying it alone in a job. */
  readonly loneDeaths: number;
};

export type PageBounds = {
  readonly countMax: number;
  readonly bytesMax: number;
  /** The ledgers that are excluded. */
  readonly skippedLedgers: readonly number[];
};

export type PageRow = { id: string; atomic_group_id: string | null };

/** The ids of a page, and the atomic groups that have some of them. */
export function idsOf(rows: readonly PageRow[]): [ids: string[], groupIds: string[]] {
  return [rows.map(({ id }) => id), rows.flatMap((row) => row.atomic_group_id ?? [])];
}

/** The transfers of a page. Atomic groups come whole. */
export async function loadPending(connection: Queryable, rows: readonly PageRow[]): Promise<PendingTransfer[]> {
  const found = await connection.query<PendingRow>(
    `select ${PENDING_COLUMNS}
     from pending_transfers
     join ledgers on ledgers.id = pending_transfers.ledger_id
     where pending_transfers.id = any($1::uuid[]) or (atomic and group_id = any($2::uuid[]))`,
    idsOf(rows),
  );
  return toPending(found.rows);
}

/** The approximate bytes of a caller's text in a row; the rest of a row has its own bound. */
const ROW_BYTES = `(
    200 + coalesce(octet_length(pending_transfers.description), 0)
    + coalesce(octet_length(pending_transfers.metadata::text), 0)
  )`;

/**
 * The ids of a page: at most $2 rows and $3 bytes, but at least one row, and none of the ledgers $4. `source` joins and
 * restricts pending_transfers.
 */
export const PAGE = (source: string) => `
  select id, atomic_group_id
  from (
    select id, atomic_group_id, sum(bytes) over (order by id) as bytes_so_far, row_number() over (order by id) as position
    from (
      select pending_transfers.id, case when atomic then group_id end as atomic_group_id, ${ROW_BYTES} as bytes
      from pending_transfers
      ${source} and pending_transfers.ledger_id <> all($4::integer[])
      order by pending_transfers.id
      limit $2::integer
    ) as oldest
  ) as counted
  where position = 1 or bytes_so_far <= $3::bigint
  order by id`;

const PENDING_COLUMNS = `
  ledger_id, ledgers.name as ledger, pending_transfers.id, kind, from_account, to_account, amount, currency, parent_id, group_id,
  group_position, atomic, final_capture, expires_in, if_from_entry_number, if_min_available_after, request_id, ordered_by, approved_by, rate,
  remote_account, description, metadata,
  adoptions, lone_deaths, ${micros('pending_transfers.created_at')} as stored_at_micros`;

type PendingRow = {
  ledger_id: number;
  ledger: string;
  id: string;
  kind: TransferKind;
  from_account: string;
  to_account: string;
  amount: bigint | null;
  currency: string | null;
  parent_id: string | null;
  group_id: string | null;
  group_position: number | null;
  atomic: boolean | null;
  final_capture: boolean | null;
  expires_in: number | null;
  if_from_entry_number: bigint | null;
  if_min_available_after: bigint | null;
  request_id: string | null;
  ordered_by: string | null;
  approved_by: string | null;
  rate: string | null;
  remote_account: string | null;
  description: string | null;
  metadata: Record<string, string> | null;
  adoptions: number;
  lone_deaths: number;
  stored_at_micros: bigint;
};

/** In order of id; the members of an atomic group are next to each other, in order of their positions. */
function toPending(rows: PendingRow[]): PendingTransfer[] {
  const order = (row: PendingRow) => (row.atomic && row.group_id) || row.id;
  return rows
    .sort((a, b) => order(a).localeCompare(order(b)) || (a.group_position ?? 0) - (b.group_position ?? 0))
    .map((row) => {
      const { if_from_entry_number: fromEntryNumber, if_min_available_after: minAvailableAfter } = row;
      const group =
        row.group_id === null
          ? null
          : { id: row.group_id, position: row.group_position ?? 0, atomic: row.atomic ?? false };
      return {
        ledger: { id: row.ledger_id, name: row.ledger },
        transfer: {
          id: row.id,
          kind: row.kind,
          fromAccount: row.from_account,
          toAccount: row.to_account,
          amount: row.amount,
          currency: row.currency,
          parentId: row.parent_id,
          group,
          conditions:
            fromEntryNumber === null && minAvailableAfter === null ? null : { fromEntryNumber, minAvailableAfter },
          finalCapture: row.final_capture ?? false,
          expiresIn: row.expires_in,
          requestId: row.request_id,
          by: { orderedBy: row.ordered_by, approvedBy: row.approved_by },
          rate: row.rate,
          remoteAccount: row.remote_account,
          description: row.description,
          metadata: row.metadata,
        },
        storedAtMicros: row.stored_at_micros,
        adoptions: row.adoptions,
        loneDeaths: row.lone_deaths,
      };
    });
}
