// The measured costs that the simulation starts from: fitted to the samples of a run of the benchmark.
import { medianOf, type Sample } from '../subject.ts';

/** Where a figure is per job and per transfer, it is of one core. */
export type Costs = {
  /** What PostgreSQL spends on a job, whatever its size, and on each transfer in it; microseconds. */
  readonly jobMicros: number;
  readonly transferMicros: number;
  /** What a coordinator of Citus spends besides; microseconds. */
  readonly coordinatorJobMicros: number;
  readonly coordinatorTransferMicros: number;
  /** What the service spends on a transfer that comes alone, and on one of a thousand in a request; microseconds. */
  readonly serviceSingleMicros: number;
  readonly serviceBulkMicros: number;
};

/** A measured point: the microseconds of PostgreSQL per transfer, in jobs of this size. */
export type Point = { readonly jobSize: number; readonly micros: number };

export type Fit = {
  readonly jobMicros: number;
  readonly transferMicros: number;
  /** The largest relative error of the fit at a measured point. */
  readonly errorMax: number;
};

/** The subjects that settle by themselves, and the sizes of their jobs. */
const JOB_SIZES = { 'sql-1': 1, 'sql-16': 16, 'sql-128': 128, sql: 1024 };

/**
 * How many times as long a job takes through Citus as on plain PostgreSQL on the same cores: the middle of what was
 * measured on version 13.2 with two workers, 1.3 to 1.5 for 1,024 transfers and 1.9 to 3.6 for 16.
 */
const THROUGH_CITUS = [
  { jobSize: 16, factor: 2.75 },
  { jobSize: 1024, factor: 1.4 },
];

/** The points of a run, each the median of its rounds. */
export function pointsOf(samples: readonly Sample[]): Point[] {
  return Object.entries(JOB_SIZES).map(([subject, jobSize]) => {
    const micros = measuredMedian(samples, subject, 'postgresMs');
    return { jobSize, micros };
  });
}

/**
 * Fits micros = transferMicros + jobMicros / jobSize, by least squares of the relative errors: each size counts the
 * same, although a transfer alone costs many times as much.
 */
export function fit(points: readonly Point[]): Fit {
  let [xx, xz, zz, x, z] = [0, 0, 0, 0, 0];
  for (const { jobSize, micros } of points) {
    const [perTransfer, perJob] = [1 / micros, 1 / jobSize / micros];
    xx += perTransfer * perTransfer;
    xz += perTransfer * perJob;
    zz += perJob * perJob;
    x += perTransfer;
    z += perJob;
  }
  const determinant = xx * zz - xz * xz;
  if (determinant === 0) throw new RangeError('A fit needs jobs of two sizes.');
  const transferMicros = (x * zz - z * xz) / determinant;
  const jobMicros = (z * xx - x * xz) / determinant;
  const errors = points.map(({ jobSize, micros }) =>
    Math.abs((transferMicros + jobMicros / jobSize - micros) / micros),
  );
  return { jobMicros, transferMicros, errorMax: Math.max(...errors) };
}

/** The costs of a run. Throws a RangeError that names the subject that the run lacks. */
export function costsOf(samples: readonly Sample[]): Costs & { readonly errorMax: number } {
  const plain = fit(pointsOf(samples));
  const through = fit(
    THROUGH_CITUS.map(({ jobSize, factor }) => ({
      jobSize,
      micros: factor * (plain.transferMicros + plain.jobMicros / jobSize),
    })),
  );
  return {
    ...plain,
    coordinatorJobMicros: Math.max(0, through.jobMicros - plain.jobMicros),
    coordinatorTransferMicros: Math.max(0, through.transferMicros - plain.transferMicros),
    serviceSingleMicros: measuredMedian(samples, 'single-256', 'serviceMs'),
    serviceBulkMicros: measuredMedian(samples, 'bulk', 'serviceMs'),
  };
}

/** Milliseconds per 1,000 transfers are microseconds per transfer. */
function measuredMedian(samples: readonly Sample[], subject: string, name: string): number {
  const values = samples.flatMap((sample) => {
    const value = sample.measured[name];
    return sample.subject === subject && value !== undefined ? [value] : [];
  });
  const median = medianOf(values);
  if (median === null)
    throw new RangeError(`The results have no ${subject}: run the benchmark with --only=${subject}.`);
  return median;
}
