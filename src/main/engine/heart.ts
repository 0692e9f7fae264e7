// The heartbeat of this process's lease.
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { suspectConnections, SilenceError } from '../../db/connection/silence.ts';
import { isOutOfReach, retryPolicyOf, toError } from '../../db/connection/errors.ts';
import { writeHeartbeat } from '../../db/ledger/leases.ts';
import type { Logger } from '../../logger.ts';
import type { Lease } from './lease.ts';

/** Writes the heartbeat on a connection of its own, and derives from it whether the database can be reached. */
export class Heart {
  readonly #pool: ConnectionPool;
  readonly #lease: Lease;
  readonly #logger: Logger;
  beating = true;
  reachable = true;
  /** When the unanswered heartbeat was sent; null if there is none. */
  #sentAt: number | null = null;
  /** Whether a heartbeat's connection fell silent, and none has been written since. */
  #fellSilent = false;
  /** When the last written heartbeat was sent. */
  #writtenAt = performance.now();

  constructor({ heartPool, lease, logger }: { heartPool: ConnectionPool; lease: Lease; logger: Logger }) {
    this.#pool = heartPool;
    this.#lease = lease;
    this.#logger = logger;
  }

  isOverdue(ms: number): boolean {
    return this.#sentAt !== null && performance.now() - this.#sentAt > ms;
  }

  get ageMs(): number {
    return performance.now() - this.#writtenAt;
  }

  /** Writes a heartbeat. Returns false if it cannot be written. */
  async beat(): Promise<boolean> {
    const sentAt = performance.now();
    this.#sentAt = sentAt;
    try {
      await this.#write();
      this.#writtenAt = sentAt;
      if (!this.beating) this.#logger.info('database reachable again');
      this.beating = true;
      this.reachable = true;
      // The database answers again, so statements that were sent into the silence will never be answered.
      if (this.#fellSilent) suspectConnections();
      this.#fellSilent = false;
    } catch (error) {
      if (this.beating) this.#logger.warn({ reason: toError(error).message }, 'heartbeat failed');
      this.beating = false;
      this.reachable = !isOutOfReach(error);
    }
    this.#sentAt = null;
    return this.beating;
  }

  /** A broken connection says little about the database: the result on a new one counts. */
  async #write(): Promise<void> {
    try {
      await this.#writeOnce();
    } catch (error) {
      if (retryPolicyOf(error) !== 'new connection') throw error;
      this.#fellSilent ||= error instanceof SilenceError;
      await this.#writeOnce();
    }
  }

  async #writeOnce(): Promise<void> {
    const { held } = this.#lease;
    if (!(await writeHeartbeat(this.#pool, held.id))) await this.#lease.renew(this.#pool, held);
  }
}
