// The lanes of waiting units, one for each ledger, and the order of their turns.
//
// A lane rests after a job, so that the next one is fuller: its units gather for as long as the job took. A rest delays no caller
// and no full job. It ends when a unit comes whose caller waits, when enough transfers wait, or when the queue fills.
import type { Ledger } from '../../domain/ledger.ts';
import { Concurrency, countFitting, fillsJob } from './batching.ts';
import type { QueuedUnit } from './queued-unit.ts';
import { isStored } from './unit.ts';

/**
 * A job that takes this many times the usual time, and at least this many milliseconds, is treated as waiting for a
 * lock. It must not delay the others, so it does not count as running. With a fixed time alone, every job of a slow
 * database counted as waiting; ten threads then waited for each other's locks.
 */
const STALLED_FACTOR = 4;
const STALLED_MS_MIN = 200;

/** The units of a ledger in progress. */
type Lane = {
  readonly concurrency: Concurrency;
  ready: QueuedUnit[];
  /** Transfers in `ready`, without withdrawn ones. */
  waiting: number;
  /** Those of them whose callers wait. */
  awaited: number;
  /** The end of a rest; null if there is none. */
  rest: NodeJS.Timeout | null;
  running: number;
  /** Running jobs that probably wait for a lock. */
  stalled: number;
};

/** A job that counts as running in its lane. */
type RunningJob = {
  /** Ends it. If it settled: how long it took, and how long it waited for locks. Null: it did not settle. */
  readonly end: (settled: { readonly jobMs: number; readonly lockMs: number } | null) => void;
};

export class Lanes {
  readonly #threads: number;
  readonly #restAfter: (jobMs: number) => number;
  readonly #isFilling: () => boolean;
  readonly #onDue: () => void;
  /** The usual time of a job, in milliseconds: a moving mean. */
  #typicalMs = 0;
  /** By ledger; the first is next. */
  readonly #lanes = new Map<number, Lane>();
  /** The ledger of all units so far; null if there were several. */
  #onlyLedger: number | null | undefined;

  constructor(options: {
    threads: number;
    /** For how long a ledger rests after a job; 0: not at all. */
    restAfter: (jobMs: number) => number;
    /** Whether the queue fills, so that no ledger should rest. */
    isFilling: () => boolean;
    /** Called when a ledger may have a further job, though nothing was pushed. */
    onDue: () => void;
  }) {
    this.#threads = options.threads;
    this.#restAfter = options.restAfter;
    this.#isFilling = options.isFilling;
    this.#onDue = options.onDue;
  }

  #of({ id }: Ledger): Lane {
    const known = this.#lanes.get(id);
    if (known) return known;
    this.#onlyLedger = this.#onlyLedger === undefined || this.#onlyLedger === id ? id : null;
    const lane: Lane = {
      concurrency: new Concurrency(this.#threads),
      ready: [],
      waiting: 0,
      awaited: 0,
      rest: null,
      running: 0,
      stalled: 0,
    };
    this.#lanes.set(id, lane);
    return lane;
  }

  /** Removes a ledger that has nothing in progress. */
  drop(ledger: Ledger): void {
    const lane = this.#of(ledger);
    if (lane.waiting === 0 && lane.running === 0 && lane.rest === null) this.#lanes.delete(ledger.id);
  }

  push(queued: QueuedUnit): void {
    const lane = this.#of(queued.unit.ledger);
    lane.ready.push(queued);
    this.#enter(lane, queued);
  }

  /** Returns the units of a job to the front. */
  putBack(units: readonly QueuedUnit[]): void {
    const [first] = units;
    if (!first) return;
    const lane = this.#of(first.unit.ledger);
    lane.ready = [...units, ...lane.ready];
    for (const queued of units) this.#enter(lane, queued);
  }

  /** Stops counting a withdrawn unit. */
  leave(queued: QueuedUnit): void {
    if (!queued.isInLane) return;
    queued.isInLane = false;
    const lane = this.#of(queued.unit.ledger);
    this.#count(lane, queued, -1);
    if (lane.waiting === 0) lane.ready = [];
  }

  /**
   * Takes the units of the next job, from the first ledger in turn that may have one more. A job contains the units
   * that gathered while others ran. Null: no ledger may.
   */
  take(jobSizeMax: number, freeThreads: number): QueuedUnit[] | null {
    for (const [id, lane] of this.#lanes) {
      if (lane.waiting === 0 || !this.#mayHaveThread(lane, freeThreads) || !this.#mayBegin(lane)) continue;
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

  /** Counts a job as running, until it ends or probably waits for a lock. */
  begin(ledger: Ledger): RunningJob {
    const lane = this.#of(ledger);
    const others = lane.running;
    lane.running += 1;
    let stalled = 0;
    const stall = (): void => {
      stalled = 1;
      lane.stalled += 1;
      this.#onDue();
    };
    const timer = setTimeout(stall, Math.max(STALLED_MS_MIN, STALLED_FACTOR * this.#typicalMs));
    const end: RunningJob['end'] = (settled) => {
      clearTimeout(timer);
      lane.running -= 1;
      lane.stalled -= stalled;
      if (settled === null) return;
      const { jobMs, lockMs } = settled;
      lane.concurrency.observe(others, lockMs / jobMs);
      this.#typicalMs += (jobMs - this.#typicalMs) / 8;
      this.#rest(ledger, lane, jobMs);
    };
    return { end };
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
    this.#count(lane, queued, 1);
  }

  #count(lane: Lane, { size, unit }: QueuedUnit, sign: 1 | -1): void {
    lane.waiting += sign * size;
    if (!isStored(unit)) lane.awaited += sign * size;
  }

  #mayBegin(lane: Lane): boolean {
    const rests = lane.rest !== null && lane.awaited === 0 && !fillsJob(lane.waiting) && !this.#isFilling();
    return !rests && lane.concurrency.mayBegin(lane.running - lane.stalled, lane.waiting);
  }

  #rest(ledger: Ledger, lane: Lane, jobMs: number): void {
    const ms = this.#restAfter(jobMs);
    if (ms <= 0) return;
    clearTimeout(lane.rest ?? undefined);
    lane.rest = setTimeout(() => {
      lane.rest = null;
      this.drop(ledger);
      this.#onDue();
    }, ms);
  }
}
