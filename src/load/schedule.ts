// When the requests of a load test start. The signal ends a loop early; requests in flight are still awaited.
import { setTimeout as sleep } from 'node:timers/promises';

/** A request of an open loop is dropped if no connection becomes free for this long. */
const LATE_MAX_MS = 5000;

type OpenLoopOptions = {
  connections: number;
  rate: number;
  endsAt: number;
  lateMaxMs?: number;
  signal?: AbortSignal;
};

/**
 * Closed loop: every connection starts the next request when it has its answer. Times are those of `performance.now()`.
 */
export async function closedLoop(
  { connections, endsAt, signal }: { connections: number; endsAt: number; signal?: AbortSignal },
  start: (intendedAt: number) => Promise<void>,
): Promise<void> {
  const connection = async () => {
    while (performance.now() < endsAt) {
      if (signal?.aborted) return;
      await start(performance.now());
    }
  };
  await Promise.all(Array.from({ length: connections }, connection));
}

/**
 * Open loop: `rate` requests a second start on schedule, even if the service is late. A free connection takes the next
 * request, even one that is already late. So requests that wait for a connection are only counted, and take no memory.
 */
export async function openLoop(
  { lateMaxMs = LATE_MAX_MS, signal, ...options }: OpenLoopOptions,
  start: (intendedAt: number) => Promise<void>,
  onNotSent: (intendedAt: number) => void,
): Promise<void> {
  const { connections, rate, endsAt } = options;
  let nextAt = performance.now();
  const connection = async () => {
    while (nextAt < endsAt) {
      const intendedAt = nextAt;
      nextAt += 1000 / rate;
      const aheadMs = intendedAt - performance.now();
      if (aheadMs > 0) await sleep(aheadMs, undefined, signal && { signal }).catch(() => {});
      if (signal?.aborted) return;
      if (aheadMs < -lateMaxMs) onNotSent(intendedAt);
      else await start(intendedAt);
    }
  };
  await Promise.all(Array.from({ length: connections }, connection));
}
