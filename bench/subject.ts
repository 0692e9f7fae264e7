// What takes part in the benchmark: a subject, its turns, and what a turn measured.

/** Numbers that a turn measured beside its figure, by names that end with their unit. */
export type Measured = Readonly<Record<string, number>>;

export type Run = {
  /** What the subject is compared by, in its unit. */
  readonly figure: number;
  readonly measured: Measured;
  /** The command that put on the load. */
  readonly command: string;
};

export type Sample = {
  readonly subject: string;
  readonly round: number;
  /** Null: a promise was broken, or the run failed, and `broken` has the reason. */
  readonly figure: number | null;
  readonly broken: string | null;
  readonly measured: Measured;
  readonly command: string;
};

export type Unit = 'transfers/s' | 'requests/s' | 'accounts/s' | 'jobs/s' | 'rows/s' | 'ms' | 'ratio';

export type Subject = {
  readonly name: string;
  readonly unit: Unit;
  /** What it does and does not do, in a sentence or two. */
  readonly what: string;
  /** Subjects whose samples its run or its bars need. */
  readonly needs: readonly string[];
  prepare(): Promise<void>;
  /** One turn of so many measured seconds, which has a figure only if all promises held. */
  run(seconds: number): Promise<Run>;
  /** Verifies the result of all turns, and returns what is wrong, or null. */
  prove(): Promise<string | null>;
  close(): Promise<void>;
};

/** A subject's name and what it ends with if another checkout is measured: " (before)". */
export function splitName(name: string): { base: string; suffix: string } {
  const suffix = / \(.+\)$/.exec(name)?.[0] ?? '';
  return { base: name.slice(0, name.length - suffix.length), suffix };
}

/** Thrown by a run after which the books are not as promised. */
export class BrokenPromise extends Error {}

/** The middle of some numbers; null of none. */
export function medianOf(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.floor(sorted.length / 2)]];
  return low === undefined || high === undefined ? null : (low + high) / 2;
}
