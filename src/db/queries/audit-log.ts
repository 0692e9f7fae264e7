// Reads the log of administration and refusals.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';

export type AuditLogEntry = {
  readonly id: string;
  readonly at: string;
  /** `refused`, or what was administered. */
  readonly action: string;
  readonly actor: string | null;
  readonly subject: string | null;
  readonly address: string | null;
  /** How many equal refusals it stands for. */
  readonly count: number;
  /** The row of the journal that covers it; null for refusals. */
  readonly journalNumber: bigint | null;
  readonly details: Readonly<Record<string, unknown>>;
};

/** At most `limit` entries of a ledger that follow the entry `after`; `refused`: refusals or the others only. */
export async function listAuditLog(
  connection: Queryable,
  ledger: Ledger,
  page: { limit: number; after: string | null; newestFirst: boolean; refused: boolean | null },
): Promise<AuditLogEntry[]> {
  const [comparison, direction] = page.newestFirst ? ['<', 'desc'] : ['>', 'asc'];
  const result = await connection.query<{
    id: string;
    at: string;
    action: string;
    actor: string | null;
    subject: string | null;
    address: string | null;
    count: number;
    journal_number: bigint | null;
    details: string | null;
  }>(
    `select id, at, action, actor, subject, address, count, journal_number, details
     from audit_log
     where ledger_id = $1::integer
       and ($2::uuid is null or id ${comparison} $2::uuid)
       and ($3::boolean is null or (journal_number is null) = $3::boolean)
     order by id ${direction}
     limit $4::integer`,
    [ledger.id, page.after, page.refused, page.limit],
  );
  return result.rows.map((row) => ({
    id: row.id,
    at: row.at,
    action: row.action,
    actor: row.actor,
    subject: row.subject,
    address: row.address,
    count: row.count,
    journalNumber: row.journal_number,
    details: toDetails(row.details),
  }));
}

function toDetails(text: string | null): Record<string, unknown> {
  const value: unknown = text === null ? {} : JSON.parse(text);
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
