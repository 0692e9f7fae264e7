// Reads transfers, pending or settled.
import type { FailureCode, Orderer, TransferKind } from '../../domain/transfer.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { withEnds } from './ends-between-ledgers.ts';
import { REQUEST_ID } from './transfer-columns.ts';

export type Transfer = {
  readonly id: string;
  readonly kind: TransferKind;
  readonly fromAccount: string;
  readonly toAccount: string;
  /** Null while it is unknown: the remaining amount of the parent. */
  readonly amount: bigint | null;
  readonly currency: string | null;
  /** The hold that it captures or ends, or the transfer that it reverses. */
  readonly parentId: string | null;
  readonly groupId: string | null;
  readonly groupPosition: number | null;
  readonly status: 'pending' | 'completed' | 'failed';
  readonly failureCode: FailureCode | null;
  readonly requestId: string;
  readonly by: Orderer;
  /** Of the two transfers of a conversion: its rate, as `renderConversion` renders it. */
  readonly rate: string | null;
  /** Of a step of a transfer between ledgers: the account in the other ledger. */
  readonly remoteAccount: string | null;
  readonly description: string | null;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly createdAt: string;
  readonly completedAt: string | null;
  readonly journalNumber: bigint | null;
};

export const PENDING_COLUMNS = `
  id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, 'pending' as status, null::text as failure_code,
  ${REQUEST_ID} as request_id, ordered_by, approved_by, rate, remote_account, description, metadata, created_at, null::timestamptz as completed_at,
  null::bigint as journal_number, null::integer as journal_position`;

export const SETTLED_COLUMNS = `
  id, kind, from_account, to_account, amount, currency, parent_id, group_id, group_position, status, failure_code,
  ${REQUEST_ID} as request_id, ordered_by, approved_by, rate, remote_account, description, metadata, created_at, completed_at,
  journal_number, journal_position`;

export type TransferRow = {
  id: string;
  kind: TransferKind;
  from_account: string;
  to_account: string;
  amount: bigint | null;
  currency: string | null;
  parent_id: string | null;
  group_id: string | null;
  group_position: number | null;
  status: Transfer['status'];
  failure_code: FailureCode | null;
  request_id: string;
  ordered_by: string | null;
  approved_by: string | null;
  rate: string | null;
  remote_account: string | null;
  description: string | null;
  metadata: Record<string, string> | null;
  created_at: string;
  completed_at: string | null;
  journal_number: bigint | null;
  journal_position: number | null;
};

/** The transfers with these ids, in no order; unknown ids are omitted. */
export async function loadTransfers(
  connection: Queryable,
  ledger: Ledger,
  ids: readonly string[],
): Promise<Transfer[]> {
  const result = await connection.query<TransferRow>({
    name: 'load transfers',
    text: `
      select ${PENDING_COLUMNS}
      from pending_transfers
      where ledger_id = $2::integer and id = any($1::uuid[])
      union all
      select ${SETTLED_COLUMNS}
      from transfers
      where ledger_id = $2::integer and id = any($1::uuid[])`,
    values: [ids, ledger.id],
  });
  return await withEnds(connection, ledger, result.rows.map(toTransfer));
}

/** The members of a group, in their order; none if there is no such group. */
export async function loadGroup(connection: Queryable, ledger: Ledger, groupId: string): Promise<Transfer[]> {
  const result = await connection.query<TransferRow>({
    name: 'load group',
    text: `
      select ${PENDING_COLUMNS}
      from pending_transfers
      where ledger_id = $2::integer and group_id = $1::uuid
      union all
      select ${SETTLED_COLUMNS}
      from transfers
      where ledger_id = $2::integer and group_id = $1::uuid
      order by group_position`,
    values: [groupId, ledger.id],
  });
  return await withEnds(connection, ledger, result.rows.map(toTransfer));
}

export function toTransfer(row: TransferRow): Transfer {
  return {
    id: row.id,
    kind: row.kind,
    fromAccount: row.from_account,
    toAccount: row.to_account,
    amount: row.amount,
    currency: row.currency,
    parentId: row.parent_id,
    groupId: row.group_id,
    groupPosition: row.group_position,
    status: row.status,
    failureCode: row.failure_code,
    requestId: row.request_id,
    by: { orderedBy: row.ordered_by, approvedBy: row.approved_by },
    rate: row.rate,
    remoteAccount: row.remote_account,
    description: row.description,
    metadata: row.metadata,
    createdAt: row.created_at,
    completedAt: row.completed_at,
    journalNumber: row.journal_number,
  };
}
