// Recovery: keeps this process's intake alive in the database, and adopts the orders of intakes that stopped.
import { adoptOrphans, beat } from '../db/intake.ts';
import type { ConnectionPool } from '../db/connect.ts';
import { toError } from '../db/errors.ts';
import type { Logger } from '../logger.ts';
import type { Intake } from './intake.ts';
import type { Queue } from './queue.ts';
import type { Settlement } from './settlement.ts';

const ADOPT_COUNT_MAX = 1000;

export type Recovery = {
  /** Whether the last heartbeat was written. */
  readonly healthy: boolean;
  stop(): Promise<void>;
};

/** Beats every `heartbeatMs`, and each time adopts what has been silent for `orphanedAfterMs`. */
export function startRecovery(options: {
  pool: ConnectionPool;
  intake: Intake;
  queue: Queue;
  settlement: Settlement;
  logger: Logger;
  heartbeatMs: number;
  orphanedAfterMs: number;
}): Recovery {
  const { pool, intake, queue, settlement, logger } = options;
  let healthy = true;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let round = Promise.resolve();

  async function runRound(): Promise<void> {
    try {
      await beat(pool, intake.intakeId);
      if (!healthy) logger.info('the database is back');
      healthy = true;
      await adopt();
    } catch (error) {
      if (healthy) logger.warn({ reason: toError(error).message }, 'the heartbeat could not be written');
      healthy = false;
    }
    if (!stopped) timer = setTimeout(start, options.heartbeatMs);
  }

  async function adopt(): Promise<void> {
    const countMax = Math.min(ADOPT_COUNT_MAX, queue.room);
    if (countMax === 0) return;
    const ids = await adoptOrphans(pool, intake.intakeId, { staleAfterMs: options.orphanedAfterMs, countMax }).catch(
      async (error: unknown) => {
        // If only the answer was lost, the orders are ours without our knowing them: under another id, they are orphans again.
        await intake.renew();
        throw error;
      },
    );
    // What an earlier connection of this process stored may be on its way here already.
    const orphans = ids.filter((id) => !settlement.has(id)).map((id) => ({ id, requestId: id }));
    if (orphans.length === 0) return;
    queue.admitAnyway(orphans.length);
    settlement.push(orphans);
    logger.warn({ transfers: orphans.length }, 'orders of a stopped intake were adopted');
  }

  function start(): void {
    round = runRound();
  }

  start();
  return {
    get healthy() {
      return healthy;
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await round;
    },
  };
}
