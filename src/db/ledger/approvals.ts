// Requests that wait for the approval of a second key.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';

export type ApprovalKind = 'transfers' | 'account';
export type ApprovalState = 'pending' | 'approved' | 'rejected' | 'expired';

export type ApprovalRecord = {
  readonly id: string;
  readonly kind: ApprovalKind;
  readonly state: ApprovalState;
  readonly requestedBy: string;
  readonly decidedBy: string | null;
  readonly idempotencyKey: string;
  /** Null: the caller chose no idempotency key. */
  readonly fingerprint: Buffer | null;
  /** The request, as JSON. */
  readonly request: unknown;
  readonly createdAt: string;
  readonly expiresAt: string;
  readonly decidedAt: string | null;
};

export type NewApproval = Pick<ApprovalRecord, 'id' | 'kind' | 'requestedBy' | 'idempotencyKey' | 'request'> & {
  readonly fingerprint: Uint8Array | null;
  readonly expiresInSeconds: number;
};

const COLUMNS = `
  id, kind, case when state = 'pending' and expires_at <= now() then 'expired' else state end as state, requested_by,
  decided_by, idempotency_key, fingerprint, request, created_at, expires_at, decided_at`;

type ApprovalRow = {
  id: string;
  kind: ApprovalKind;
  state: ApprovalState;
  requested_by: string;
  decided_by: string | null;
  idempotency_key: string;
  fingerprint: Buffer | null;
  request: unknown;
  created_at: string;
  expires_at: string;
  decided_at: string | null;
};

/** Adds a request, unless there is one with its idempotency key. Returns the one that is stored, and whether it is new. */
export async function insertApproval(
  connection: Queryable,
  ledger: Ledger,
  approval: NewApproval,
): Promise<{ record: ApprovalRecord; isNew: boolean }> {
  const inserted = await connection.query(
    `insert into approvals (ledger_id, id, kind, requested_by, idempotency_key, fingerprint, request, expires_at)
     values (
       $1::integer, $2::uuid, $3::text, $4::text, $5::text, $6::bytea, $7::jsonb, now() + $8::integer * interval '1 second'
     )
     on conflict (ledger_id, idempotency_key) do nothing`,
    [
      ledger.id,
      approval.id,
      approval.kind,
      approval.requestedBy,
      approval.idempotencyKey,
      approval.fingerprint && Buffer.from(approval.fingerprint),
      JSON.stringify(approval.request),
      approval.expiresInSeconds,
    ],
  );
  const found = await connection.query<ApprovalRow>(
    `select ${COLUMNS} from approvals where ledger_id = $1::integer and idempotency_key = $2::text`,
    [ledger.id, approval.idempotencyKey],
  );
  const [row] = found.rows;
  if (!row) throw new Error('A request for approval vanished.');
  return { record: toRecord(row), isNew: inserted.rowCount === 1 };
}

export async function loadApproval(
  connection: Queryable,
  ledger: Ledger,
  id: string,
): Promise<ApprovalRecord | undefined> {
  const found = await connection.query<ApprovalRow>(
    `select ${COLUMNS} from approvals where ledger_id = $1::integer and id = $2::uuid`,
    [ledger.id, id],
  );
  return found.rows.map(toRecord)[0];
}

/** At most `limit` requests, newest first, older than the one `before`; of one state, if it is named. */
export async function listApprovals(
  connection: Queryable,
  ledger: Ledger,
  page: { limit: number; after: string | null; newestFirst: boolean; state: ApprovalState | null },
): Promise<ApprovalRecord[]> {
  const [comparison, direction] = page.newestFirst ? ['<', 'desc'] : ['>', 'asc'];
  const found = await connection.query<ApprovalRow>(
    `select *
     from (
       select ${COLUMNS}
       from approvals
       where ledger_id = $1::integer and ($2::uuid is null or id ${comparison} $2::uuid)
     ) as approvals
     where $3::text is null or state = $3::text
     order by id ${direction}
     limit $4::integer`,
    [ledger.id, page.after, page.state, page.limit],
  );
  return found.rows.map(toRecord);
}

/** Decides a pending request that has not expired. Returns whether it did. */
export async function decideApproval(
  connection: Queryable,
  ledger: Ledger,
  { id, state, decidedBy }: { id: string; state: 'approved' | 'rejected'; decidedBy: string },
): Promise<boolean> {
  const decided = await connection.query(
    `update approvals
     set state = $3::text, decided_by = $4::text, decided_at = now()
     where ledger_id = $1::integer and id = $2::uuid and state = 'pending' and expires_at > now()`,
    [ledger.id, id, state, decidedBy],
  );
  return decided.rowCount === 1;
}

function toRecord(row: ApprovalRow): ApprovalRecord {
  return {
    id: row.id,
    kind: row.kind,
    state: row.state,
    requestedBy: row.requested_by,
    decidedBy: row.decided_by,
    idempotencyKey: row.idempotency_key,
    fingerprint: row.fingerprint,
    request: row.request,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    decidedAt: row.decided_at,
  };
}
