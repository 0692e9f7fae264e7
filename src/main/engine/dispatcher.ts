// Gathers units into jobs, each of one ledger, and runs the jobs in the threads. Ledgers are served in turn.
//
//   queued ──job──▶ running ──▶ ended
//    │ ▲               │
//    │ └───────────────┘  the database was away, or the job was broken or killed its thread and is bisected
//    └──▶ withdrawn       its caller's wait is over, and it is stored before it comes back
//
// A stored unit leaves only when it is final: after any error it returns to the queue. A unit that is not stored may also end as
// broken: nothing was written then, unless an answer was lost or a thread died with it (mayBeSettled). Its caller learns which.
import type { Account } from '../../domain/account.ts';
import type { Ending, Job, JobReport, SettledJob, UnitEnding } from '../../domain/job.ts';
import type { Logger } from '../../logger.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Metrics } from '../metrics.ts';
import type { Admission } from './admission.ts';
import { Concurrency, countFitting, sizeAfterDeaths } from './batching.ts';
import type { ThreadPool } from './pool.ts';
import { isStored, sizeOf, toJob, type Unit } from './unit.ts';

/** How a unit ended. */
export type UnitResult = SettledUnit | { readonly state: Exclude<UnitEnding, 'settled'> | 'broken' };

export type SettledUnit = {
  readonly state: 'settled';
  /** One per transfer. */
  readonly transfers: readonly {
    readonly ending: Ending;
    readonly currency: string | null;
    readonly amount: bigint | null;
  }[];
  /** One per account that it opened. */
  readonly opened: readonly Account[];
  readonly jobMicros: bigint;
  readonly journalNumber: bigint | null;
  readonly settledAt: string;
};

/** A unit on its way. */
export class Tracked {
  readonly unit: Unit;
  readonly size: number;
  readonly acceptedAt = performance.now();
  state: 'queued' | 'running' | 'withdrawn' | 'ended' = 'queued';
  /** Whether it is in the line of its ledger, and not in a batch that runs as it is. */
  isInLane = false;
  /** A job with it may have committed: its answer was lost. */
  mayBeSettled = false;
  result: UnitResult | null = null;
  /** Called when it ends, or leaves a job for another. */
  #listeners: (() => void)[] | null = null;

  constructor(unit: Unit) {
    this.unit = unit;
    this.size = sizeOf(unit);
  }

  get bytes(): number {
    return this.unit.bytes;
  }

  /** Resolves when the unit ends or leaves a running job, or after `timeoutMs`. */
  async change(timeoutMs: number): Promise<void> {
    if (this.state === 'ended' || timeoutMs <= 0) return;
    await new Promise<void>((resolve) => {
      const timer = timeoutMs === Infinity ? undefined : setTimeout(resolve, timeoutMs);
      (this.#listeners ??= []).push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** Resolves when the unit has ended, or after `timeoutMs`. */
  async end(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (this.result === null && performance.now() < deadline) await this.change(deadline - performance.now());
  }

  announce(): void {
    const listeners = this.#listeners;
    this.#listeners = null;
    if (listeners) for (const listen of listeners) listen();
  }
}

type Batch = {
  readonly units: readonly Tracked[];
  readonly mode: 'settle' | 'quarantine';
  /** How many threads died with this unit alone. */
  readonly deaths: number;
  /** Threads or processes died with it. Suspects run one at a time, so that a death points to one batch only. */
  readonly suspect: boolean;
};

/** What a ledger has on its way. */
type Lane = {
  readonly concurrency: Concurrency;
  ready: Tracked[];
  /** Transfers in `ready`, without withdrawn ones. */
  waiting: number;
  running: number;
  /** Running jobs that wait for a lock, probably. */
  stalled: number;
};

/**
 * A job that takes this many times as long as jobs do, and at least this many milliseconds, is treated as waiting for a lock, and must
 * not delay the others: it does not count as running. With a fixed time alone, every job of a slow database counted as waiting;
 * ten threads then waited for each other's locks.
 */
const STALLED_FACTOR = 4;
const STALLED_MS_MIN = 200;
/** A transfer is failed after this many threads died with it alone, or this many processes with it in ever smaller jobs. */
const THREAD_DEATHS_MAX = 3;
const ADOPTIONS_MAX = 12;
const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 2000;

export class Dispatcher {
  readonly #pool: ThreadPool;
  readonly #admission: Admission;
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  readonly #threads: number;
  readonly #jobSizeMax: number;
  readonly #onJournal: (ledger: Ledger, number: bigint) => void;
  readonly #lanes = new Map<number, Lane>();
  /** Stored units by the ids of their transfers. */
  readonly #stored = new Map<string, Tracked>();
  readonly #idleWaiters: (() => void)[] = [];
  /** Batches that run as they are: parts of a job that failed, and what dead processes left. */
  #parts: Batch[] = [];
  #onItsWay = 0;
  #running = 0;
  /** About how long a job takes, in milliseconds: a moving mean. */
  #typicalMs = 0;
  #suspectRuns = false;
  #stopped = false;
  #pauseMs = 0;
  #paused = false;

  constructor(options: {
    pool: ThreadPool;
    admission: Admission;
    metrics: Metrics;
    logger: Logger;
    threads: number;
    jobSizeMax: number;
    /** Called with the number of each row that this process adds to a journal, once it is committed. */
    onJournal: (ledger: Ledger, number: bigint) => void;
  }) {
    this.#pool = options.pool;
    this.#admission = options.admission;
    this.#metrics = options.metrics;
    this.#logger = options.logger;
    this.#threads = options.threads;
    this.#jobSizeMax = options.jobSizeMax;
    this.#onJournal = options.onJournal;
  }

  /** Takes over an admitted unit that is not stored. */
  submit(unit: Unit): Tracked {
    const tracked = new Tracked(unit);
    this.#queue(tracked);
    this.#pump();
    return tracked;
  }

  /** Takes over stored, admitted units. Those already on their way are skipped. */
  push(units: readonly Unit[]): void {
    const suspects: Tracked[] = [];
    for (const unit of units) {
      if (unit.transfers.some(({ transfer }) => this.#stored.has(transfer.id))) {
        this.#admission.release(sizeOf(unit), unit.bytes, false);
        continue;
      }
      const tracked = new Tracked(unit);
      for (const { transfer } of unit.transfers) this.#stored.set(transfer.id, tracked);
      if (unit.adoptions > 0) suspects.push(tracked);
      else this.#queue(tracked);
    }
    this.#addSuspects(suspects);
    this.#pump();
  }

  /** Takes a queued unit back, so that it is in no job any more. False if it is in one, or may have been settled by one. */
  withdraw(tracked: Tracked): boolean {
    if (tracked.state !== 'queued' || tracked.mayBeSettled) return false;
    tracked.state = 'withdrawn';
    this.#onItsWay -= 1;
    if (tracked.isInLane) this.#laneOf(tracked.unit.ledger).waiting -= tracked.size;
    this.#announceIdle();
    return true;
  }

  /** Settles a unit in a transaction that is rolled back. It is admitted already, and is not released here. */
  async dryRun(unit: Unit): Promise<JobReport> {
    return await this.#runInThread(toJob([unit], { mode: 'dry run', mayBeSettled: false }));
  }

  /** Whether a stored transfer is on its way in this process. */
  has(id: string): boolean {
    return this.#stored.has(id);
  }

  /** Resolves when those of these stored transfers that are on their way here are final, or after `timeoutMs`. */
  async waitFor(ids: readonly string[], timeoutMs: number): Promise<void> {
    const awaited = new Set(ids.flatMap((id) => this.#stored.get(id) ?? []));
    await Promise.all([...awaited].map(async (tracked) => await tracked.end(timeoutMs)));
  }

  /** Resolves when nothing is on its way any more, with true, or with false after `timeoutMs`. */
  async drain(timeoutMs: number): Promise<boolean> {
    if (this.#onItsWay === 0) return true;
    return await new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs, false);
      this.#idleWaiters.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  /** Begins no more jobs: the threads end. What is stored and not final stays pending in the database. */
  stop(): void {
    this.#stopped = true;
  }

  #queue(tracked: Tracked): void {
    const lane = this.#laneOf(tracked.unit.ledger);
    lane.ready.push(tracked);
    lane.waiting += tracked.size;
    tracked.isInLane = true;
    this.#onItsWay += 1;
  }

  /** Puts the transfers of dead processes into jobs: the more processes died with them, the smaller the jobs. */
  #addSuspects(suspects: readonly Tracked[]): void {
    const alike = Map.groupBy(suspects, ({ unit }) => `${unit.ledger.id} ${unit.adoptions}`);
    for (const group of alike.values()) {
      const adoptions = group[0]?.unit.adoptions ?? 0;
      const sizeMax = sizeAfterDeaths(this.#jobSizeMax, adoptions);
      for (let start = 0; start < group.length;) {
        const units = group.slice(start, start + countFitting(group.slice(start), sizeMax));
        const mode = adoptions >= ADOPTIONS_MAX && units.length === 1 ? 'quarantine' : 'settle';
        this.#parts.push({ units, mode, deaths: 0, suspect: true });
        start += units.length;
      }
    }
    this.#onItsWay += suspects.length;
  }

  #laneOf({ id }: Ledger): Lane {
    const known = this.#lanes.get(id);
    if (known) return known;
    const lane = { concurrency: new Concurrency(this.#threads), ready: [], waiting: 0, running: 0, stalled: 0 };
    this.#lanes.set(id, lane);
    return lane;
  }

  #pump(): void {
    while (!this.#stopped && !this.#paused && this.#running < this.#threads) {
      const batch = this.#takePart() ?? this.#takeReady();
      if (!batch) return;
      void this.#run(batch);
    }
  }

  #takePart(): Batch | null {
    const index = this.#parts.findIndex(({ suspect }) => !suspect || !this.#suspectRuns);
    const [part] = index === -1 ? [] : this.#parts.splice(index, 1);
    if (!part) return null;
    const units = part.units.filter(({ state }) => state === 'queued');
    return units.length > 0 ? { ...part, units } : this.#takePart();
  }

  /** The next job of the first ledger whose turn it is. A job is what has gathered while others ran. */
  #takeReady(): Batch | null {
    for (const [id, lane] of this.#lanes) {
      if (lane.waiting === 0 || !lane.concurrency.mayBegin(lane.running - lane.stalled, lane.waiting)) continue;
      // To the end of the line.
      this.#lanes.delete(id);
      this.#lanes.set(id, lane);
      if (lane.ready.some(({ state }) => state === 'withdrawn')) {
        lane.ready = lane.ready.filter(({ state }) => state !== 'withdrawn');
      }
      const units = lane.ready.splice(0, countFitting(lane.ready, this.#jobSizeMax));
      for (const tracked of units) {
        tracked.isInLane = false;
        lane.waiting -= tracked.size;
      }
      return { units, mode: 'settle', deaths: 0, suspect: false };
    }
    return null;
  }

  async #run(batch: Batch): Promise<void> {
    const [first] = batch.units;
    if (!first) return;
    const lane = this.#laneOf(first.unit.ledger);
    const others = lane.running;
    lane.running += 1;
    this.#running += 1;
    if (batch.suspect) this.#suspectRuns = true;
    for (const tracked of batch.units) tracked.state = 'running';
    const startedAt = performance.now();
    let stalled = 0;
    const timer = setTimeout(
      () => {
        stalled = 1;
        lane.stalled += 1;
        this.#pump();
      },
      Math.max(STALLED_MS_MIN, STALLED_FACTOR * this.#typicalMs),
    );
    const mayBeSettled = batch.units.some((tracked) => tracked.mayBeSettled);
    const units = batch.units.map(({ unit }) => unit);
    const report = await this.#runInThread(toJob(units, { mode: batch.mode, mayBeSettled }));
    const durationMs = performance.now() - startedAt;
    clearTimeout(timer);
    lane.running -= 1;
    lane.stalled -= stalled;
    this.#running -= 1;
    if (batch.suspect) this.#suspectRuns = false;
    if (this.#stopped && report.result !== 'settled') return;
    this.#log(batch, report, durationMs);
    if (report.result === 'settled') {
      lane.concurrency.observe(others, report.lockMs / durationMs);
      this.#pauseMs = 0;
      this.#typicalMs += (durationMs - this.#typicalMs) / 8;
      this.#finish(batch.units, report);
    } else this.#again(batch, report);
    if (lane.waiting === 0 && lane.running === 0) this.#lanes.delete(first.unit.ledger.id);
    this.#pump();
  }

  async #runInThread(job: Job): Promise<JobReport> {
    return await this.#pool.run(job).catch((error: Error) =>
      isDeath(error)
        ? { result: 'died', reason: `A thread died: ${error.message}`, sqlState: null }
        : // Whatever else the pool rejects with, such as its end, is not the job's doing.
          { result: 'unavailable', reason: error.message, sqlState: null, mayBeSettled: true },
    );
  }

  #finish(units: readonly Tracked[], report: SettledJob): void {
    let transfer = 0;
    let account = 0;
    let settled = 0;
    for (const [index, tracked] of units.entries()) {
      const { transfers, accounts } = tracked.unit;
      const state = report.units?.[index] ?? 'settled';
      const range = { transfer, account, transferCount: transfers.length, accountCount: accounts.length };
      transfer += transfers.length;
      account += accounts.length;
      if (state === 'settled' || state === 'settled_elsewhere') settled += tracked.size;
      tracked.mayBeSettled ||= report.answerLost;
      this.#end(tracked, state === 'settled' ? resultOf(report, range) : { state });
    }
    if (settled > 0) this.#admission.release(settled, 0, true);
    const [first] = units;
    if (first && report.journalNumber !== null) this.#onJournal(first.unit.ledger, report.journalNumber);
    this.#announceIdle();
  }

  /** Ends a unit. Its bytes leave the queue; the transfers of a settled one are released together with those of the whole job. */
  #end(tracked: Tracked, result: UnitResult): void {
    tracked.state = 'ended';
    tracked.result = result;
    this.#onItsWay -= 1;
    if (isStored(tracked.unit)) for (const { transfer } of tracked.unit.transfers) this.#stored.delete(transfer.id);
    const isSettled = result.state === 'settled' || result.state === 'settled_elsewhere';
    this.#admission.release(isSettled ? 0 : tracked.size, tracked.bytes, false);
    if (result.state === 'settled') {
      const durationMs = performance.now() - tracked.acceptedAt;
      for (const { ending } of result.transfers) this.#metrics.settled(ending, durationMs);
    }
    tracked.announce();
  }

  #announceIdle(): void {
    if (this.#onItsWay === 0) for (const idle of this.#idleWaiters.splice(0)) idle();
  }

  /** Puts the units of a job that did not settle back, or bisects it. */
  #again(batch: Batch, report: Exclude<JobReport, SettledJob>): void {
    const mayBeSettled = report.result === 'died' || (report.result === 'unavailable' && report.mayBeSettled);
    for (const tracked of batch.units) {
      tracked.state = 'queued';
      tracked.mayBeSettled ||= mayBeSettled;
    }
    if (report.result === 'unavailable') {
      this.#putBack(batch);
      this.#pause();
    } else this.#bisect(batch, report.result);
    for (const tracked of batch.units) tracked.announce();
  }

  #putBack(batch: Batch): void {
    const [first] = batch.units;
    if (batch.suspect || batch.units.length === 1 || !first) {
      this.#parts.push(batch);
      return;
    }
    const lane = this.#laneOf(first.unit.ledger);
    lane.ready = [...batch.units, ...lane.ready];
    for (const tracked of batch.units) {
      tracked.isInLane = true;
      lane.waiting += tracked.size;
    }
  }

  /** Runs a job again in halves until the culprit is alone; a stored one is then failed, and any other ends as broken. */
  #bisect(batch: Batch, why: 'died' | 'broken'): void {
    const { units } = batch;
    const suspect = batch.suspect || why === 'died';
    if (units.length > 1) {
      const half = Math.ceil(units.length / 2);
      for (const part of [units.slice(0, half), units.slice(half)]) {
        this.#parts.push({ units: part, mode: 'settle', deaths: 0, suspect });
      }
      return;
    }
    const [culprit] = units;
    const deaths = batch.deaths + (why === 'died' ? 1 : 0);
    const isHopeless = why === 'broken' || deaths >= THREAD_DEATHS_MAX;
    if (culprit && isHopeless && !isStored(culprit.unit)) {
      this.#end(culprit, { state: 'broken' });
      this.#announceIdle();
      return;
    }
    if (batch.mode !== 'quarantine') {
      this.#parts.push({ units, mode: isHopeless ? 'quarantine' : 'settle', deaths, suspect });
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

  #log({ units, mode }: Batch, report: JobReport, durationMs: number): void {
    const transfers = units.flatMap(({ unit }) => unit.transfers.map(({ transfer }) => transfer));
    const accounts = units.reduce((sum, { unit }) => sum + unit.accounts.length, 0);
    const common = {
      ledger: units[0]?.unit.ledger.name,
      transfers: transfers.length,
      ...(accounts > 0 && { openings: accounts }),
      request_ids: [...new Set(transfers.map(({ requestId, group, id }) => requestId ?? group?.id ?? id))],
      duration_ms: Math.round(durationMs * 1000) / 1000,
      result: report.result,
    };
    if (report.result === 'settled') {
      const { journalNumber, accountCount, attempts, endings } = report;
      const failed = endings.filter((ending) => ending !== null).length;
      const gone = report.units?.filter((ending) => ending === 'settled_elsewhere').length ?? 0;
      const number = journalNumber === null ? null : Number(journalNumber);
      this.#metrics.job(transfers.length, durationMs);
      this.#logger.info(
        { ...common, journal_number: number, accounts: accountCount, failed, gone, attempts },
        'job settled',
      );
      if (mode === 'quarantine') {
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

/** How a unit ended whose transfers and accounts are at these places of a settled job. */
function resultOf(
  report: SettledJob,
  range: { transfer: number; account: number; transferCount: number; accountCount: number },
): SettledUnit {
  const { transfer, account, transferCount, accountCount } = range;
  return {
    state: 'settled',
    transfers: Array.from({ length: transferCount }, (_, offset) => ({
      ending: report.endings[transfer + offset] ?? null,
      currency: report.currencies[transfer + offset] ?? null,
      amount: report.amounts[transfer + offset] ?? null,
    })),
    opened: report.opened.slice(account, account + accountCount).filter((each) => each !== null),
    jobMicros: report.jobMicros,
    journalNumber: report.journalNumber,
    settledAt: report.settledAt ?? '',
  };
}

/** How the one unit of a job ended, for a dry run. */
export function onlyResultOf(report: SettledJob): UnitResult {
  const state = report.units?.[0] ?? 'settled';
  if (state !== 'settled') return { state };
  const range = { transfer: 0, account: 0, transferCount: report.endings.length, accountCount: report.opened.length };
  return resultOf(report, range);
}
