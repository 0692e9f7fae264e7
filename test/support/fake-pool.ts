// Simulated threads: a job runs until the test ends it.
import assert from 'node:assert/strict';
import type { Job, JobReport } from '../../src/domain/job.ts';
import { createLogger } from '../../src/logger.ts';
import { Admission } from '../../src/main/engine/admission.ts';
import type { Trials } from '../../src/main/engine/bisection.ts';
import { Dispatcher } from '../../src/main/engine/dispatcher.ts';
import type { ThreadPool } from '../../src/main/engine/pool.ts';
import { nameOf, type Unit } from '../../src/main/engine/unit.ts';
import { createMetrics } from '../../src/main/engine/metrics.ts';
import { settledReport } from './jobs.ts';

/** A running job. */
export type Running = { job: Job; end: (report: JobReport) => void; die: (error: Error) => void };

export class FakePool implements ThreadPool {
  /** All jobs, in the order in which they began. */
  readonly jobs: Job[] = [];
  /** Those that run. */
  readonly running: Running[] = [];

  async run(job: Job): Promise<JobReport> {
    this.jobs.push(job);
    return await new Promise((resolve, reject) => {
      const leave = () => void this.running.splice(this.running.indexOf(running), 1);
      const running: Running = {
        job,
        end(report) {
          leave();
          resolve(report);
        },
        die(error) {
          leave();
          reject(error);
        },
      };
      this.running.push(running);
    });
  }

  async destroy(): Promise<void> {}

  /** The job that has run longest. */
  get first(): Running {
    return this.running[0] ?? assert.fail('a job runs');
  }

  /** Ends the job that has run longest: as settled, unless a report is given. */
  async end(report?: JobReport): Promise<Job> {
    const { job, end } = this.first;
    end(report ?? settledReport(job));
    await turn();
    return job;
  }

  /** Ends the thread of the job that has run longest. */
  async die(): Promise<Job> {
    const { job, die } = this.first;
    die(new Error('worker exited with code: 1'));
    await turn();
    return job;
  }

  /** Ends jobs, each with the report of `reportOf` or as settled, until none runs. */
  async endAll(reportOf: (job: Job) => JobReport | null = () => null): Promise<void> {
    while (this.running.length > 0) await this.end(reportOf(this.first.job) ?? undefined);
  }
}

/** The trials of a dispatcher, as they begin and end. */
export class FakeTrials implements Trials {
  readonly events: string[] = [];
  /** Thrown where a trial begins, for example because an account is locked. */
  error: Error | null = null;

  async begin(unit: Unit): Promise<void> {
    this.events.push(`begin ${nameOf(unit)}`);
    if (this.error) throw this.error;
  }

  async end(unit: Unit): Promise<void> {
    this.events.push(`end ${nameOf(unit)}`);
  }
}

export type Journaled = { ledger: string; number: bigint };

type Options = {
  readonly threads?: number;
  readonly jobSizeMax?: number;
  readonly maxQueue?: number;
  readonly bytesMax?: number;
  readonly schedule?: (due: () => void) => void;
  readonly restAfter?: (jobMs: number) => number;
};

/** A dispatcher with simulated threads and unlimited admission. By default it begins jobs at once, and no ledger rests. */
export async function startDispatcher({
  threads = 1,
  jobSizeMax = 100,
  maxQueue = 1_000_000,
  bytesMax = 1e12,
  schedule = (due) => due(),
  restAfter = () => 0,
}: Options = {}) {
  const { logger } = await createLogger('silent');
  const admission = new Admission(maxQueue, bytesMax);
  const pool = new FakePool();
  const trials = new FakeTrials();
  const journaled: Journaled[] = [];
  const metrics = createMetrics(admission);
  const dispatcher = new Dispatcher({
    pool,
    admission,
    metrics,
    logger,
    threads,
    jobSizeMax,
    trials,
    schedule,
    restAfter,
    onJournal: ({ name }, number) => void journaled.push({ ledger: name, number }),
  });
  return { dispatcher, admission, pool, trials, journaled, metrics, logger };
}

/** Runs everything that is ready. */
export async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
