// How transfers are put into jobs: by count, by bytes, and without splitting an atomic group. Pure.
import type { Job, QueuedTransfer } from '../domain/job.ts';

/** About how many bytes of a thread's memory one job may take, without its copies. Most jobs take a tenth of it. */
const JOB_BYTES_MAX = 4 * 1024 * 1024;

/** The transfers of a job, and the accounts and parents that they name, each once. */
export function named(
  transfers: readonly Pick<QueuedTransfer, 'id' | 'fromAccount' | 'toAccount' | 'parentId'>[],
): Pick<Job, 'transferIds' | 'accountNumbers' | 'parentIds'> {
  const accountNumbers = new Set<string>();
  const parentIds = new Set<string>();
  for (const { fromAccount, toAccount, parentId } of transfers) {
    accountNumbers.add(fromAccount).add(toAccount);
    if (parentId !== null) parentIds.add(parentId);
  }
  return {
    transferIds: transfers.map((transfer) => transfer.id),
    accountNumbers: [...accountNumbers],
    parentIds: [...parentIds],
  };
}

export function sumBytes(transfers: readonly QueuedTransfer[]): number {
  return transfers.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** How many of these transfers fit into the memory of one job. */
function countFitting(transfers: readonly QueuedTransfer[], max: number): number {
  let bytes = 0;
  for (let count = 0; count < max; count += 1) {
    bytes += transfers[count]?.bytes ?? 0;
    if (bytes > JOB_BYTES_MAX) return count;
  }
  return max;
}

/**
 * How many of these transfers make a job of at most `max` that fits into memory, without splitting an atomic group. A first
 * group that alone is larger is taken whole.
 */
export function countWhole(transfers: readonly QueuedTransfer[], max: number): number {
  let count = countFitting(transfers, Math.min(max, transfers.length));
  while (count > 0 && tears(transfers, count)) count -= 1;
  if (count > 0) return count;
  count = 1;
  while (tears(transfers, count)) count += 1;
  return count;
}

/** Whether a cut before this index splits an atomic group. */
function tears(transfers: readonly QueuedTransfer[], index: number): boolean {
  const group = transfers[index]?.atomicGroupId ?? null;
  return group !== null && transfers[index - 1]?.atomicGroupId === group;
}

/** Whether these cannot be split: one transfer, or the members of one atomic group. */
export function isWhole(transfers: readonly QueuedTransfer[]): boolean {
  return countWhole(transfers, 1) === transfers.length;
}
