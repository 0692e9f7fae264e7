// The threads. They run on piscina, with every option stated, because several of its defaults are traps for a job that
// moves money. No other file imports piscina.
import { Piscina } from 'piscina';
import type { DatabaseSettings, DatabaseTimeouts } from '../../db/connection/connect.ts';
import { type Job, type JobReport, toColumns } from '../../domain/job.ts';
import { MAIN_LEDGER } from '../../domain/ledger.ts';
import { toOpeningColumns } from '../../domain/opening.ts';

/** How many threads start with the service: one to work and one to spare. */
const THREADS_MIN = 2;
/** How often the pool is checked for missing threads. */
const LOOK_MS = 250;
/** A job without units, which a thread answers at once. */
const NOTHING: Job = {
  ledger: MAIN_LEDGER,
  units: [],
  transfers: toColumns([]),
  claims: [],
  openings: toOpeningColumns([]),
  mode: 'settle',
  mayBeSettled: false,
  storedAgoMs: 0,
  retryMs: 0,
  traced: false,
};

export type ThreadPool = {
  /** Runs a job in an idle thread, or when one becomes idle. Rejects if the thread dies; the job may be run again. */
  run(job: Job): Promise<JobReport>;
  /** Ends the threads at once. Await the running jobs first. */
  destroy(): Promise<void>;
};

export function createThreadPool(options: {
  threads: number;
  maxQueue: number;
  database: DatabaseSettings;
  timeouts: DatabaseTimeouts;
  onError: (error: Error) => void;
}): ThreadPool {
  const pool = new Piscina<Job, JobReport>({
    filename: new URL('../../threads/settle.ts', import.meta.url).href,
    // The others start when they are first needed, which is when jobs wait for locks. Most are never needed, and would
    // cost 110 MB.
    minThreads: Math.min(THREADS_MIN, options.threads),
    maxThreads: options.threads,
    idleTimeout: Infinity,
    // A second line of defense: admission has counted to this before anything was stored (see admission.ts).
    maxQueue: options.maxQueue,
    // One transaction at a time on the thread's one connection.
    concurrentTasksPerWorker: 1,
    // 'sync' would freeze the event loop of an idle thread, and its connection with it.
    atomics: 'disabled',
    stricterFIFO: true,
    recordTiming: false,
    trackUnmanagedFds: false,
    resourceLimits: { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 32 },
    workerData: { database: options.database, timeouts: options.timeouts },
  });
  // A thread that dies between two jobs is replaced. Without a listener, its end would end the process.
  pool.on('error', options.onError);
  // piscina does not replace a thread that dies while it loads. A job that waits for that thread is not examined again
  // until something else happens. A job that finds no idle thread makes piscina do both.
  const keeper = setInterval(() => {
    const { threads, queueSize } = pool;
    if (threads.length === options.threads) return;
    if (queueSize > 0) pool.run(NOTHING).catch(() => {});
    else if (threads.length < THREADS_MIN)
      for (let n = 0; n <= threads.length; n += 1) pool.run(NOTHING).catch(() => {});
  }, LOOK_MS).unref();
  return {
    run: async (job) => await pool.run(job),
    async destroy() {
      clearInterval(keeper);
      await pool.destroy();
    },
  };
}
