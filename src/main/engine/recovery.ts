// Recovery: writes the heartbeat of this process's lease, adopts the transfers of leases whose holders stopped, ends due
// holds, and wakes the courier. Every process does all of it; the database ensures that each takes effect once.
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { toError } from '../../db/connection/errors.ts';
import type { Logger } from '../../logger.ts';
import type { Tracer } from '../tracer.ts';
import type { Admission } from './admission.ts';
import type { AdmissionShares } from './admission-shares.ts';
import { Adoption } from './adoption.ts';
import type { Courier } from './courier.ts';
import type { Dispatcher } from './dispatcher.ts';
import { Expiry } from './expiry.ts';
import { Heart } from './heart.ts';
import type { Intake } from './intake.ts';
import type { Lease } from './lease.ts';

export type RecoveryFigures = Adoption['figures'] & {
  readonly heartbeatAgeMs: number;
  readonly scansOk: number;
  readonly scansFailed: number;
};

export type Recovery = {
  /**
   * Whether the last heartbeat was written, its answer came before other processes adopt, and the last adoption worked.
   */
  readonly healthy: boolean;
  /** Whether the heartbeat reaches the database, which may have other trouble, such as a full disk. */
  readonly reachable: boolean;
  /** For the metrics. */
  figures(): RecoveryFigures;
  /** Looks at once for transfers under the own lease that this process does not know of. */
  wake(): void;
  /** Stops adoption and expiry, and the rounds of the courier; the heartbeat continues. */
  stopAdopting(): Promise<void>;
  stop(): Promise<void>;
};

type RecoveryOptions = {
  readonly heartPool: ConnectionPool;
  readonly pool: ConnectionPool;
  readonly lease: Lease;
  readonly intake: Intake;
  readonly admission: Admission;
  readonly ledgerShares: AdmissionShares;
  readonly dispatcher: Dispatcher;
  readonly courier: Courier;
  readonly logger: Logger;
  readonly tracer: Tracer | null;
  readonly heartbeatMs: number;
  readonly orphanedAfterMs: number;
};

export function startRecovery(options: RecoveryOptions): Recovery {
  const { courier, logger, heartbeatMs, orphanedAfterMs } = options;
  const heart = new Heart(options);
  const adoption = new Adoption({ ...options, onRoom: wake });
  const expiry = new Expiry(options);
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let adoptionStopped = false;
  let round = Promise.resolve();
  let adopting: Promise<void> | null = null;
  let adopted = true;
  const scans = { scansOk: 0, scansFailed: 0 };

  async function runRound(): Promise<void> {
    if ((await heart.beat()) && !adoptionStopped) {
      adopt();
      // Beside the adoption, which may wait for locks.
      courier.wake();
    }
    if (!stopped) timer = setTimeout(start, heartbeatMs);
  }

  /** Heartbeats continue while adopted transfers wait for a lock. */
  function adopt(): void {
    adopting ??= adoptAll();
  }

  async function adoptAll(): Promise<void> {
    try {
      await adoption.run(() => adoptionStopped);
      await expiry.run(() => adoptionStopped);
      adopted = true;
      scans.scansOk += 1;
    } catch (error) {
      if (adopted) logger.warn({ reason: toError(error).message }, 'orphan scan failed');
      adopted = false;
      scans.scansFailed += 1;
    }
    adopting = null;
  }

  function wake(): void {
    if (!adoptionStopped && heart.beating) adopt();
  }

  function start(): void {
    round = runRound();
  }

  start();
  return {
    get healthy() {
      return heart.beating && adopted && !heart.isOverdue(orphanedAfterMs);
    },
    get reachable() {
      return heart.reachable && !heart.isOverdue(orphanedAfterMs);
    },
    figures: () => ({ ...adoption.figures, ...scans, heartbeatAgeMs: heart.ageMs }),
    wake,
    async stopAdopting() {
      adoptionStopped = true;
      await courier.stop();
      await adopting;
    },
    async stop() {
      stopped = true;
      adoptionStopped = true;
      clearTimeout(timer);
      await round;
      await courier.stop();
      await adopting;
    },
  };
}
