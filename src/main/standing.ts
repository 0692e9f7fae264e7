// How an order stands, for whoever was told or is to be told of it: read so that what is said of it survives a crash of the database.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionPool } from '../db/connect.ts';
import { retryAfter } from '../db/errors.ts';
import { loadGroup, loadTransfers, type Transfer } from '../db/transfers.ts';
import type { Intake } from './intake.ts';
import { Problem } from './problem.ts';
import { unavailableProblem } from './server.ts';
import type { Settlement } from './settlement.ts';

export type StandingParts = {
  pool: ConnectionPool;
  intake: Intake;
  settlement: Settlement;
  /** Makes durable what was committed before, over a connection that holds up nobody's order. */
  flush: () => Promise<unknown>;
};

const UUID_FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** How often a replay that waits looks whether another process has settled what it waits for. */
const LOOK_AGAIN_MS = 50;

/** What a request orders, or ordered before under the same idempotency key: one transfer, or a group. */
export type Named = { readonly namedId: string; readonly isGroup: boolean };
export type AcceptedOrders = Named & {
  readonly replayed: boolean;
  readonly createdAt: string;
  /** Under which intake id it was committed asynchronously; null if it is on the database's disk. */
  readonly unflushed: string | null;
};

/**
 * The orders of a request whose wait is over, as they are now; none if they are durable and cannot be read just now, in which case
 * they are pending for all that is known. A 202 promises that they will be there, so what was not flushed is flushed first.
 */
export async function loadAccepted(parts: StandingParts, accepted: AcceptedOrders): Promise<readonly Transfer[]> {
  const found = await loadIfReachable(parts, accepted);
  // What is final was flushed with its job.
  if (found && found.length > 0 && !found.some(isPending)) return found;
  if (accepted.unflushed === null || (await flushIntake(parts, accepted)) === accepted.unflushed) {
    if (found?.length === 0) throw unknownProblem(accepted);
    // A 503 would tell the caller that nothing was stored.
    return found ?? [];
  }
  // Flushed over another connection: the database may have crashed in between, and what is there now counts.
  const left = await loadIfReachable(parts, accepted);
  if (!left) throw unknownProblem(accepted);
  // Only settlement deletes an order, and writes the transfer with it: what is not there never was on the disk.
  if (left.length === 0) throw unavailableProblem();
  return left;
}

/**
 * What an idempotency key named before, at once, or when all of it is final or `waitMs` are over. It is there, also where it cannot be
 * read: a 503 must not tell the caller otherwise.
 */
export async function loadReplayed(
  parts: StandingParts,
  accepted: AcceptedOrders,
  waitMs: number | null,
): Promise<readonly [Transfer, ...Transfer[]]> {
  const { settlement } = parts;
  const deadline = performance.now() + (waitMs ?? 0);
  for (;;) {
    const found = await loadIfReachable(parts, accepted);
    const [first, ...others] = found ?? [];
    const pending = found?.find(isPending);
    const leftMs = deadline - performance.now();
    // Key and orders are one commit: if they are gone, a crash of the database has taken both.
    if (found && !first) throw unknownProblem(accepted);
    if (first && (!pending || leftMs <= 0)) {
      const { unflushed } = accepted;
      if (pending && unflushed !== null && (await flushIntake(parts, accepted)) !== unflushed)
        throw unknownProblem(accepted);
      return [first, ...others];
    }
    if (leftMs <= 0) throw unknownProblem(accepted);
    // The end of what is on its way here is announced; what is on its way in another process has to be looked for.
    if (pending && settlement.has(pending.id)) await settlement.waitFor([pending.id], leftMs);
    else await sleep(Math.min(LOOK_AGAIN_MS, leftMs));
  }
}

/** See Intake.flush. Throws outcome_unknown if the database does not answer. */
export async function flushIntake({ intake }: StandingParts, named: Named): Promise<string> {
  return await intake.flush().catch(() => {
    throw unknownProblem(named);
  });
}

/** The orders of a name, or null where the database cannot be asked. */
async function loadIfReachable(parts: StandingParts, named: Named): Promise<readonly Transfer[] | null> {
  return await loadNamed(parts, named).catch((error: unknown) => {
    if (retryAfter(error) === 'never') throw error;
    return null;
  });
}

async function loadNamed({ pool }: StandingParts, { namedId, isGroup }: Named): Promise<readonly Transfer[]> {
  return isGroup ? await loadGroup(pool, namedId) : await loadTransfers(pool, [namedId]);
}

/**
 * What `load` finds. An order that is shown as pending will be there, whatever crashes: if there is one among `transfersOf` it, all is
 * flushed, and loaded again.
 */
export async function loadDurable<Found>(
  { flush }: StandingParts,
  load: () => Promise<Found>,
  transfersOf: (found: Found) => readonly Transfer[],
): Promise<Found> {
  const found = await load();
  if (!transfersOf(found).some(isPending)) return found;
  await flush();
  return await load();
}

function isPending({ status }: Transfer): boolean {
  return status === 'pending';
}

/** Finds a transfer, or throws transfer_not_found. */
export async function findTransfer(pool: ConnectionPool, id: string | undefined): Promise<Transfer> {
  const [transfer] = id !== undefined && UUID_FORM.test(id) ? await loadTransfers(pool, [id]) : [];
  if (!transfer) throw new Problem('transfer_not_found', 'There is no transfer with this id.');
  return transfer;
}

/** Whether a text is a UUID, in any case. */
export function isUuid(text: string): boolean {
  return UUID_FORM.test(text);
}

/** 503: the database may have stored the orders, but did not say so, or not how they are. */
export function unknownProblem({ namedId, isGroup }: Named): Problem {
  const path = isGroup ? `/transfers?group_id=${namedId}` : `/transfers/${namedId}`;
  return new Problem(
    'outcome_unknown',
    `The database went away before it answered. Look at ${path}, or send the same Idempotency-Key again.`,
    { headers: { 'Retry-After': '1' }, members: { transfer_id: namedId } },
  );
}
