// Compares two runs: second by second, as ratios, with an interval that the noise within the runs explains.
import { seeded } from './random.ts';
import type { LoadInterval, LoadResult } from './result.ts';

/** Fewer seconds say too little. */
export const PAIRS_MIN = 20;
const RESAMPLES = 1000;
/** With 95 %, one of ten comparisons of equal services claimed a difference after 20 seconds. */
const CONFIDENCE = 0.99;
/** The same files give the same interval. */
const SEED = 1;

export type Measure = {
  readonly name: string;
  readonly unit: 'per second' | 'ms';
  /** What B does if the ratio is not 1, and the sentence about it. */
  readonly tell: (ratio: string) => string;
  readonly of: (interval: LoadInterval, seconds: number) => number | null;
};

/** What two runs are compared by. */
export const MEASURES: readonly Measure[] = [
  {
    name: 'accepted',
    unit: 'per second',
    tell: (ratio) => `B accepts ${ratio} times as many transfers per second as A`,
    of: ({ accepted }, seconds) => accepted / seconds,
  },
  {
    name: 'settled',
    unit: 'per second',
    tell: (ratio) => `B settles ${ratio} times as many transfers per second as A`,
    of: ({ settled }, seconds) => settled / seconds,
  },
  latency('time to accepted, p50', (interval) => interval.accept_ms?.p50),
  latency('time to accepted, p99', (interval) => interval.accept_ms?.p99),
  latency('time to final, p50', (interval) => interval.final_ms?.p50),
  latency('time to final, p99', (interval) => interval.final_ms?.p99),
];

function latency(name: string, of: (interval: LoadInterval) => number | undefined): Measure {
  const title = `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`;
  const tell = (ratio: string) => `${title}: B takes ${ratio} times as long as A`;
  return { name, unit: 'ms', tell, of: (interval) => of(interval) ?? null };
}

export type Ratio = {
  readonly measure: Measure;
  /** The medians of the compared seconds; null where there are none. */
  readonly a: number | null;
  readonly b: number | null;
  /** B ÷ A, and its interval; null if fewer than `PAIRS_MIN` seconds can be compared. */
  readonly ratio: { readonly value: number; readonly low: number; readonly high: number } | null;
};

export type Comparison = {
  /** The seconds that both runs have. */
  readonly pairs: readonly { readonly a: LoadInterval; readonly b: LoadInterval }[];
  readonly intervalSeconds: number;
  /** Whether both runs had the same stages. */
  readonly isSameLoad: boolean;
  readonly ratios: readonly Ratio[];
};

export function compareRuns(a: LoadResult, b: LoadResult): Comparison {
  const seconds = a.interval_seconds;
  const [ofA, ofB] = [intervalsOf(a), intervalsOf(b)];
  const pairs = ofA.slice(0, ofB.length).flatMap((interval, index) => {
    const other = ofB[index];
    return other ? [{ a: interval, b: other }] : [];
  });
  const isSameLoad = a.unit === b.unit && a.bulk === b.bulk && JSON.stringify(a.stages) === JSON.stringify(b.stages);
  const ratios = MEASURES.map((measure): Ratio => {
    const valuesOf = (of: (pair: Comparison['pairs'][number]) => LoadInterval) =>
      pairs.map((pair) => measure.of(of(pair), seconds));
    return {
      measure,
      ...ratioOf(
        valuesOf((pair) => pair.a),
        valuesOf((pair) => pair.b),
      ),
    };
  });
  return { pairs, intervalSeconds: seconds, isSameLoad, ratios };
}

/** Whether the interval says that B differs from A. */
export function differs({ ratio }: Ratio): boolean {
  return ratio !== null && (ratio.low > 1 || ratio.high < 1);
}

/** The whole intervals under load: not the time after it, in which the rest settles. */
function intervalsOf({ series, seconds, interval_seconds: length }: LoadResult): LoadInterval[] {
  return series.filter(({ second, wanted }) => wanted !== null && second + length <= seconds);
}

/**
 * The ratio of the medians, and its 99 % interval by the circular block bootstrap (Politis and Romano, 1992). Seconds that follow each
 * other are alike, so whole blocks of them are drawn; single ones would make the interval too narrow. The same seconds are drawn of both
 * runs, so that a ramp, which both have, does not make it too wide.
 */
function ratioOf(ofA: readonly (number | null)[], ofB: readonly (number | null)[]): Omit<Ratio, 'measure'> {
  const known = [...ofA.keys()].filter((index) => isPositive(ofA[index]) && isPositive(ofB[index]));
  const medianOf = (values: readonly (number | null)[], indexes: readonly number[]) =>
    median(Float64Array.from(indexes, (index) => values[index] ?? 0));
  const count = known.length;
  const [a, b] = count === 0 ? [null, null] : [medianOf(ofA, known), medianOf(ofB, known)];
  if (count < PAIRS_MIN || a === null || b === null) return { a, b, ratio: null };
  const random = seeded(SEED);
  const length = Math.ceil(Math.cbrt(count));
  const ratios = Float64Array.from({ length: RESAMPLES }, () => {
    const drawn: number[] = [];
    while (drawn.length < count) {
      const first = Math.floor(random() * count);
      const block = Array.from({ length }, (_, offset) => known[(first + offset) % count] ?? 0);
      drawn.push(...block.slice(0, count - drawn.length));
    }
    return medianOf(ofB, drawn) / medianOf(ofA, drawn);
  }).sort();
  const tail = (1 - CONFIDENCE) / 2;
  return { a, b, ratio: { value: b / a, low: quantile(ratios, tail), high: quantile(ratios, 1 - tail) } };
}

/** Sorts the values. */
function median(values: Float64Array): number {
  return quantile(values.sort(), 0.5);
}

function quantile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const [low = 0, high = low] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at - Math.floor(at));
}

function isPositive(value: number | null | undefined): boolean {
  return typeof value === 'number' && value > 0;
}
