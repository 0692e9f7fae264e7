// When the requests of a load test start. The signal ends a loop early; requests in flight are still awaited.
import { setTimeout as sleep } from 'node:timers/promises';
import { dueTimes, loadAt, type Stage } from './stages.ts';

/** A request of an open loop is dropped if no connection becomes free for this long. */
const LATE_MAX_MS = 5000;
/** How often a connection that the present stage does not use looks whether it is used now. */
const IDLE_MS = 100;

/** Times are those of `performance.now()`. */
type LoopOptions = { readonly stages: readonly Stage[]; readonly startedAt: number; readonly signal?: AbortSignal };

type OpenLoopOptions = LoopOptions & { readonly connections: number; readonly lateMaxMs?: number };

/** Closed loop: every connection starts the next request when it has its answer. The stages say how many there are. */
export async function closedLoop(
  { stages, startedAt, signal }: LoopOptions,
  start: (intendedAt: number) => Promise<void>,
): Promise<void> {
  const connection = async (_: unknown, index: number) => {
    for (;;) {
      if (signal?.aborted) return;
      const now = performance.now();
      const wanted = loadAt(stages, (now - startedAt) / 1000);
      if (wanted === null) return;
      if (index < Math.round(wanted)) await start(now);
      else await sleep(IDLE_MS);
    }
  };
  await Promise.all(Array.from({ length: connectionsOf(stages) }, connection));
}

/**
 * Open loop: requests start when the stages have them due, even if the service is late. A free connection takes the next
 * request, even one that is already late. So requests that wait for a connection are only counted, and take no memory.
 */
export async function openLoop(
  { lateMaxMs = LATE_MAX_MS, signal, ...options }: OpenLoopOptions,
  start: (intendedAt: number) => Promise<void>,
  onNotSent: (intendedAt: number) => void,
): Promise<void> {
  const { connections, stages, startedAt } = options;
  const due = dueTimes(stages, startedAt);
  const connection = async () => {
    for (let next = due.next(); !next.done; next = due.next()) {
      const intendedAt = next.value;
      const aheadMs = intendedAt - performance.now();
      if (aheadMs > 0) await sleep(aheadMs, undefined, signal && { signal }).catch(() => {});
      if (signal?.aborted) return;
      if (aheadMs < -lateMaxMs) onNotSent(intendedAt);
      else await start(intendedAt);
    }
  };
  await Promise.all(Array.from({ length: connections }, connection));
}

/** The most connections that stages of a closed loop use at once. */
export function connectionsOf(stages: readonly Stage[]): number {
  return Math.max(...stages.flatMap(({ from, to }) => [from, to]));
}
