// The main figures as plain numbers.
import type { Admission } from './admission.ts';
import { HISTOGRAMS } from './metric-definitions.ts';

const SETTLE_BUCKETS = HISTOGRAMS.gopherpay_settle_seconds.buckets;

/** Totals since the start of the process, and the present state of the queue. */
export type MetricsSnapshot = {
  /** Answered requests, and those answered with 429. */
  readonly requests: number;
  readonly refused: number;
  /** Transfers that became final. */
  readonly settled: number;
  readonly queue: {
    readonly transfers: number;
    readonly transfersMax: number;
    readonly bytes: number;
    readonly bytesMax: number;
  };
  /** The times from accepted to final. `counts[i]`: transfers that took at most `boundsSeconds[i]`. */
  readonly settleTimes: {
    readonly boundsSeconds: readonly number[];
    readonly counts: readonly number[];
    readonly count: number;
    readonly sumSeconds: number;
  };
};

/** The figures of a snapshot. prom-client returns values only through promises, after it collected all of a metric. */
export class Totals {
  readonly #settleCounts = SETTLE_BUCKETS.map(() => 0);
  #requests = 0;
  #refused = 0;
  #settled = 0;
  #settleSeconds = 0;

  request(status: number): void {
    this.#requests += 1;
    if (status === 429) this.#refused += 1;
  }

  settled(seconds: number): void {
    this.#settled += 1;
    this.#settleSeconds += seconds;
    const index = SETTLE_BUCKETS.findIndex((bound) => seconds <= bound);
    if (index !== -1) this.#settleCounts[index] = (this.#settleCounts[index] ?? 0) + 1;
  }

  snapshot({ size, maxQueue, bytes, maxQueueBytes }: Admission): MetricsSnapshot {
    let count = 0;
    return {
      requests: this.#requests,
      refused: this.#refused,
      settled: this.#settled,
      queue: { transfers: size, transfersMax: maxQueue, bytes, bytesMax: maxQueueBytes },
      settleTimes: {
        boundsSeconds: SETTLE_BUCKETS,
        counts: this.#settleCounts.map((each) => (count += each)),
        count: this.#settled,
        sumSeconds: this.#settleSeconds,
      },
    };
  }
}
