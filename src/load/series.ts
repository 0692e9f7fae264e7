// The course of a load test: what was due, sent, answered and settled in each interval, and how long it took. A request and its
// latencies belong to the interval in which it was due, so a stall shows where it began; answers belong to the one in which they came.
import { Tally } from './tally.ts';
import { loadAt, type Plan, secondsOf } from './stages.ts';

/** A longer run has longer intervals, which bounds memory and files. */
const INTERVALS_MAX = 3600;

/** A request that is due when an interval begins belongs to it, also if the subtraction of two times is not exact. */
const ROUNDING_MS = 1e-6;

type Spread = { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number };

/** One interval. Except for `wanted`, numbers are of transfers. */
export type Row = {
  /** When it begins, in seconds after the beginning of the load. */
  readonly second: number;
  /** The load that the stages wanted in its middle, in requests per second or in connections; null after their end. */
  readonly wanted: number | null;
  readonly offered: number;
  readonly sent: number;
  readonly accepted: number;
  readonly refused: number;
  readonly failed: number;
  readonly settled: number;
  /** Without an answer at its end. */
  readonly inFlight: number;
  /** Transfers by the status of an accepted request, or by the code of the problem or of the network's error. */
  readonly answers: Readonly<Record<string, number>>;
  readonly acceptMs: Spread | null;
  readonly finalMs: Spread | null;
};

/** Counts as Tally does, and by interval. */
export class Series extends Tally {
  readonly intervalSeconds: number;
  readonly plan: Plan;
  readonly #intervals: Interval[] = [];
  #inFlight = 0;

  /** It begins now. */
  constructor(plan: Plan) {
    super();
    this.plan = plan;
    this.intervalSeconds = Math.ceil(secondsOf(plan.stages) / INTERVALS_MAX);
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Transfers of a request are sent. */
  sent(transfers: number, intendedAt: number): void {
    const interval = this.#intervalAt(performance.now());
    interval.sent += transfers;
    this.#inFlight += transfers;
    this.#offer(transfers, intendedAt);
  }

  /** Transfers of a request are not sent: no connection became free. */
  notSent(transfers: number, intendedAt: number): void {
    this.#offer(transfers, intendedAt);
    this.#inFlight += transfers;
    this.answered('failed', transfers, 0, 'not_sent');
  }

  override answered(outcome: 'accepted' | 'refused' | 'failed', transfers: number, latencyMs: number, answer: string) {
    super.answered(outcome, transfers, latencyMs, answer);
    const now = performance.now();
    const interval = this.#intervalAt(now);
    this.#inFlight -= transfers;
    interval[outcome] += transfers;
    interval.answers.set(answer, (interval.answers.get(answer) ?? 0) + transfers);
    if (outcome === 'accepted') (this.#intervalAt(now - latencyMs).accept ??= new Latencies()).record(latencyMs);
  }

  override final(latencyMs: number, status?: string): void {
    super.final(latencyMs, status);
    const now = performance.now();
    this.#intervalAt(now).settled += 1;
    (this.#intervalAt(now - latencyMs).final ??= new Latencies()).record(latencyMs);
  }

  /** The intervals so far, or the last `count` of those that are over. */
  rows(): Row[] {
    this.#intervalAt(performance.now());
    return this.#intervals.map((interval, index) => this.#render(interval, index));
  }

  lastRows(count: number): Row[] {
    this.#intervalAt(performance.now());
    const first = Math.max(0, this.#intervals.length - 1 - count);
    return this.#intervals.slice(first, -1).map((interval, index) => this.#render(interval, first + index));
  }

  #offer(transfers: number, intendedAt: number): void {
    this.offered += transfers;
    this.#intervalAt(intendedAt).offered += transfers;
  }

  /** The interval of a time, and all before it. Those that are over had as many requests in flight as there are now. */
  #intervalAt(time: number): Interval {
    const index = Math.max(0, Math.floor((time - this.startedAt + ROUNDING_MS) / 1000 / this.intervalSeconds));
    for (let last = this.#intervals.at(-1); this.#intervals.length <= index; last = this.#intervals.at(-1)) {
      if (last) last.inFlight = this.#inFlight;
      this.#intervals.push(new Interval());
    }
    const interval = this.#intervals[index];
    if (!interval) throw new RangeError(`There is no interval ${index}.`);
    return interval;
  }

  #render(interval: Interval, index: number): Row {
    const { offered, sent, accepted, refused, failed, settled, answers, accept, final } = interval;
    const second = index * this.intervalSeconds;
    return {
      second,
      wanted: loadAt(this.plan.stages, second + this.intervalSeconds / 2),
      offered,
      sent,
      accepted,
      refused,
      failed,
      settled,
      inFlight: index === this.#intervals.length - 1 ? this.#inFlight : interval.inFlight,
      answers: Object.fromEntries(answers),
      acceptMs: accept?.spread() ?? null,
      finalMs: final?.spread() ?? null,
    };
  }
}

class Interval {
  offered = 0;
  sent = 0;
  accepted = 0;
  refused = 0;
  failed = 0;
  settled = 0;
  inFlight = 0;
  readonly answers = new Map<string, number>();
  accept: Latencies | null = null;
  final: Latencies | null = null;
}

const LEAST_MS = 0.05;
/** A percentile is at most this much too high. Each step up to five minutes takes four bytes, 3 KB in all; a histogram of Node takes 450. */
const STEP = 1.02;
const STEPS = Math.ceil(Math.log(300_000 / LEAST_MS) / Math.log(STEP)) + 1;

/** A histogram that is small enough to keep for every interval. */
export class Latencies {
  readonly #counts = new Uint32Array(STEPS);
  #count = 0;
  #max = 0;

  record(ms: number): void {
    const step = Math.min(STEPS - 1, Math.max(0, Math.ceil(Math.log(ms / LEAST_MS) / Math.log(STEP))));
    this.#counts[step] = (this.#counts[step] ?? 0) + 1;
    this.#count += 1;
    this.#max = Math.max(this.#max, ms);
  }

  spread(): Spread {
    return { p50: this.#at(0.5), p90: this.#at(0.9), p99: this.#at(0.99), max: round(this.#max) };
  }

  #at(share: number): number {
    let left = Math.ceil(share * this.#count);
    const step = this.#counts.findIndex((count) => (left -= count) <= 0);
    return round(step === STEPS - 1 ? this.#max : Math.min(this.#max, LEAST_MS * STEP ** step));
  }
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
