// Gathers accepted transfers into jobs, runs the jobs in the threads, and tells whoever waits how each ended.
//
//   ready ──job──▶ running ──▶ final
//     ▲               │
//     └───────────────┘  the database was away, the thread died, or the job was broken and is split
//
// No transfer leaves but as final: whatever goes wrong, it goes back to ready.
import { availableParallelism } from 'node:os';
import type { Durable, Ending, Job, JobReport } from '../domain/job.ts';
import type { NewTransfer } from '../domain/transfer.ts';
import type { Logger } from '../logger.ts';
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

type Tracked = Durable & {
  readonly acceptedAt: number;
  /** Those who wait for it, and perhaps for others; null if nobody does. */
  waiters: readonly Waiter[] | null;
  /** How it ended; only kept where somebody waits. */
  final: Final | null;
};

/** Somebody who waits for the end of several transfers: one timer, and a count of those that are still on their way. */
type Waiter = { left: number; readonly resolve: () => void };

type Batch = { readonly transfers: readonly Tracked[]; readonly giveUp: boolean };

/**
 * How many jobs run at once as a rule. Two full jobs nearly always have accounts in common, so the second one waits for locks
 * and takes processor time from the first: on 2 cores, orders in bulk were settled at 10,300 per second with ten jobs at once,
 * 14,400 with three, 15,900 with two and 16,600 with one.
 */
const BUSY_MAX = Math.max(1, Math.floor(availableParallelism() / 2));
/** How many transfers must be waiting for each busy thread before one more is woken: fuller jobs cost less. */
const FILL = 256;
/** A job that takes longer waits for somebody's lock, and must not hold up the others: its thread does not count as busy. */
const STALLED_MS = 200;
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
    /** Told the number of each row that this process adds to the journal, once it is committed. */
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

  /** Hands over transfers that are durable and have their places in the queue. */
  push(orders: readonly Durable[]): void {
    const acceptedAt = performance.now();
    for (const order of orders) {
      const tracked: Tracked = { ...order, acceptedAt, waiters: null, final: null };
      this.#tracked.set(order.id, tracked);
      this.#ready.push(tracked);
    }
    this.#pump();
  }

  /** Settles orders for real, in a transaction that is rolled back. They have their places in the queue, and keep them. */
  async dryRun(intakeId: string, transfers: readonly NewTransfer[]): Promise<JobReport> {
    return await this.#runInThread({ ...named(transfers), giveUp: false, dryRun: { intakeId, transfers } });
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

  #pump(): void {
    while (!this.#paused && this.#running < this.#threads) {
      const part = this.#parts.shift();
      const busy = this.#running - this.#stalled;
      if (part) void this.#run(part);
      else if (this.#ready.length === 0) return;
      // A job is what has gathered while threads were busy: filling it beats waking another thread.
      else if (busy === 0 || (busy < BUSY_MAX && this.#ready.length >= busy * FILL)) this.#runReady();
      else return;
    }
  }

  #runReady(): void {
    const count = countWhole(this.#ready, this.#jobSizeMax);
    void this.#run({ transfers: this.#ready.splice(0, count), giveUp: false });
  }

  async #run(batch: Batch): Promise<void> {
    this.#running += 1;
    const startedAt = performance.now();
    let stalled = 0;
    const timer = setTimeout(() => {
      stalled = 1;
      this.#stalled += 1;
      this.#pump();
    }, STALLED_MS);
    const { transfers, giveUp } = batch;
    const report = await this.#runInThread({ ...named(transfers), giveUp, dryRun: null });
    clearTimeout(timer);
    this.#running -= 1;
    this.#stalled -= stalled;
    this.#log(transfers, giveUp, report, performance.now() - startedAt);
    switch (report.result) {
      case 'settled':
        this.#pauseMs = 0;
        this.#finish(transfers, report);
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

  async #runInThread(job: Job): Promise<JobReport> {
    return await this.#pool.run(job).catch((error: Error) => ({
      result: 'unavailable',
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
    this.#queue.release(transfers.length, true);
    if (report.journalNumber !== null) this.#onJournal(report.journalNumber);
    if (this.#tracked.size === 0) for (const idle of this.#idleWaiters.splice(0)) idle();
  }

  #again(batch: Batch): void {
    if (isWhole(batch.transfers)) this.#parts.push(batch);
    else this.#ready = [...batch.transfers, ...this.#ready];
  }

  #split(batch: Batch): void {
    const { transfers } = batch;
    if (!isWhole(transfers)) {
      const half = countWhole(transfers, Math.ceil(transfers.length / 2));
      this.#parts.push(
        { transfers: transfers.slice(0, half), giveUp: false },
        { transfers: transfers.slice(half), giveUp: false },
      );
      return;
    }
    if (batch.giveUp) {
      // Not even its failure can be written. It stays pending, and is tried again until somebody looks; alone, because a pause
      // of all would have the others wait for it.
      setTimeout(() => {
        this.#parts.push(batch);
        this.#pump();
      }, PAUSE_MS_MAX);
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
        this.#logger.error({ ...common, transfer_ids: ids }, 'what could not be settled was failed');
      }
      return;
    }
    const details = { ...common, reason: report.reason, sqlstate: report.sqlState };
    if (report.result === 'broken') this.#logger.error(details, 'a job could not be settled and is split');
    else this.#logger.warn(details, 'a job is tried again');
  }
}

/**
 * How many of these transfers come to at most `max` without tearing an atomic group apart; the first group as a whole, if it
 * alone is larger.
 */
function countWhole(transfers: readonly Tracked[], max: number): number {
  let count = Math.min(max, transfers.length);
  while (count > 0 && tears(transfers, count)) count -= 1;
  if (count > 0) return count;
  count = 1;
  while (tears(transfers, count)) count += 1;
  return count;
}

/** Whether a cut before this index goes through an atomic group. */
function tears(transfers: readonly Tracked[], index: number): boolean {
  const group = transfers[index]?.atomicGroupId ?? null;
  return group !== null && transfers[index - 1]?.atomicGroupId === group;
}

/** Whether these are what is never torn apart: one transfer, or the members of one atomic group. */
function isWhole(transfers: readonly Tracked[]): boolean {
  return countWhole(transfers, 1) === transfers.length;
}

/** The transfers of a job, and all that they name, each once. */
function named(
  transfers: readonly Pick<Durable, 'id' | 'fromAccount' | 'toAccount' | 'parentId'>[],
): Pick<Job, 'transferIds' | 'accountNumbers' | 'parentIds'> {
  const accountNumbers = new Set<string>();
  const parentIds = new Set<string>();
  for (const { fromAccount, toAccount, parentId } of transfers) {
    accountNumbers.add(fromAccount).add(toAccount);
    if (parentId !== null) parentIds.add(parentId);
  }
  return {
    transferIds: transfers.map((transfer) => transfer.id),
    accountNumbers: [...accountNumbers],
    parentIds: [...parentIds],
  };
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
