// Gathers accepted transfers into jobs, runs the jobs in the threads, and tells whoever waits how each ended.
//
//   ready ──job──▶ running ──▶ final
//     ▲               │
//     └───────────────┘  the database was away, the thread died, or the job was broken and is split
//
// No transfer leaves but as final: whatever goes wrong, it goes back to ready.
import type { Ending, Job, JobReport } from '../domain/job.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from './metrics.ts';
import type { ThreadPool } from './pool.ts';
import type { Queue } from './queue.ts';

/** How a transfer ended; settledAt and journalNumber are null if it is gone, and its row has to be read. */
export type Final = {
  readonly ending: Ending;
  readonly currency: string | null;
  readonly journalNumber: bigint | null;
  readonly settledAt: string | null;
};

type Tracked = {
  readonly id: string;
  readonly requestId: string;
  readonly acceptedAt: number;
  waiters: ((final: Final) => void)[] | null;
};

type Batch = { readonly transfers: readonly Tracked[]; readonly giveUp: boolean };

/** How full a job must be before one more thread is woken for it, times the threads that are busy already. */
const FILL = 64;
/** How long gathered transfers wait for their job to fill: threads may be busy with a job that waits for a lock. */
const FILL_MS_MAX = 10;
const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 2000;

export class Settlement {
  readonly #pool: ThreadPool;
  readonly #queue: Queue;
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  readonly #threads: number;
  readonly #jobSizeMax: number;
  readonly #tracked = new Map<string, Tracked>();
  readonly #idleWaiters: (() => void)[] = [];
  #ready: Tracked[] = [];
  /** Jobs that were broken as a whole, in parts: each runs as it is, so that the culprit ends alone. */
  #parts: Batch[] = [];
  #running = 0;
  #pauseMs = 0;
  #paused = false;
  #fillTimer: NodeJS.Timeout | null = null;

  constructor(options: {
    pool: ThreadPool;
    queue: Queue;
    metrics: Metrics;
    logger: Logger;
    threads: number;
    jobSizeMax: number;
  }) {
    this.#pool = options.pool;
    this.#queue = options.queue;
    this.#metrics = options.metrics;
    this.#logger = options.logger;
    this.#threads = options.threads;
    this.#jobSizeMax = options.jobSizeMax;
  }

  /** Hands over transfers that are durable and have their places in the queue. */
  push(transfers: readonly { id: string; requestId: string }[]): void {
    for (const { id, requestId } of transfers) {
      const tracked: Tracked = { id, requestId, acceptedAt: performance.now(), waiters: null };
      this.#tracked.set(id, tracked);
      this.#ready.push(tracked);
    }
    this.#pump();
  }

  /** Whether a transfer is on its way in this process. */
  has(id: string): boolean {
    return this.#tracked.has(id);
  }

  /** Resolves when the transfer is final, or with null after `timeoutMs`, or at once if it is not on its way here. */
  async waitFor(id: string, timeoutMs: number): Promise<Final | null> {
    const tracked = this.#tracked.get(id);
    if (!tracked) return null;
    return await new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs, null);
      (tracked.waiters ??= []).push((final) => {
        clearTimeout(timer);
        resolve(final);
      });
    });
  }

  /** Resolves when nothing is on its way any more, with true, or with false after `timeoutMs`. */
  async drain(timeoutMs: number): Promise<boolean> {
    if (this.#tracked.size === 0) return true;
    return await new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs, false);
      this.#idleWaiters.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  #pump(): void {
    while (!this.#paused && this.#running < this.#threads) {
      const part = this.#parts.shift();
      if (part) void this.#run(part);
      else if (this.#ready.length === 0) return;
      // A job is what has gathered while threads were busy: filling it beats waking another thread.
      else if (this.#ready.length >= this.#running * FILL) this.#runReady();
      else {
        this.#fillTimer ??= setTimeout(() => {
          this.#fillTimer = null;
          if (this.#paused || this.#running === this.#threads || this.#ready.length === 0) return;
          this.#runReady();
          this.#pump();
        }, FILL_MS_MAX);
        return;
      }
    }
  }

  #runReady(): void {
    if (this.#fillTimer) clearTimeout(this.#fillTimer);
    this.#fillTimer = null;
    void this.#run({ transfers: this.#ready.splice(0, this.#jobSizeMax), giveUp: false });
  }

  async #run(batch: Batch): Promise<void> {
    this.#running += 1;
    const startedAt = performance.now();
    const job: Job = { transferIds: batch.transfers.map((transfer) => transfer.id), giveUp: batch.giveUp };
    const report = await this.#pool
      .run(job)
      .catch((error: Error): JobReport => ({
        result: 'unavailable',
        reason: `A thread died: ${error.message}`,
        sqlState: null,
      }));
    this.#running -= 1;
    this.#log(batch, report, performance.now() - startedAt);
    switch (report.result) {
      case 'settled':
        this.#pauseMs = 0;
        this.#finish(batch, report);
        break;
      case 'unavailable':
        this.#again(batch);
        this.#pause();
        break;
      case 'broken':
        this.#split(batch);
        break;
    }
    this.#pump();
  }

  #finish(batch: Batch, report: Extract<JobReport, { result: 'settled' }>): void {
    const now = performance.now();
    for (const [index, transfer] of batch.transfers.entries()) {
      const ending = report.endings[index] ?? null;
      this.#tracked.delete(transfer.id);
      this.#metrics.settled(ending, now - transfer.acceptedAt);
      if (!transfer.waiters) continue;
      const { journalNumber, settledAt } = report;
      const final =
        ending === 'gone'
          ? { ending, currency: null, journalNumber: null, settledAt: null }
          : { ending, currency: report.currencies[index] ?? null, journalNumber, settledAt };
      for (const waiter of transfer.waiters) waiter(final);
    }
    this.#queue.release(batch.transfers.length, true);
    if (this.#tracked.size === 0) for (const idle of this.#idleWaiters.splice(0)) idle();
  }

  #again(batch: Batch): void {
    if (batch.transfers.length === 1) this.#parts.push(batch);
    else this.#ready = [...batch.transfers, ...this.#ready];
  }

  #split(batch: Batch): void {
    const { transfers } = batch;
    if (transfers.length > 1) {
      const half = Math.ceil(transfers.length / 2);
      this.#parts.push({ transfers: transfers.slice(0, half), giveUp: false });
      this.#parts.push({ transfers: transfers.slice(half), giveUp: false });
      return;
    }
    if (batch.giveUp) {
      // Not even its failure can be written. It stays pending, and is tried again until somebody looks.
      this.#parts.push(batch);
      this.#pause();
      return;
    }
    this.#parts.push({ transfers, giveUp: true });
  }

  /** Runs nothing for a while: each time longer, until a job succeeds. */
  #pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#pauseMs = Math.min(PAUSE_MS_MAX, Math.max(PAUSE_MS_MIN, this.#pauseMs * 2));
    setTimeout(
      () => {
        this.#paused = false;
        this.#pump();
      },
      this.#pauseMs * (0.5 + Math.random()),
    );
  }

  #log(batch: Batch, report: JobReport, durationMs: number): void {
    const common = {
      transfers: batch.transfers.length,
      request_ids: [...new Set(batch.transfers.map((transfer) => transfer.requestId))],
      duration_ms: Math.round(durationMs * 1000) / 1000,
      result: report.result,
    };
    if (report.result === 'settled') {
      const { journalNumber, accountCount, attempts, endings } = report;
      const failed = endings.filter((ending) => ending !== null && ending !== 'gone').length;
      const gone = endings.filter((ending) => ending === 'gone').length;
      this.#metrics.job(batch.transfers.length, durationMs);
      this.#logger.info(
        {
          ...common,
          journal_number: journalNumber === null ? null : Number(journalNumber),
          accounts: accountCount,
          failed,
          gone,
          attempts,
        },
        'job settled',
      );
      if (batch.giveUp) {
        this.#logger.error(
          { ...common, transfer_id: batch.transfers[0]?.id },
          'a transfer could not be settled and was failed',
        );
      }
      return;
    }
    const details = { ...common, reason: report.reason, sqlstate: report.sqlState };
    if (report.result === 'broken') this.#logger.error(details, 'a job could not be settled and is split');
    else this.#logger.warn(details, 'a job is tried again');
  }
}
