// What happened between two readings of the service's figures. Pure, so that tests need no browser.
import type { FeedFigures } from './feed-figures.ts';
import type { Activity } from './wire.ts';

/** One interval between two readings. */
export type Sample = {
  /** Seconds since 1970, at its end. */
  readonly at: number;
  /** Null: not known. */
  readonly settledPerSecond: number | null;
  readonly refusedPerSecond: number;
  readonly requestsPerSecond: number;
  /** Seconds; null: nothing was settled. */
  readonly p50: number | null;
  readonly p99: number | null;
  readonly queue: number;
  readonly queueMax: number;
};

/**
 * Null if the readings are of two processes, or of the same moment: then there is no difference to show. `figures`: what
 * the feed of the ledger says; null: the counters of the process have to do.
 */
export function sampleOf(before: Activity, now: Activity, figures: FeedFigures | null): Sample | null {
  const seconds = now.uptime_seconds - before.uptime_seconds;
  if (before.process !== now.process || seconds <= 0) return null;
  const rate = (name: keyof Activity['totals']): number => (now.totals[name] - before.totals[name]) / seconds;
  const counts = now.settle_seconds.map(({ le, count }, index) => ({
    le,
    count: count - (before.settle_seconds[index]?.count ?? 0),
  }));
  const times = figures?.times ?? null;
  return {
    at: Date.parse(now.at) / 1000,
    settledPerSecond: figures ? figures.settledPerSecond : rate('settled'),
    refusedPerSecond: rate('refused'),
    requestsPerSecond: rate('requests'),
    p50: times ? quantileOf(times, 0.5) : quantile(counts, 0.5),
    p99: times ? quantileOf(times, 0.99) : quantile(counts, 0.99),
    queue: now.queue.transfers,
    queueMax: now.queue.transfers_max,
  };
}

/** A quantile of ascending values. Null: there are none. */
function quantileOf(values: readonly number[], share: number): number | null {
  return values[Math.max(0, Math.ceil(share * values.length) - 1)] ?? null;
}

/**
 * A quantile of a histogram of cumulative counts, in seconds. Within a bucket it is interpolated as Prometheus'
 * histogram_quantile does; beyond the last bound it is that bound. Null: the histogram is empty.
 */
export function quantile(buckets: readonly { le: number | null; count: number }[], share: number): number | null {
  const total = buckets.at(-1)?.count ?? 0;
  if (total === 0) return null;
  const rank = share * total;
  let lower = { le: 0, count: 0 };
  for (const { le, count } of buckets) {
    if (le === null) break;
    if (count >= rank) {
      const within = count === lower.count ? 1 : (rank - lower.count) / (count - lower.count);
      return lower.le + (le - lower.le) * within;
    }
    lower = { le, count };
  }
  return lower.le;
}
