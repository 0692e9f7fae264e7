// Adoption: takes over the transfers of leases whose holders stopped. Also finds transfers under the own lease that
// this process does not know of.
import type { ConnectionPool } from '../../db/connection/connect.ts';
import {
  adoptPage,
  loadLastPendingId,
  loadPendingPage,
  type ObservedLease,
  observeLeases,
  type PageBounds,
  type PendingTransfer,
} from '../../db/ledger/leases.ts';
import type { Logger } from '../../logger.ts';
import type { Tracer } from '../tracer.ts';
import type { Admission } from './admission.ts';
import type { AdmissionShares } from './admission-shares.ts';
import { Backlog } from './backlog.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { Intake } from './intake.ts';
import type { Lease } from './lease.ts';
import { sizeOf, toStoredUnits } from './unit.ts';

/** The size of a page. The next page follows when this one is settled, so that no page waits for a tick. */
const PAGE = { countMax: 1000, bytesMax: 4 * 1024 * 1024 };
/** How long the next page waits for one that is delayed, for example by a lock. */
const PAGE_WAIT_MS = 1000;
const FIRST_ID = '00000000-0000-0000-0000-000000000000';

/** When this process first observed the current beat of a lease, by its own monotonic clock. */
type Sighting = { readonly beat: bigint | null; readonly since: number };

export class Adoption {
  readonly #pool: ConnectionPool;
  readonly #lease: Lease;
  readonly #intake: Intake;
  readonly #admission: Admission;
  readonly #ledgerShares: AdmissionShares;
  readonly #dispatcher: Dispatcher;
  readonly #logger: Logger;
  readonly #tracer: Tracer | null;
  readonly #orphanedAfterMs: number;
  readonly #backlog: Backlog;
  #sightings = new Map<string, Sighting>();
  readonly figures = {
    ownTransfers: 0,
    ownUnits: 0,
    orphanTransfers: 0,
    orphanUnits: 0,
    /** Leases that this process closed because their heartbeat stopped. */
    takenOver: 0,
    /** Of the last scan: leases of other processes, and those that are orphaned and not yet adopted. */
    otherLeases: 0,
    orphanedLeases: 0,
  };

  constructor(options: {
    pool: ConnectionPool;
    lease: Lease;
    intake: Intake;
    admission: Admission;
    ledgerShares: AdmissionShares;
    dispatcher: Dispatcher;
    logger: Logger;
    tracer: Tracer | null;
    orphanedAfterMs: number;
    /** Called when a run may adopt transfers that the last run skipped, because too many were unsettled. */
    onRoom: () => void;
  }) {
    this.#pool = options.pool;
    this.#lease = options.lease;
    this.#intake = options.intake;
    this.#admission = options.admission;
    this.#ledgerShares = options.ledgerShares;
    this.#dispatcher = options.dispatcher;
    this.#logger = options.logger;
    this.#tracer = options.tracer;
    this.#orphanedAfterMs = options.orphanedAfterMs;
    this.#backlog = new Backlog(PAGE, options.onRoom);
  }

  /** Adopts until nothing remains. */
  async run(stopped: () => boolean): Promise<void> {
    await this.#findOwn(stopped);
    await this.#adopt(stopped);
  }

  /** Settles transfers under the own lease that this process does not know of, because an answer was lost. */
  async #findOwn(stopped: () => boolean): Promise<void> {
    if (!this.#lease.takeSuspicion()) return;
    try {
      // After the renewal, no statement that was sent before can store anything.
      await this.#lease.renew(this.#pool, this.#lease.held);
      await this.#lease.fence(this.#pool);
      const { id } = this.#lease.held;
      // Transfers that were stored before the renewal are visible now; later ones are not in doubt.
      const last = (await loadLastPendingId(this.#pool, id)) ?? FIRST_ID;
      for (let after = FIRST_ID; !stopped();) {
        const bounds = this.#boundsOf(id);
        // Skipped transfers must be searched for again.
        if (bounds.skippedLedgers.length > 0) this.#lease.suspect();
        const page = await loadPendingPage(this.#pool, id, { after, last }, bounds);
        if (page === null) return;
        const unknown = page.transfers.filter(({ transfer }) => !this.#intake.isStoring(transfer.id));
        await this.#settle(id, unknown, 'own');
        after = page.lastId;
      }
    } catch (error) {
      this.#lease.suspect();
      throw error;
    }
  }

  async #adopt(stopped: () => boolean): Promise<void> {
    const observed = await observeLeases(this.#pool, this.#lease.held.id, this.#orphanedAfterMs);
    const orphaned = this.#judge(observed);
    this.figures.otherLeases = observed.length - orphaned.length;
    this.figures.orphanedLeases = orphaned.length;
    const failures: unknown[] = [];
    // A lease that cannot be locked at the moment must not delay the others.
    for (const orphan of orphaned) {
      await this.#adoptFrom(orphan, stopped).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  async #adoptFrom(orphan: ObservedLease, stopped: () => boolean): Promise<void> {
    while (!stopped()) {
      const bounds = this.#boundsOf(orphan.id);
      const adopted = await this.#suspecting(async () => await adoptPage(this.#pool, this.#lease.held, orphan, bounds));
      const { closed, page } = adopted;
      if (closed) this.figures.takenOver += 1;
      if (page === null) {
        if (bounds.skippedLedgers.length === 0) this.figures.orphanedLeases -= 1;
        return;
      }
      await this.#settle(orphan.id, page, 'orphan');
    }
  }

  /**
   * The leases whose holder stopped: closed ones, and those whose heartbeat has not changed for too long. This process
   * measures that time, because the database's clock may be set. That clock only shortens the time, if this process has
   * just begun to observe the lease.
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

  /** If an answer is lost, transfers that this process does not know of may be pending under its lease. */
  async #suspecting<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      this.#lease.suspect();
      throw error;
    }
  }

  /** The bounds of the next page of a lease. It excludes ledgers with too many unsettled transfers. */
  #boundsOf(leaseId: string): PageBounds {
    return { ...PAGE, skippedLedgers: this.#backlog.fullLedgers(leaseId) };
  }

  /** Hands a page of a lease to the dispatcher, and waits until it is settled or delayed. */
  async #settle(leaseId: string, page: readonly PendingTransfer[], origin: 'own' | 'orphan'): Promise<void> {
    const fresh = page.filter(({ transfer }) => !this.#dispatcher.has(transfer));
    if (fresh.length === 0) return;
    const work = { name: 'adopt transfers', startedAt: performance.now(), count: fresh.length } as const;
    const span = this.#tracer?.beginWork(work) ?? null;
    const units = toStoredUnits(fresh).map((unit) => ({ ...unit, span }));
    for (const unit of units) {
      this.#admission.admitRecovered(sizeOf(unit), unit.bytes);
      this.#ledgerShares.taken(unit.ledger.name, sizeOf(unit));
    }
    const queued = this.#dispatcher.push(units);
    this.#backlog.add(leaseId, queued);
    this.figures[`${origin}Transfers`] += fresh.length;
    this.figures[`${origin}Units`] += units.length;
    this.#logger.warn({ transfers: fresh.length }, origin === 'own' ? 'own transfers found' : 'orphans adopted');
    await Promise.all(queued.map(async (each) => await each.end(PAGE_WAIT_MS)));
    span?.end();
  }
}
