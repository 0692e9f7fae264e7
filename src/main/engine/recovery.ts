// Recovery: writes the heartbeat of this process's lease, adopts the transfers of leases whose holders stopped, and ends due
// holds. Every process does all of it; the database ensures that each takes effect once.
import { randomUUIDv7 } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionPool, doubtConnections, SilenceError } from '../../db/connection/connect.ts';
import { isOutOfReach, retryAfter, toError } from '../../db/connection/errors.ts';
import { type DueHold, loadDueHolds } from '../../db/ledger/expiries.ts';
import {
  adoptPage,
  loadLastPendingId,
  loadPendingPage,
  type ObservedLease,
  observeLeases,
  type PageBounds,
  type PendingTransfer,
  writeHeartbeat,
} from '../../db/ledger/leases.ts';
import type { NewTransfer } from '../../domain/transfer.ts';
import type { Logger } from '../../logger.ts';
import type { Intake } from './intake.ts';
import type { Lease } from './lease.ts';
import type { Admission } from './admission.ts';
import type { AdmissionShares } from './admission-shares.ts';
import type { Dispatcher } from './dispatcher.ts';
import { sizeOf, toStoredUnits, toWaitingUnit } from './unit.ts';

/** How much is adopted at once. The next page follows when this one is settled, so memory is bounded and no page waits for a tick. */
const PAGE: PageBounds = { countMax: 1000, bytesMax: 4 * 1024 * 1024 };
/** How long the next page waits for one that is delayed, for example by a lock. */
const PAGE_WAIT_MS = 1000;
const FIRST_ID = '00000000-0000-0000-0000-000000000000';

export type Recovery = {
  /** Whether the last heartbeat was written, its answer is not so late that others adopt, and the last adoption worked. */
  readonly healthy: boolean;
  /** Whether the heartbeat reaches the database, which may have other trouble, such as a full disk. */
  readonly reachable: boolean;
  /** Looks at once for transfers under the own lease that this process does not know of. */
  wake(): void;
  /** Adopts and expires nothing more; the heartbeat goes on. */
  stopAdopting(): Promise<void>;
  stop(): Promise<void>;
};

export function startRecovery(options: {
  heartPool: ConnectionPool;
  pool: ConnectionPool;
  lease: Lease;
  intake: Intake;
  admission: Admission;
  ledgerShares: AdmissionShares;
  dispatcher: Dispatcher;
  logger: Logger;
  heartbeatMs: number;
  orphanedAfterMs: number;
}): Recovery {
  const { logger, heartbeatMs, orphanedAfterMs } = options;
  const heart = new Heart(options);
  const adoption = new Adoption(options);
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let adoptionStopped = false;
  let round = Promise.resolve();
  let adopting: Promise<void> | null = null;
  let adopted = true;

  async function runRound(): Promise<void> {
    if ((await heart.beat()) && !adoptionStopped) adopt();
    if (!stopped) timer = setTimeout(start, heartbeatMs);
  }

  /** Heartbeats continue while adopted transfers wait for a lock. */
  function adopt(): void {
    adopting ??= adoptAll();
  }

  async function adoptAll(): Promise<void> {
    try {
      await adoption.run(() => adoptionStopped);
      adopted = true;
    } catch (error) {
      if (adopted) logger.warn({ reason: toError(error).message }, 'orphan scan failed');
      adopted = false;
    }
    adopting = null;
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
    wake() {
      if (!adoptionStopped && heart.beating) adopt();
    },
    async stopAdopting() {
      adoptionStopped = true;
      await adopting;
    },
    async stop() {
      stopped = true;
      adoptionStopped = true;
      clearTimeout(timer);
      await round;
      await adopting;
    },
  };
}

/** Writes the heartbeat on a connection of its own, and derives from it whether the database can be reached. */
class Heart {
  readonly #pool: ConnectionPool;
  readonly #lease: Lease;
  readonly #logger: Logger;
  beating = true;
  reachable = true;
  /** When the unanswered heartbeat was sent; null if there is none. */
  #sentAt: number | null = null;
  /** Whether a heartbeat's connection fell silent, and none was written since. */
  #fellSilent = false;

  constructor({ heartPool, lease, logger }: { heartPool: ConnectionPool; lease: Lease; logger: Logger }) {
    this.#pool = heartPool;
    this.#lease = lease;
    this.#logger = logger;
  }

  isOverdue(ms: number): boolean {
    return this.#sentAt !== null && performance.now() - this.#sentAt > ms;
  }

  /** Writes a heartbeat. Returns false if it cannot be written. */
  async beat(): Promise<boolean> {
    this.#sentAt = performance.now();
    try {
      await this.#write();
      if (!this.beating) this.#logger.info('database reachable again');
      this.beating = true;
      this.reachable = true;
      // The database is there, so statements that were sent into the silence will not be answered.
      if (this.#fellSilent) doubtConnections();
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
      if (retryAfter(error) !== 'new connection') throw error;
      this.#fellSilent ||= error instanceof SilenceError;
      await this.#writeOnce();
    }
  }

  async #writeOnce(): Promise<void> {
    const { held } = this.#lease;
    if (!(await writeHeartbeat(this.#pool, held.id))) await this.#lease.renew(this.#pool, held);
  }
}

/** When this process first observed the current beat of a lease, by its own monotonic clock. */
type Sighting = { readonly beat: bigint | null; readonly since: number };

class Adoption {
  readonly #pool: ConnectionPool;
  readonly #lease: Lease;
  readonly #intake: Intake;
  readonly #admission: Admission;
  readonly #ledgerShares: AdmissionShares;
  readonly #dispatcher: Dispatcher;
  readonly #logger: Logger;
  readonly #orphanedAfterMs: number;
  #sightings = new Map<string, Sighting>();
  /** Due holds whose expiry is on its way. */
  readonly #expiring = new Set<string>();

  constructor(options: {
    pool: ConnectionPool;
    lease: Lease;
    intake: Intake;
    admission: Admission;
    ledgerShares: AdmissionShares;
    dispatcher: Dispatcher;
    logger: Logger;
    orphanedAfterMs: number;
  }) {
    this.#pool = options.pool;
    this.#lease = options.lease;
    this.#intake = options.intake;
    this.#admission = options.admission;
    this.#ledgerShares = options.ledgerShares;
    this.#dispatcher = options.dispatcher;
    this.#logger = options.logger;
    this.#orphanedAfterMs = options.orphanedAfterMs;
  }

  /** Adopts until nothing is left, and ends holds until none is due. */
  async run(stopped: () => boolean): Promise<void> {
    await this.#findOwn(stopped);
    await this.#adopt(stopped);
    await this.#expire(stopped);
  }

  /** Settles transfers under the own lease that this process does not know of, because an answer was lost. */
  async #findOwn(stopped: () => boolean): Promise<void> {
    if (!this.#lease.takeDoubt()) return;
    try {
      // After the renewal, no statement that was sent before can store anything.
      await this.#lease.renew(this.#pool, this.#lease.held);
      const { id } = this.#lease.held;
      // What was stored before is there by now: what comes later is not in doubt.
      const last = (await loadLastPendingId(this.#pool, id)) ?? FIRST_ID;
      let page = await loadPendingPage(this.#pool, id, { after: FIRST_ID, last }, PAGE);
      while (page && !stopped()) {
        const unknown = page.transfers.filter(({ transfer }) => !this.#intake.isStoring(transfer.id));
        await this.#settle(unknown, 'own transfers found');
        page = await loadPendingPage(this.#pool, id, { after: page.lastId, last }, PAGE);
      }
    } catch (error) {
      this.#lease.doubt();
      throw error;
    }
  }

  async #adopt(stopped: () => boolean): Promise<void> {
    const orphaned = this.#judge(await observeLeases(this.#pool, this.#lease.held.id, this.#orphanedAfterMs));
    const failures: unknown[] = [];
    // One that cannot be locked at the moment must not hold up the others.
    for (const orphan of orphaned) {
      await this.#adoptFrom(orphan, stopped).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  async #adoptFrom(orphan: ObservedLease, stopped: () => boolean): Promise<void> {
    while (!stopped()) {
      const page = await this.#doubting(async () => await adoptPage(this.#pool, this.#lease.held, orphan, PAGE));
      if (page === null) return;
      await this.#settle(page, 'orphans adopted');
    }
  }

  /**
   * The leases whose holder stopped: closed ones, and those whose heartbeat did not change for so long. The time is measured
   * here, because the database's clock may be set; that clock only makes it shorter where this process has just begun to look.
   */
  #judge(observed: readonly ObservedLease[]): ObservedLease[] {
    const now = performance.now();
    const before = this.#sightings;
    this.#sightings = new Map(
      observed.map(({ id, beat }) => {
        const seen = before.get(id);
        return [id, seen && seen.beat === beat ? seen : { beat, since: now }];
      }),
    );
    return observed.filter(({ id, ended, late }) => {
      const since = this.#sightings.get(id)?.since ?? now;
      return ended || (late && !before.has(id)) || now - since >= this.#orphanedAfterMs;
    });
  }

  /**
   * Ends due holds. Every process does: the job of an expiry that finds its hold ended writes nothing. So an expiry needs no claim, and
   * nothing is stored before its job commits.
   */
  async #expire(stopped: () => boolean): Promise<void> {
    while (!stopped() && this.#expiring.size < PAGE.countMax) {
      const due = await loadDueHolds(this.#pool, PAGE.countMax, [...this.#expiring]);
      let ended = 0;
      const ending = due.map(async (hold) => {
        if (await this.#end(hold)) ended += 1;
      });
      await within(PAGE_WAIT_MS, Promise.all(ending));
      // What remains is tried again with the next heartbeat.
      if (ended === 0) return;
    }
  }

  /** Whether it ended the hold, and not another process. */
  async #end({ id, ledger, fromAccount, toAccount, currency }: DueHold): Promise<boolean> {
    const expiry: NewTransfer = {
      id: randomUUIDv7(),
      kind: 'expiry',
      fromAccount,
      toAccount,
      amount: null,
      currency,
      parentId: id,
      group: null,
      conditions: null,
      finalCapture: false,
      expiresIn: null,
      requestId: null,
      description: 'Hold expired',
      metadata: null,
    };
    this.#expiring.add(id);
    const unit = toWaitingUnit(ledger, [expiry], null);
    this.#admission.admitRecovered(1, unit.bytes);
    this.#ledgerShares.taken(ledger.name, 1);
    const tracked = this.#dispatcher.submit(unit);
    await tracked.end(Infinity);
    this.#expiring.delete(id);
    return tracked.result?.state === 'settled';
  }

  /** If only the answer is lost, transfers that this process does not know of are pending under its lease. */
  async #doubting<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      this.#lease.doubt();
      throw error;
    }
  }

  /** Hands a page to the dispatcher, and waits until it is settled or delayed. */
  async #settle(page: readonly PendingTransfer[], message: string): Promise<void> {
    const fresh = page.filter(({ transfer }) => !this.#dispatcher.has(transfer));
    if (fresh.length === 0) return;
    const units = toStoredUnits(fresh);
    for (const unit of units) {
      this.#admission.admitRecovered(sizeOf(unit), unit.bytes);
      this.#ledgerShares.taken(unit.ledger.name, sizeOf(unit));
    }
    this.#dispatcher.push(units);
    this.#logger.warn({ transfers: fresh.length }, message);
    await this.#dispatcher.waitFor(
      fresh.map(({ transfer }) => transfer),
      PAGE_WAIT_MS,
    );
  }
}

/** Resolves with `work`, or after `timeoutMs`. */
async function within(timeoutMs: number, work: Promise<unknown>): Promise<void> {
  const ended = new AbortController();
  await Promise.race([work, sleep(timeoutMs, undefined, { signal: ended.signal }).catch(() => {})]);
  ended.abort();
}
