// How transfers to other ledgers stand. A row says only that the hold was made: the hold, and the capture or void that
// ended it, say the rest. All are in the ledger of the transfer.
import type { Ledger } from '../../domain/ledger.ts';
import { FAILURE_CODES } from '../../domain/transfer.ts';
import type { Queryable } from '../connection/connect.ts';
import type { Transfer } from './transfers.ts';

const LOAD_ENDS = `
      select hold.id, hold.state, ended.completed_at, ended.description
      from unnest($2::uuid[]) as named (id)
      cross join lateral (
        select id, state
        from holds
        where ledger_id = $1::integer and holds.id = named.id
        offset 0
      ) as hold
      left join lateral (
        select completed_at, description
        from transfers
        where ledger_id = $1::integer and parent_id = hold.id and kind in ('capture', 'void') and status = 'completed'
        limit 1
      ) as ended on true`;

type End = { id: string; state: string; completed_at: string | null; description: string | null };

/**
 * SQL over a row of transfers: whether it began a transfer to another ledger, which is in this state now. The first parameter
 * of the statement is the ledger: by a column, nodes of a distributed engine would ask each other.
 */
export function beganAndIs(state: 'open' | 'captured' | 'voided'): string {
  return `(${BEGAN} and exists (
      select
      from holds
      where holds.ledger_id = $1::integer and holds.id = transfers.id and holds.state = '${state}'
      -- By the key of each: the planner would rather read all holds of this state once.
      offset 0
    ))`;
}

/** SQL over a row of transfers: whether it began a transfer to another ledger. */
export const BEGAN = `(remote_account is not null and kind = 'hold' and status = 'completed')`;

/** The same transfers; those to other ledgers are pending until they have ended there, and then completed or failed. */
export async function withEnds(
  connection: Queryable,
  ledger: Ledger,
  transfers: readonly Transfer[],
): Promise<Transfer[]> {
  const begun = transfers.filter(hasBegun).map(({ id }) => id);
  if (begun.length === 0) return [...transfers];
  const { rows } = await connection.query<End>({ name: 'load ends', text: LOAD_ENDS, values: [ledger.id, begun] });
  const ends = new Map(rows.map((row) => [row.id, row]));
  return transfers.map((transfer) => {
    const end = hasBegun(transfer) ? ends.get(transfer.id) : undefined;
    return end ? toEnded(transfer, end) : transfer;
  });
}

function hasBegun({ kind, remoteAccount, status }: Transfer): boolean {
  return kind === 'hold' && remoteAccount !== null && status === 'completed';
}

function toEnded(transfer: Transfer, { state, completed_at: completedAt, description }: End): Transfer {
  if (state === 'captured') return { ...transfer, completedAt };
  if (state !== 'voided') return { ...transfer, status: 'pending', completedAt: null };
  // The void has the failure code of the credit as its description.
  const failureCode = FAILURE_CODES.find((code) => code === description) ?? 'cannot_be_settled';
  return { ...transfer, status: 'failed', failureCode, completedAt };
}
