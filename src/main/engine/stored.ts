// Reads the transfers of a request that was stored or settled earlier.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { retryPolicyOf } from '../../db/connection/errors.ts';
import { loadGroup, loadTransfers, type Transfer } from '../../db/queries/transfers.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Courier } from './courier.ts';
import type { Dispatcher } from './dispatcher.ts';

/** How often a waiting replay checks whether another process has settled its transfers: less and less often. */
const LOOK_AGAIN_MS_MIN = 50;
const LOOK_AGAIN_MS_MAX = 1000;

/** The transfers of a request, or of an earlier one with the same idempotency key: one transfer, or a group. */
export type Named = { readonly ledger: Ledger; readonly namedId: string; readonly isGroup: boolean };

/**
 * The transfers of a request: at once, or when all of them are final or `waitMs` have passed. Null if they cannot be
 * read: they exist, so the outcome is unknown then.
 */
export async function loadStored(
  { pool, dispatcher, courier }: { pool: ConnectionPool; dispatcher: Dispatcher; courier: Courier },
  named: Named,
  waitMs: number,
): Promise<readonly Transfer[] | null> {
  const deadline = performance.now() + waitMs;
  for (let pauseMs = LOOK_AGAIN_MS_MIN; ; pauseMs = Math.min(LOOK_AGAIN_MS_MAX, pauseMs * 2)) {
    const found = await loadIfReachable(pool, named);
    const pending = found?.find(({ status }) => status === 'pending');
    const leftMs = deadline - performance.now();
    if (found && found.length > 0 && (!pending || leftMs <= 0)) return found;
    if (leftMs <= 0) return null;
    // The end of transfers in progress here is announced; those in progress in another process must be polled.
    const onItsWay = pending && { id: pending.id, group: pending.groupId === null ? null : { id: pending.groupId } };
    if (onItsWay && dispatcher.has(onItsWay)) await dispatcher.waitFor([onItsWay], leftMs);
    else if (onItsWay && courier.has(named.ledger, onItsWay.id)) await courier.end(named.ledger, onItsWay.id, leftMs);
    else await sleep(Math.min(pauseMs, leftMs));
  }
}

/** The transfers of a request, or null if the database cannot be reached. */
async function loadIfReachable(pool: ConnectionPool, named: Named): Promise<readonly Transfer[] | null> {
  return await loadNamed(pool, named).catch((error: unknown) => {
    if (retryPolicyOf(error) === 'never') throw error;
    return null;
  });
}

async function loadNamed(pool: ConnectionPool, { ledger, namedId, isGroup }: Named): Promise<readonly Transfer[]> {
  return isGroup ? await loadGroup(pool, ledger, namedId) : await loadTransfers(pool, ledger, [namedId]);
}
