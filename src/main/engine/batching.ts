// How units are put into jobs, by count and by bytes, and how many jobs of a ledger run at once. Pure.
import type { Unit } from './unit.ts';

/** About how many bytes of a thread's memory one job may take, without its copies. Most jobs take a tenth of it. */
const JOB_BYTES_MAX = 4 * 1024 * 1024;
/** How many transfers must be waiting for each running job, or during a rest, before one more is begun: fuller jobs cost less. */
const FILL = 256;
/** How long a ledger rests after a job: as long as the job took, but not longer than this. */
const REST_MS_MAX = 50;
/** After how many jobs that ran alone, two jobs at once are tried. */
const TRY_AFTER = 64;
/** The part of its time that a job beside another may wait for locks. */
const LOCK_SHARE_MAX = 0.4;

/**
 * How many of these units make a job of at most `sizeMax` transfers that fits into memory. The first is always taken.
 */
export function countFitting(units: readonly { size: number; bytes: number }[], sizeMax: number): number {
  let size = 0;
  let bytes = 0;
  for (const [index, unit] of units.entries()) {
    size += unit.size;
    bytes += unit.bytes;
    if (index > 0 && (size > sizeMax || bytes > JOB_BYTES_MAX)) return index;
  }
  return units.length;
}

/** For how long the transfers of a ledger gather after a job that took so long, if their callers do not wait for them. */
export function restAfter(jobMs: number): number {
  return Math.min(REST_MS_MAX, jobMs);
}

/** Whether so many waiting transfers end a rest. */
export function fillsJob(waiting: number): boolean {
  return waiting >= FILL;
}

/** The largest job for transfers with which so many processes died. */
export function sizeAfterDeaths(sizeMax: number, adoptions: number): number {
  return Math.max(1, sizeMax >> Math.min(30, 2 * adoptions));
}

/**
 * Groups the transfers of dead processes. A group has one ledger and may share a job. The more processes died with its
 * transfers, the smaller it is.
 */
export function groupSuspects<
  Suspect extends { size: number; bytes: number; unit: Pick<Unit, 'ledger' | 'adoptions'> },
>(suspects: readonly Suspect[], sizeMax: number): Suspect[][] {
  const groups: Suspect[][] = [];
  for (const alike of Map.groupBy(suspects, ({ unit }) => `${unit.ledger.id} ${unit.adoptions}`).values()) {
    const adoptions = alike[0]?.unit.adoptions ?? 0;
    while (alike.length > 0) groups.push(alike.splice(0, countFitting(alike, sizeAfterDeaths(sizeMax, adoptions))));
  }
  return groups;
}

/**
 * How many jobs of one ledger may run at once. Two full jobs nearly always have accounts in common. The second then
 * waits for the locks of the first, and takes processor time from it. On 2 cores, bulk transfers were settled at 10,300
 * per second with ten jobs at once, 14,400 with three, 15,900 with two and 16,600 with one. So the number follows the
 * measured lock waits.
 */
export class Concurrency {
  readonly #max: number;
  #limit = 1;
  #alone = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Whether one more job may begin beside `busy` others, while `waiting` transfers wait. */
  mayBegin(busy: number, waiting: number): boolean {
    return busy === 0 || (busy < this.#limit && waiting >= busy * FILL);
  }

  /**
   * Learns from a job that ran beside `others`. `lockShare` is the part of its time in the first round trip, which
   * takes its locks.
   */
  observe(others: number, lockShare: number): void {
    if (others === 0) {
      this.#alone += 1;
      if (this.#limit === 1 && this.#alone % TRY_AFTER === 0) this.#limit = Math.min(2, this.#max);
      return;
    }
    if (lockShare > LOCK_SHARE_MAX) this.#limit = Math.max(1, this.#limit - 1);
    else if (others + 1 >= this.#limit) this.#limit = Math.min(this.#max, this.#limit + 1);
  }
}
