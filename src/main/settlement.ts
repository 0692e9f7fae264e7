// Gathers accepted transfers into jobs, runs the jobs in the threads, and reports the outcome to waiting callers.
//
//   ready ──job──▶ running ──▶ final
//     ▲               │
//     └───────────────┘  the database was away, or the job was broken or killed its thread and is bisected
//
// A transfer leaves only when it is final: after any error it returns to ready.
import { availableParallelism } from 'node:os';
import type { Ending, Job, JobReport, QueuedTransfer } from '../domain/job.ts';
import type { NewTransfer } from '../domain/transfer.ts';
import type { Logger } from '../logger.ts';
import { countWhole, isWhole, named, sumBytes } from './batch.ts';
import type { Metrics } from './metrics.ts';
import type { ThreadPool } from './pool.ts';
import type { Queue } from './queue.ts';

/** How a transfer ended; settledAt and journalNumber are null if it is gone, and its row has to be read. */
export type Final = {
  readonly ending: Ending;
  readonly currency: string | null;
  readonly amount: bigint | null;
  readonly journalNumber: bigint | null;
  readonly settledAt: string | null;
};

type Tracked = QueuedTransfer & {
  readonly acceptedAt: number;
  /** Callers waiting for this transfer; null if none. */
  waiters: readonly Waiter[] | null;
  /** Its outcome; kept only while a caller waits. */
  final: Final | null;
};

/** A caller that waits for the end of several transfers: one timer, and a count of those that are not final. */
type Waiter = { left: number; readonly resolve: () => void };

type Batch = {
  readonly transfers: readonly Tracked[];
  readonly giveUp: boolean;
  /** How many threads died with these transfers alone. */
  readonly deaths: number;
  /** Threads or processes died with it. Suspects run one at a time, so that a death points to one batch only. */
  readonly suspect: boolean;
};

/**
 * How many jobs run at once as a rule. Two full jobs nearly always have accounts in common, so the second one waits for locks
 * and takes processor time from the first: on 2 cores, transfers in bulk were settled at 10,300 per second with ten jobs at once,
 * 14,400 with three, 15,900 with two and 16,600 with one.
 */
const BUSY_MAX = Math.max(1, Math.floor(availableParallelism() / 2));
/** How many transfers must be waiting for each busy thread before one more is woken: fuller jobs cost less. */
const FILL = 256;
/**
 * A job that takes this many times as long as jobs do, and at least this many milliseconds, is treated as waiting for a lock, and must
 * not delay the others: its thread does not count as busy. With a fixed time alone, every job of a slow database counted as waiting;
 * ten threads then waited for each other's locks.
 */
const STALLED_FACTOR = 4;
const STALLED_MS_MIN = 200;
/** A transfer is failed after this many threads died with it alone, or this many processes with it in ever smaller jobs. */
const THREAD_DEATHS_MAX = 3;
const ADOPTIONS_MAX = 12;
const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 2000;

export class Settlement {
  readonly #pool: ThreadPool;
  readonly #queue: Queue;
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  readonly #threads: number;
  readonly #jobSizeMax: number;
  readonly #onJournal: (number: bigint) => void;
  readonly #tracked = new Map<string, Tracked>();
  readonly #idleWaiters: (() => void)[] = [];
  /** The members of an atomic group are next to each other, here and in every batch. */
  #ready: Tracked[] = [];
  /** About how long a job takes, in milliseconds: a moving mean. */
  #typicalMs = 0;
  #suspectRuns = false;
  #stopped = false;
  /** Jobs that were broken as a whole, in parts: each runs as it is, so that the culprit ends alone. */
  #parts: Batch[] = [];
  #running = 0;
  #pauseMs = 0;
  #paused = false;
  #stalled = 0;

  constructor(options: {
    pool: ThreadPool;
    queue: Queue;
    metrics: Metrics;
    logger: Logger;
    threads: number;
    jobSizeMax: number;
    /** Called with the number of each row that this process adds to the journal, once it is committed. */
    onJournal: (number: bigint) => void;
  }) {
    this.#pool = options.pool;
    this.#queue = options.queue;
    this.#metrics = options.metrics;
    this.#logger = options.logger;
    this.#threads = options.threads;
    this.#jobSizeMax = options.jobSizeMax;
    this.#onJournal = options.onJournal;
  }

  /** Takes over durable, admitted transfers. Those already on their way are skipped. */
  push(transfers: readonly QueuedTransfer[]): void {
    const acceptedAt = performance.now();
    const suspects: Tracked[] = [];
    for (const transfer of transfers) {
      if (this.#tracked.has(transfer.id)) {
        this.#queue.release(1, transfer.bytes, false);
        continue;
      }
      const tracked: Tracked = { ...transfer, acceptedAt, waiters: null, final: null };
      this.#tracked.set(transfer.id, tracked);
      if (transfer.adoptions > 0) suspects.push(tracked);
      else this.#ready.push(tracked);
    }
    this.#addSuspects(suspects);
    this.#pump();
  }

  /** Puts the transfers of dead processes into jobs: the more processes died with them, the smaller the jobs. */
  #addSuspects(suspects: readonly Tracked[]): void {
    for (let start = 0; start < suspects.length;) {
      const adoptions = suspects[start]?.adoptions ?? 0;
      const end = suspects.findIndex((each, index) => index > start && each.adoptions !== adoptions);
      const alike = suspects.slice(start, end === -1 ? undefined : end);
      const sizeMax = Math.max(1, this.#jobSizeMax >> Math.min(30, 2 * adoptions));
      const transfers = alike.slice(0, countWhole(alike, sizeMax));
      const giveUp = adoptions >= ADOPTIONS_MAX && isWhole(transfers);
      this.#parts.push({ transfers, giveUp, deaths: 0, suspect: true });
      start += transfers.length;
    }
  }

  /** Settles transfers in a transaction that is rolled back. They are admitted already, and are not released here. */
  async dryRun(transfers: readonly NewTransfer[]): Promise<JobReport> {
    return await this.#runInThread({ ...named(transfers), giveUp: false, dryRun: transfers });
  }

  /** Whether a transfer is on its way in this process. */
  has(id: string): boolean {
    return this.#tracked.has(id);
  }

  /**
   * Resolves when all of these transfers are final, or after `timeoutMs`, with how each ended: null if it has not, or is not on its
   * way here.
   */
  async waitFor(ids: readonly string[], timeoutMs: number): Promise<(Final | null)[]> {
    const awaited = ids.map((id) => this.#tracked.get(id) ?? null);
    const onTheirWay = awaited.filter((transfer) => transfer !== null);
    if (onTheirWay.length > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        const waiter = {
          left: onTheirWay.length,
          resolve() {
            clearTimeout(timer);
            resolve();
          },
        };
        const alone = [waiter];
        for (const transfer of onTheirWay) transfer.waiters = transfer.waiters ? [...transfer.waiters, waiter] : alone;
      });
    }
    return awaited.map((transfer) => transfer?.final ?? null);
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

  /** Begins no more jobs: the threads end. What is not final stays pending in the database. */
  stop(): void {
    this.#stopped = true;
  }

  #pump(): void {
    while (!this.#stopped && !this.#paused && this.#running < this.#threads) {
      const part = this.#takePart();
      const busy = this.#running - this.#stalled;
      if (part) void this.#run(part);
      else if (this.#ready.length === 0) return;
      // A job is what has gathered while threads were busy: filling it beats waking another thread.
      else if (busy === 0 || (busy < BUSY_MAX && this.#ready.length >= busy * FILL)) this.#runReady();
      else return;
    }
  }

  #takePart(): Batch | undefined {
    const index = this.#parts.findIndex(({ suspect }) => !suspect || !this.#suspectRuns);
    return index === -1 ? undefined : this.#parts.splice(index, 1)[0];
  }

  #runReady(): void {
    const count = countWhole(this.#ready, this.#jobSizeMax);
    void this.#run({ transfers: this.#ready.splice(0, count), giveUp: false, deaths: 0, suspect: false });
  }

  async #run(batch: Batch): Promise<void> {
    this.#running += 1;
    if (batch.suspect) this.#suspectRuns = true;
    const startedAt = performance.now();
    let stalled = 0;
    const timer = setTimeout(
      () => {
        stalled = 1;
        this.#stalled += 1;
        this.#pump();
      },
      Math.max(STALLED_MS_MIN, STALLED_FACTOR * this.#typicalMs),
    );
    const { transfers, giveUp } = batch;
    const report = await this.#runInThread({ ...named(transfers), giveUp, dryRun: null });
    const durationMs = performance.now() - startedAt;
    clearTimeout(timer);
    this.#running -= 1;
    this.#stalled -= stalled;
    if (batch.suspect) this.#suspectRuns = false;
    if (this.#stopped && report.result !== 'settled') return;
    this.#log(transfers, giveUp, report, durationMs);
    switch (report.result) {
      case 'settled':
        this.#pauseMs = 0;
        this.#typicalMs += (durationMs - this.#typicalMs) / 8;
        this.#finish(transfers, report);
        break;
      case 'unavailable':
        this.#again(batch);
        this.#pause();
        break;
      case 'died':
      case 'broken':
        this.#bisect(batch, report.result);
        break;
    }
    this.#pump();
  }

  async #runInThread(job: Job): Promise<JobReport> {
    return await this.#pool.run(job).catch((error: Error) => ({
      // Whatever else the pool rejects with, such as its end, is not the job's doing.
      result: isDeath(error) ? 'died' : 'unavailable',
      reason: `A thread died: ${error.message}`,
      sqlState: null,
    }));
  }

  #finish(transfers: readonly Tracked[], report: Extract<JobReport, { result: 'settled' }>): void {
    const now = performance.now();
    for (const [index, transfer] of transfers.entries()) {
      const ending = report.endings[index] ?? null;
      this.#tracked.delete(transfer.id);
      this.#metrics.settled(ending, now - transfer.acceptedAt);
      if (transfer.waiters === null) continue;
      transfer.final = finalOf(report, index);
      for (const waiter of transfer.waiters) {
        waiter.left -= 1;
        if (waiter.left === 0) waiter.resolve();
      }
    }
    this.#queue.release(transfers.length, sumBytes(transfers), true);
    if (report.journalNumber !== null) this.#onJournal(report.journalNumber);
    if (this.#tracked.size === 0) for (const idle of this.#idleWaiters.splice(0)) idle();
  }

  #again(batch: Batch): void {
    if (batch.suspect || isWhole(batch.transfers)) this.#parts.push(batch);
    else this.#ready = [...batch.transfers, ...this.#ready];
  }

  /** Runs a job again in halves until the culprit, or its atomic group, is alone; that is then failed. */
  #bisect(batch: Batch, why: 'died' | 'broken'): void {
    const { transfers } = batch;
    const suspect = batch.suspect || why === 'died';
    if (!isWhole(transfers)) {
      const half = countWhole(transfers, Math.ceil(transfers.length / 2));
      for (const part of [transfers.slice(0, half), transfers.slice(half)]) {
        if (part.length > 0) this.#parts.push({ transfers: part, giveUp: false, deaths: 0, suspect });
      }
      return;
    }
    const deaths = batch.deaths + (why === 'died' ? 1 : 0);
    const giveUp = why === 'broken' || deaths >= THREAD_DEATHS_MAX;
    if (!batch.giveUp) {
      this.#parts.push({ transfers, giveUp, deaths, suspect });
      return;
    }
    // Even the failure cannot be written. Retry this transfer alone, so that the others are not delayed, until an operator
    // intervenes.
    setTimeout(() => {
      this.#parts.push(batch);
      this.#pump();
    }, PAUSE_MS_MAX);
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

  #log(transfers: readonly Tracked[], gaveUp: boolean, report: JobReport, durationMs: number): void {
    const common = {
      transfers: transfers.length,
      request_ids: [...new Set(transfers.map(({ requestId }) => requestId))],
      duration_ms: Math.round(durationMs * 1000) / 1000,
      result: report.result,
    };
    if (report.result === 'settled') {
      const { journalNumber, accountCount, attempts, endings } = report;
      const failed = endings.filter((ending) => ending !== null && ending !== 'gone').length;
      const gone = endings.filter((ending) => ending === 'gone').length;
      const number = journalNumber === null ? null : Number(journalNumber);
      this.#metrics.job(transfers.length, durationMs);
      this.#logger.info(
        { ...common, journal_number: number, accounts: accountCount, failed, gone, attempts },
        'job settled',
      );
      if (gaveUp) {
        const ids = transfers.map(({ id }) => id);
        this.#logger.error({ ...common, transfer_ids: ids }, 'poison transfer quarantined');
      }
      return;
    }
    const details = { ...common, reason: report.reason, sqlstate: report.sqlState };
    if (report.result === 'unavailable') this.#logger.warn(details, 'job retried');
    else this.#logger.error(details, report.result === 'died' ? 'job killed its thread' : 'job broken, bisected');
  }
}

/** Whether a thread ended while it ran the job. */
function isDeath(error: Error): boolean {
  return /worker exited/i.test(error.message) || ('code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY');
}

/** How the transfer at an index of a settled job ended. */
export function finalOf(report: Extract<JobReport, { result: 'settled' }>, index: number): Final {
  const ending = report.endings[index] ?? null;
  if (ending === 'gone') return { ending, currency: null, amount: null, journalNumber: null, settledAt: null };
  return {
    ending,
    currency: report.currencies[index] ?? null,
    amount: report.amounts[index] ?? null,
    journalNumber: report.journalNumber,
    settledAt: report.settledAt,
  };
}
