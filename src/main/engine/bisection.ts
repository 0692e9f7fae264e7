// Batches that bypass the lanes: parts of a job that failed, transfers of dead processes, and transfers that wait for a
// lock.
import type { Job } from '../../domain/job.ts';
import type { Ledger } from '../../domain/ledger.ts';
import { groupSuspects, sizeAfterDeaths } from './batching.ts';
import type { QueuedUnit } from './queued-unit.ts';
import { isStored, splitUnit, toJob, type Unit } from './unit.ts';

export type Batch = {
  readonly ledger: Ledger;
  readonly units: readonly QueuedUnit[];
  readonly mode: 'settle' | 'quarantine';
  /** How many threads died with this unit alone. */
  readonly deaths: number;
  /**
   * Threads or processes died with it. Of each ledger one suspect runs at a time. So the death of a thread points to
   * one batch, and a lock delays the suspects of its ledger only. No other suspect runs beside a trial, so that the
   * death of the process points to it alone.
   */
  readonly suspect: boolean;
  /** How long it was last delayed, in milliseconds. */
  readonly delayMs: number;
};

/** Replaces a unit by its transfers. */
type Split = (queued: QueuedUnit, members: readonly Unit[]) => readonly QueuedUnit[];

/** A transfer is failed after this many threads, or this many processes, died while they tried it alone. */
const THREAD_DEATHS_MAX = 3;
const LONE_DEATHS_MAX = 6;
const DELAY_MS_MIN = 100;
const DELAY_MS_MAX = 2000;

/**
 * Records durably that a unit is tried alone, so that the death of this process counts. `begin` throws if an account is
 * locked.
 */
export type Trials = { begin(unit: Unit): Promise<void>; end(unit: Unit): Promise<void> };

/** The job of a batch that begins at `startedAt`, on the clock of performance.now(). */
export function jobOf({ units: queued, mode, suspect }: Batch, startedAt: number, traced: boolean): Job {
  const least = (valueOf: (unit: QueuedUnit) => number, from: number): number =>
    queued.reduce((least, unit) => Math.min(least, valueOf(unit)), from);
  const storedAt = least((each) => (isStored(each.unit) ? each.acceptedAt : startedAt), startedAt);
  return toJob(
    queued.map(({ unit }) => unit),
    {
      mode,
      mayBeSettled: queued.some(({ mayBeSettled }) => mayBeSettled),
      storedAgoMs: startedAt - storedAt,
      // A suspect that waits for a lock delays the other suspects of its ledger, so it is tried once.
      retryMs: least(({ waitsUntil }) => waitsUntil - startedAt, suspect ? 0 : Infinity),
      traced,
    },
  );
}

export class Bisection {
  readonly #jobSizeMax: number;
  readonly #onReady: () => void;
  /** The first is next. */
  #batches: Batch[] = [];
  /** The ledgers of the suspects that run. */
  readonly #suspectLedgers = new Set<number>();
  #trialRuns = false;

  /** `onReady`: called when the delay of a batch is over. */
  constructor(jobSizeMax: number, onReady: () => void) {
    this.#jobSizeMax = jobSizeMax;
    this.#onReady = onReady;
  }

  add(batch: Batch): void {
    this.#batches.push(batch);
  }

  /** Adds the transfers of dead processes: the more processes died with them, the smaller the batches. */
  addSuspects(suspects: readonly QueuedUnit[]): void {
    for (const units of groupSuspects(suspects, this.#jobSizeMax)) {
      const [first] = units;
      if (!first) continue;
      const isHopeless = units.length === 1 && first.unit.loneDeaths >= LONE_DEATHS_MAX;
      this.add({ ...toBatch(first.unit.ledger, units), mode: isHopeless ? 'quarantine' : 'settle', suspect: true });
    }
  }

  /** Adds a batch again after a delay: each time a longer one. */
  addLater(batch: Batch): void {
    const delayMs = Math.min(DELAY_MS_MAX, Math.max(DELAY_MS_MIN, batch.delayMs * 2));
    // Jittered, so that two jobs that collided do not collide again.
    setTimeout(
      () => {
        this.add({ ...batch, delayMs });
        this.#onReady();
      },
      delayMs * (0.5 + Math.random()),
    );
  }

  /** Takes the next batch that may run; null if none may. `mayTakeThread`: whether a ledger may have one more job. */
  take(mayTakeThread: (ledger: Ledger) => boolean): Batch | null {
    this.#batches = this.#batches.filter(({ units }) => units.some(isQueued));
    let mayBegin = !this.#trialRuns;
    const index = this.#batches.findIndex((batch) => {
      if (!mayTakeThread(batch.ledger)) return false;
      if (!batch.suspect) return true;
      if (!mayBegin) return false;
      if (!this.isTrial(batch)) return !this.#suspectLedgers.has(batch.ledger.id);
      // No suspect behind it begins before it has had its turn.
      mayBegin = false;
      return this.#suspectLedgers.size === 0;
    });
    const [batch] = index === -1 ? [] : this.#batches.splice(index, 1);
    if (!batch) return null;
    const taken = { ...batch, units: batch.units.filter(isQueued) };
    if (taken.suspect) this.#suspectLedgers.add(taken.ledger.id);
    if (this.isTrial(taken)) this.#trialRuns = true;
    return taken;
  }

  /** Records that a batch has ended. */
  ended(batch: Batch): void {
    if (batch.suspect) this.#suspectLedgers.delete(batch.ledger.id);
    if (this.isTrial(batch)) this.#trialRuns = false;
  }

  /** Whether a unit runs alone because so many processes died with it. */
  isTrial({ suspect, mode, units }: Batch): boolean {
    const [first] = units;
    if (!suspect || mode !== 'settle' || !first || units.length > 1) return false;
    const { adoptions } = first.unit;
    return adoptions > 0 && sizeAfterDeaths(this.#jobSizeMax, adoptions) === 1;
  }

  /**
   * Adds a batch that failed in halves, until the culprit is alone. A stored culprit is then quarantined. Any other is
   * returned, and ends as poisoned.
   */
  bisect(batch: Batch, why: 'died' | 'poisoned', split: Split): QueuedUnit | null {
    const { ledger, units } = batch;
    const suspect = batch.suspect || why === 'died';
    if (units.length > 1) {
      const half = Math.ceil(units.length / 2);
      for (const part of [units.slice(0, half), units.slice(half)]) this.add({ ...toBatch(ledger, part), suspect });
      return null;
    }
    const [culprit] = units;
    const members = culprit && splitUnit(culprit.unit);
    if (members) {
      this.add({ ...toBatch(ledger, split(culprit, members)), suspect });
      return null;
    }
    const deaths = batch.deaths + (why === 'died' ? 1 : 0);
    const isHopeless = why === 'poisoned' || deaths >= THREAD_DEATHS_MAX;
    if (culprit && isHopeless && !isStored(culprit.unit)) return culprit;
    // Even the failure may be refused. It is then tried again alone, so that the others are not delayed, until an
    // operator intervenes.
    if (batch.mode === 'quarantine') this.addLater(batch);
    else this.add({ ...toBatch(ledger, units), mode: isHopeless ? 'quarantine' : 'settle', deaths, suspect });
    return null;
  }
}

export function toBatch(ledger: Ledger, units: readonly QueuedUnit[]): Batch {
  return { ledger, units, mode: 'settle', deaths: 0, suspect: false, delayMs: 0 };
}

function isQueued({ state }: QueuedUnit): boolean {
  return state === 'queued';
}
