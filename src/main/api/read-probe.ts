// Checks whether short reads are answered, with a read over the connections that callers' reads use.
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { toError } from '../../db/connection/errors.ts';
import { loadJournalNumber } from '../../db/queries/feed.ts';
import { MAIN_LEDGER } from '../../domain/ledger.ts';
import type { Logger } from '../../logger.ts';

export type ReadProbe = {
  /**
   * Whether a read was answered within the last `failedAfterMs`: one slow or lost read does not make the service
   * unready.
   */
  readonly healthy: boolean;
  stop(): void;
};

/** Reads every `intervalMs`, one read at a time. */
export function startReadProbe(options: {
  pool: ConnectionPool;
  logger: Logger;
  intervalMs: number;
  failedAfterMs: number;
}): ReadProbe {
  let answeredAt = performance.now();
  let failing = false;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  async function probe(): Promise<void> {
    try {
      await loadJournalNumber(options.pool, MAIN_LEDGER);
      answeredAt = performance.now();
      failing = false;
    } catch (error) {
      if (!failing && !stopped) options.logger.warn({ reason: toError(error).message }, 'read probe failed');
      failing = true;
    }
    if (!stopped) timer = setTimeout(() => void probe(), options.intervalMs);
  }

  void probe();
  return {
    get healthy() {
      return performance.now() - answeredAt <= options.failedAfterMs;
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
