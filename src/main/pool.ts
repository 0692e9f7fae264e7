// The threads, at most ten: piscina, with every option stated, because several of its defaults are traps for a job that moves
// money. Nothing else imports piscina.
import { Piscina } from 'piscina';
import type { DatabaseSettings, DatabaseTimeouts } from '../db/connect.ts';
import type { Job, JobReport } from '../domain/job.ts';

/** How often it is looked whether a thread is missing. */
const LOOK_MS = 250;
/** A job of no transfers, which a thread answers at once. */
const NOTHING: Job = { transferIds: [], accountNumbers: [], parentIds: [], giveUp: false, dryRun: null };

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
    filename: new URL('../threads/settle.ts', import.meta.url).href,
    // One to work and one to spare; the others follow (below). All at once, they take the cores from the rest of the start.
    minThreads: Math.min(2, options.threads),
    maxThreads: options.threads,
    idleTimeout: Infinity,
    // Admission has counted to this before anything was stored (see queue.ts); here it is the second line.
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
  // A thread that dies between two jobs is replaced; without a listener its end would be the end of the process.
  pool.on('error', options.onError);
  // Makes the threads that are missing, one or two at a time: after the start, and after one died while it loaded, which piscina
  // does not replace; nor does it look again at a job that waited for that one. It does both when a job finds no idle thread.
  const keeper = setInterval(() => {
    if (pool.threads.length === options.threads) return;
    const count = pool.queueSize > 0 ? 1 : pool.threads.length + 1;
    for (let number = 0; number < count; number += 1) pool.run(NOTHING).catch(() => {});
  }, LOOK_MS).unref();
  return {
    run: async (job) => await pool.run(job),
    async destroy() {
      clearInterval(keeper);
      await pool.destroy();
    },
  };
}
