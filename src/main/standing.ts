// Reads the state of a request's transfers for an answer.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionPool } from '../db/connect.ts';
import { retryAfter } from '../db/errors.ts';
import { loadGroup, loadTransfers, type Transfer } from '../db/transfers.ts';
import { type Ledger, MAIN_LEDGER } from '../domain/ledger.ts';
import { Problem } from './problem.ts';
import type { Settlement } from './settlement.ts';

export type StandingParts = { pool: ConnectionPool; settlement: Settlement };

const UUID_FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** How often a replay that waits looks whether another process has settled what it waits for: less and less often. */
const LOOK_AGAIN_MS_MIN = 50;
const LOOK_AGAIN_MS_MAX = 1000;

/** The name of the transfers of a request, or of an earlier one with the same idempotency key: one transfer, or a group. */
export type Named = { readonly namedId: string; readonly isGroup: boolean };

/**
 * The transfers of a stored request: at once, or when all of them are final or `waitMs` have passed. Throws outcome_unknown if
 * they cannot be read: they exist, and a 503 of another code would mean that nothing was stored.
 */
export async function loadStored(
  parts: StandingParts,
  named: Named,
  waitMs: number | null,
): Promise<readonly [Transfer, ...Transfer[]]> {
  const { settlement } = parts;
  const deadline = performance.now() + (waitMs ?? 0);
  for (let pauseMs = LOOK_AGAIN_MS_MIN; ; pauseMs = Math.min(LOOK_AGAIN_MS_MAX, pauseMs * 2)) {
    const found = await loadIfReachable(parts, named);
    const [first, ...others] = found ?? [];
    const pending = found?.find(({ status }) => status === 'pending');
    const leftMs = deadline - performance.now();
    if (first && (!pending || leftMs <= 0)) return [first, ...others];
    if (leftMs <= 0) throw unknownProblem(named);
    // The end of what is on its way here is announced; what is on its way in another process has to be looked for.
    if (pending && settlement.has(pending.id)) await settlement.waitFor([pending.id], leftMs);
    else await sleep(Math.min(pauseMs, leftMs));
  }
}

/** The transfers of a name, or null if the database cannot be reached. */
async function loadIfReachable(parts: StandingParts, named: Named): Promise<readonly Transfer[] | null> {
  return await loadNamed(parts, named).catch((error: unknown) => {
    if (retryAfter(error) === 'never') throw error;
    return null;
  });
}

async function loadNamed({ pool }: StandingParts, { namedId, isGroup }: Named): Promise<readonly Transfer[]> {
  return isGroup ? await loadGroup(pool, MAIN_LEDGER, namedId) : await loadTransfers(pool, MAIN_LEDGER, [namedId]);
}

/** Finds a transfer, or throws transfer_not_found. */
export async function findTransfer(pool: ConnectionPool, ledger: Ledger, id: string | undefined): Promise<Transfer> {
  const [transfer] = id !== undefined && UUID_FORM.test(id) ? await loadTransfers(pool, ledger, [id]) : [];
  if (!transfer) throw new Problem('transfer_not_found', 'There is no transfer with this id.');
  return transfer;
}

/** Whether a text is a UUID, in any case. */
export function isUuid(text: string): boolean {
  return UUID_FORM.test(text);
}

/** 503: the database may have stored the transfers, but the answer, or their state, cannot be read. */
export function unknownProblem({ namedId, isGroup }: Named): Problem {
  const path = isGroup ? `/transfers?group_id=${namedId}` : `/transfers/${namedId}`;
  return new Problem(
    'outcome_unknown',
    `The database went away before it answered. Look at ${path}, or send the same Idempotency-Key again.`,
    { headers: { 'Retry-After': '1' }, members: { transfer_id: namedId } },
  );
}
