// What a load test counts and times. Latencies are histograms in microseconds, so that memory does not grow with the
// load.
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

/** Latencies in milliseconds; null where nothing was measured. */
export type Percentiles = {
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
} | null;

export type Summary = {
  readonly seconds: number;
  /** Transfers whose scheduled start has passed. */
  readonly offered: number;
  /** Transfers that were answered 200 or 202. */
  readonly accepted: number;
  /** Transfers that were answered 429. */
  readonly refused: number;
  /** Transfers that got another answer, or none. */
  readonly failed: number;
  /** Accepted transfers that were seen to be final. */
  readonly settled: number;
  /** Of these, the ones that are final because they failed, such as for want of money. */
  readonly settledAsFailed: number;
  readonly acceptedPerSecond: number;
  /** From the start of the first one to the last one that was seen to be final. */
  readonly settledPerSecond: number;
  /** From the intended start of a request to its answer, if that was 200 or 202. */
  readonly acceptMs: Percentiles;
  /** The same, of those answered 429. */
  readonly refuseMs: Percentiles;
  /** From the intended start of a request to the moment its transfer was seen to be final. */
  readonly finalMs: Percentiles;
  /** Requests by the code of their problem, or of the network's error. */
  readonly errors: Readonly<Record<string, number>>;
};

/** A service may answer with any code. */
const CODES_MAX = 50;
const CODE_LENGTH_MAX = 60;

export class Tally {
  readonly startedAt = performance.now();
  readonly #accept = createHistogram();
  readonly #refuse = createHistogram();
  readonly #final = createHistogram();
  readonly #errors = new Map<string, number>();
  #finalAt = this.startedAt;
  offered = 0;
  accepted = 0;
  refused = 0;
  failed = 0;
  settled = 0;
  settledAsFailed = 0;

  /** Milliseconds since the beginning. */
  get elapsedMs(): number {
    return performance.now() - this.startedAt;
  }

  /** `answer`: the status of an accepted request, otherwise the code of its problem or of the network's error. */
  answered(outcome: 'accepted' | 'refused' | 'failed', transfers: number, latencyMs: number, answer: string): void {
    this[outcome] += transfers;
    if (outcome === 'accepted') record(this.#accept, latencyMs);
    else this.#errors.set(answer, (this.#errors.get(answer) ?? 0) + 1);
    if (outcome === 'refused') record(this.#refuse, latencyMs);
  }

  /** The code to count a problem by: a service may answer with any text, and with ever new ones. */
  codeOf(code: string): string {
    const short = code.slice(0, CODE_LENGTH_MAX);
    return this.#errors.size < CODES_MAX || this.#errors.has(short) ? short : 'other';
  }

  /** `status`: as which the transfer is final, if that is known. */
  final(latencyMs: number, status?: string): void {
    this.settled += 1;
    if (status === 'failed') this.settledAsFailed += 1;
    this.#finalAt = performance.now();
    record(this.#final, latencyMs);
  }

  summarize(): Summary {
    const seconds = this.elapsedMs / 1000;
    const settlingSeconds = (this.#finalAt - this.startedAt) / 1000;
    return {
      seconds: round(seconds),
      offered: this.offered,
      accepted: this.accepted,
      refused: this.refused,
      failed: this.failed,
      settled: this.settled,
      settledAsFailed: this.settledAsFailed,
      acceptedPerSecond: Math.round(this.accepted / seconds),
      settledPerSecond: settlingSeconds > 0 ? Math.round(this.settled / settlingSeconds) : 0,
      acceptMs: percentilesOf(this.#accept),
      refuseMs: percentilesOf(this.#refuse),
      finalMs: percentilesOf(this.#final),
      errors: Object.fromEntries([...this.#errors].sort(([, a], [, b]) => b - a)),
    };
  }
}

function record(histogram: RecordableHistogram, latencyMs: number): void {
  histogram.record(Math.max(1, Math.round(latencyMs * 1000)));
}

function percentilesOf(histogram: RecordableHistogram): Percentiles {
  if (histogram.count === 0) return null;
  const at = (percentile: number) => round(histogram.percentile(percentile) / 1000);
  return {
    mean: round(histogram.mean / 1000),
    p50: at(50),
    p90: at(90),
    p99: at(99),
    p999: at(99.9),
    max: round(histogram.max / 1000),
  };
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
