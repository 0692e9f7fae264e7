// The lanes of waiting units, one for each ledger, and the order of their turns.
import type { Ledger } from '../../domain/ledger.ts';
import { Concurrency, countFitting } from './batching.ts';
import type { QueuedUnit } from './queued-unit.ts';

/** The units of a ledger in progress. */
export type Lane = {
  readonly concurrency: Concurrency;
  ready: QueuedUnit[];
  /** Transfers in `ready`, without withdrawn ones. */
  waiting: number;
  running: number;
  /** Running jobs that probably wait for a lock. */
  stalled: number;
};

export class Lanes {
  readonly #threads: number;
  /** By ledger; the first is next. */
  readonly #lanes = new Map<number, Lane>();
  /** The ledger of all units so far; null if there were several. */
  #onlyLedger: number | null | undefined;

  constructor(threads: number) {
    this.#threads = threads;
  }

  of({ id }: Ledger): Lane {
    const known = this.#lanes.get(id);
    if (known) return known;
    this.#onlyLedger = this.#onlyLedger === undefined || this.#onlyLedger === id ? id : null;
    const lane = { concurrency: new Concurrency(this.#threads), ready: [], waiting: 0, running: 0, stalled: 0 };
    this.#lanes.set(id, lane);
    return lane;
  }

  /** Removes a ledger that has nothing in progress. */
  drop(ledger: Ledger): void {
    const lane = this.of(ledger);
    if (lane.waiting === 0 && lane.running === 0) this.#lanes.delete(ledger.id);
  }

  push(queued: QueuedUnit): void {
    const lane = this.of(queued.unit.ledger);
    lane.ready.push(queued);
    this.#enter(lane, queued);
  }

  /** Returns the units of a job to the front. */
  putBack(units: readonly QueuedUnit[]): void {
    const [first] = units;
    if (!first) return;
    const lane = this.of(first.unit.ledger);
    lane.ready = [...units, ...lane.ready];
    for (const queued of units) this.#enter(lane, queued);
  }

  /** Stops counting a withdrawn unit. */
  leave(queued: QueuedUnit): void {
    if (!queued.isInLane) return;
    queued.isInLane = false;
    const lane = this.of(queued.unit.ledger);
    lane.waiting -= queued.size;
    if (lane.waiting === 0) lane.ready = [];
  }

  /**
   * Takes the units of the next job, from the first ledger in turn that may have one more. A job contains the units
   * that gathered while others ran. Null: no ledger may.
   */
  take(jobSizeMax: number, freeThreads: number): QueuedUnit[] | null {
    for (const [id, lane] of this.#lanes) {
      if (lane.waiting === 0 || !this.#mayHaveThread(lane, freeThreads)) continue;
      if (!lane.concurrency.mayBegin(lane.running - lane.stalled, lane.waiting)) continue;
      // To the end of the line.
      this.#lanes.delete(id);
      this.#lanes.set(id, lane);
      if (lane.ready.some(({ state }) => state === 'withdrawn')) {
        lane.ready = lane.ready.filter(({ state }) => state !== 'withdrawn');
      }
      const units = lane.ready.splice(0, countFitting(lane.ready, jobSizeMax));
      for (const queued of units) this.leave(queued);
      return units;
    }
    return null;
  }

  /** Whether a ledger may have one more of so many free threads. */
  mayTakeThread({ id }: Ledger, freeThreads: number): boolean {
    const lane = this.#lanes.get(id);
    return lane === undefined || this.#mayHaveThread(lane, freeThreads);
  }

  /**
   * A ledger whose jobs wait for locks must leave threads to the others: one to a first other. With two threads, it
   * needs both.
   */
  #mayHaveThread(lane: Lane, freeThreads: number): boolean {
    if (this.#onlyLedger === null) return lane.running === 0 || lane.running < freeThreads;
    return lane.stalled === 0 || freeThreads > 1 || this.#threads <= 2;
  }

  #enter(lane: Lane, queued: QueuedUnit): void {
    queued.isInLane = true;
    lane.waiting += queued.size;
  }
}
