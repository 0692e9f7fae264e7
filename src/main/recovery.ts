// Recovery: keeps this process's intake alive in the database, adopts the orders of intakes that stopped, and orders the
// end of holds whose time has come. Every process does all of it; the database sees to it that each is done once.
import { randomUUIDv7 } from 'node:crypto';
import { adoptOrphans, beat, orderExpiries } from '../db/intake.ts';
import { type ConnectionPool, doubtConnections, SilenceError } from '../db/connect.ts';
import { isOutOfReach, retryAfter, toError } from '../db/errors.ts';
import type { Durable } from '../domain/job.ts';
import type { Logger } from '../logger.ts';
import type { Intake } from './intake.ts';
import type { Queue } from './queue.ts';
import type { Settlement } from './settlement.ts';

const ADOPT_COUNT_MAX = 1000;
/** How many are taken on even if the queue is full: orphans and expiries must not starve behind a storm of new orders. */
const ADOPT_COUNT_MIN = 100;
const EXPIRE_COUNT_MAX = 100;

export type Recovery = {
  /**
   * Whether the last heartbeat was written, none is waiting for its answer for so long that others take us for dead, and what had
   * to be adopted was.
   */
  readonly healthy: boolean;
  /** Whether the database can be reached, for all that the heartbeat tells; it may be in other trouble, such as a full disk. */
  readonly reachable: boolean;
  stop(): Promise<void>;
};

/**
 * Beats every `heartbeatMs`, and after each adopts what has been silent for `orphanedAfterMs`. The heart has a connection of its own,
 * and goes on beating while what is adopted waits for a lock.
 */
export function startRecovery(options: {
  heartPool: ConnectionPool;
  pool: ConnectionPool;
  intake: Intake;
  queue: Queue;
  settlement: Settlement;
  logger: Logger;
  heartbeatMs: number;
  orphanedAfterMs: number;
}): Recovery {
  const { heartPool, pool, intake, queue, settlement, logger } = options;
  let beating = true;
  let reachable = true;
  /** When the heartbeat was sent that has no answer yet. */
  let askedAt: number | null = null;
  /** Whether a heartbeat's connection fell silent, and none was written since. */
  let fellSilent = false;
  let adopting: Promise<void> | null = null;
  let adopted = true;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let round = Promise.resolve();

  async function runRound(): Promise<void> {
    askedAt = performance.now();
    try {
      await beatOrRepeat();
      if (!beating) logger.info('the database is back');
      beating = true;
      reachable = true;
      // The database is there; what else was sent into the silence will not be answered, however long it is waited for.
      if (fellSilent) doubtConnections();
      fellSilent = false;
      adopting ??= adoptAndExpire();
    } catch (error) {
      if (beating) logger.warn({ reason: toError(error).message }, 'the heartbeat could not be written');
      beating = false;
      reachable = !isOutOfReach(error);
    }
    askedAt = null;
    if (!stopped) timer = setTimeout(start, options.heartbeatMs);
  }

  /** A connection that broke says little about the database: what a new one is told counts. */
  async function beatOrRepeat(): Promise<void> {
    try {
      await beat(heartPool, intake.intakeId);
    } catch (error) {
      if (retryAfter(error) !== 'new connection') throw error;
      fellSilent ||= error instanceof SilenceError;
      await beat(heartPool, intake.intakeId);
    }
  }

  async function adoptAndExpire(): Promise<void> {
    try {
      await adopt();
      await expire();
      adopted = true;
    } catch (error) {
      if (adopted) logger.warn({ reason: toError(error).message }, 'what others left cannot be looked for');
      adopted = false;
    }
    adopting = null;
  }

  function isSilent(): boolean {
    return askedAt !== null && performance.now() - askedAt > options.orphanedAfterMs;
  }

  async function adopt(): Promise<void> {
    const countMax = Math.max(ADOPT_COUNT_MIN, Math.min(ADOPT_COUNT_MAX, queue.room));
    const orphans = await orRenew(
      adoptOrphans(pool, intake.intakeId, { staleAfterMs: options.orphanedAfterMs, countMax }),
    );
    // What an earlier connection of this process stored may be on its way here already.
    const settled = settle(orphans.filter(({ id }) => !settlement.has(id)));
    if (settled > 0) logger.warn({ transfers: settled }, 'orders of a stopped intake were adopted');
  }

  async function expire(): Promise<void> {
    const ids = Array.from({ length: EXPIRE_COUNT_MAX }, () => randomUUIDv7());
    settle(await orRenew(orderExpiries(pool, intake.intakeId, ids)));
  }

  function settle(orders: readonly Durable[]): number {
    queue.admitAnyway(orders.length);
    settlement.push(orders);
    return orders.length;
  }

  /** If only the answer was lost, the orders are ours without our knowing them: under another id, they are orphans again. */
  async function orRenew<Result>(work: Promise<Result>): Promise<Result> {
    try {
      return await work;
    } catch (error) {
      await intake.renew();
      throw error;
    }
  }

  function start(): void {
    round = runRound();
  }

  start();
  return {
    get healthy() {
      return beating && adopted && !isSilent();
    },
    get reachable() {
      return reachable && !isSilent();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await round;
      await adopting;
    },
  };
}
