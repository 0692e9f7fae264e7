// Gathers units into jobs, each of one ledger, and runs the jobs in the threads. Ledgers are served in turn.
//
//   queued ──job──▶ running ──▶ ended
//    │ ▲               │
//    │ └───────────────┘  the database was unreachable, the job waited for a lock, or it failed and is bisected
//    └──▶ withdrawn       its caller's wait is over, and it is stored before it comes back
//
// A stored unit leaves only when it is final: after any error it returns to the queue. A unit that is not stored may also end as
// poisoned. Nothing was written then, unless an answer was lost or a thread died with it (mayBeSettled). Its caller
// receives the matching refusal.
import { sqlStateOf, toError } from '../../db/connection/errors.ts';
import type { Job, JobReport, SettledJob, Trouble } from '../../domain/job.ts';
import type { Logger } from '../../logger.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Tracer } from '../tracer.ts';
import type { Metrics } from './metrics.ts';
import type { Admission } from './admission.ts';
import { type Batch, Bisection, jobOf, toBatch, type Trials } from './bisection.ts';
import type { ThreadPool } from './pool.ts';
import { isDeath } from './thread-death.ts';
import { restAfter } from './batching.ts';
import { logJob } from './job-log.ts';
import { traceEnd, traceJob, traceRun } from './tracing.ts';
import { Lanes } from './lanes.ts';
import { Pause } from './pause.ts';
import { Semaphore } from './semaphore.ts';
import { resultOf, QueuedUnit, type UnitResult } from './queued-unit.ts';
import { isStored, isTraced, nameOf, sizeOf, type StoredName, toJob, type Unit } from './unit.ts';

const DRY_RUN_RETRY_MS = 5000;

export class Dispatcher {
  readonly #pool: ThreadPool;
  readonly #admission: Admission;
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  readonly #tracer: Tracer | null;
  readonly #threads: number;
  readonly #jobSizeMax: number;
  readonly #onJournal: (ledger: Ledger, number: bigint) => void;
  readonly #onReleased: (unit: Unit) => void;
  readonly #onMissing: (units: readonly Unit[]) => void;
  readonly #schedule: (due: () => void) => void;
  readonly #lanes: Lanes;
  /** Stored units by their names; see unit.ts. */
  readonly #stored = new Map<string, QueuedUnit>();
  readonly #idleWaiters: (() => void)[] = [];
  readonly #bisection: Bisection;
  readonly #trials: Trials;
  #onItsWay = 0;
  #running = 0;
  #busyThreads = 0;
  /** Leaves threads to jobs during a flood of dry runs. */
  readonly #dryRuns: Semaphore;
  #stopped = false;
  #pumpsSoon = false;
  readonly #pause = new Pause(() => this.#pump());

  constructor(options: {
    pool: ThreadPool;
    admission: Admission;
    metrics: Metrics;
    logger: Logger;
    /** Null, or absent: no job is traced. */
    tracer?: Tracer | null;
    threads: number;
    jobSizeMax: number;
    trials: Trials;
    /** Called with the number of each row that this process adds to a journal, once it is committed. */
    onJournal: (ledger: Ledger, number: bigint) => void;
    /** Called with each unit that leaves admission here. */
    onReleased?: (unit: Unit) => void;
    /** Called with stored units that the server lacks. They have left, and callers that wait for them look again. */
    onMissing?: (units: readonly Unit[]) => void;
    /** For how long a ledger rests after a job; see lanes.ts and batching.ts. */
    restAfter?: (jobMs: number) => number;
    /** Runs what is due after the events of this iteration; setImmediate by default. */
    schedule?: (due: () => void) => void;
  }) {
    this.#pool = options.pool;
    this.#admission = options.admission;
    this.#metrics = options.metrics;
    this.#logger = options.logger;
    this.#tracer = options.tracer ?? null;
    this.#threads = options.threads;
    this.#lanes = new Lanes({
      threads: options.threads,
      restAfter: options.restAfter ?? restAfter,
      isFilling: () => options.admission.isFilling,
      onDue: () => this.#pump(),
    });
    this.#bisection = new Bisection(options.jobSizeMax, () => this.#pump());
    this.#trials = options.trials;
    this.#dryRuns = new Semaphore(Math.max(1, options.threads >> 2));
    this.#jobSizeMax = options.jobSizeMax;
    this.#onJournal = options.onJournal;
    this.#onReleased = options.onReleased ?? (() => {});
    this.#onMissing = options.onMissing ?? (() => {});
    this.#schedule = options.schedule ?? setImmediate;
  }

  /**
   * Takes over an admitted unit that is not stored. Its caller waits until `waitsUntil`, on the clock of
   * performance.now().
   */
  submit(unit: Unit, waitsUntil = Infinity): QueuedUnit {
    const queued = new QueuedUnit(unit, waitsUntil);
    this.#queue(queued);
    this.#pumpSoon();
    return queued;
  }

  /** Takes over stored, admitted units, and returns them. Units that are already in progress are skipped. */
  push(units: readonly Unit[]): QueuedUnit[] {
    const pushed: QueuedUnit[] = [];
    for (const unit of units) {
      if (unit.transfers.some(({ transfer }) => this.has(transfer))) {
        this.#admission.release(sizeOf(unit), unit.bytes);
        this.#onReleased(unit);
        continue;
      }
      const queued = new QueuedUnit(unit);
      this.#stored.set(nameOf(unit), queued);
      pushed.push(queued);
      if (unit.adoptions === 0) this.#queue(queued);
    }
    const suspects = pushed.filter(({ unit }) => unit.adoptions > 0);
    this.#bisection.addSuspects(suspects);
    this.#onItsWay += suspects.length;
    this.#pumpSoon();
    return pushed;
  }

  /** Withdraws a queued unit, so that no job contains it. False if a job contains it, or may have settled it. */
  withdraw(queued: QueuedUnit): boolean {
    if (queued.state !== 'queued' || queued.mayBeSettled) return false;
    queued.state = 'withdrawn';
    traceEnd(queued, queued.state);
    this.#onItsWay -= 1;
    this.#lanes.leave(queued);
    this.#lanes.drop(queued.unit.ledger);
    this.#announceIdle();
    return true;
  }

  /** Settles a unit in a transaction that is rolled back. It is admitted already, and is not released here. */
  async dryRun(unit: Unit): Promise<JobReport> {
    const traced = isTraced(unit);
    const job = toJob([unit], { mode: 'dry run', mayBeSettled: false, retryMs: DRY_RUN_RETRY_MS, traced });
    return await this.#dryRuns.run(async () => {
      const startedAt = performance.now();
      const report = await this.#runInThread(job);
      traceJob(this.#tracer, [unit], { mode: job.mode, report, startedAt, endedAt: performance.now() });
      return report;
    });
  }

  /** Threads that run a job or a dry run. */
  get busyThreads(): number {
    return this.#busyThreads;
  }

  /** Whether a stored transfer is in progress in this process. */
  has(transfer: StoredName): boolean {
    return this.#find(transfer) !== undefined;
  }

  #find({ id, group }: StoredName): QueuedUnit | undefined {
    return this.#stored.get(id) ?? (group ? this.#stored.get(group.id) : undefined);
  }

  /** Resolves when those of these stored transfers that are in progress here are final, or after `timeoutMs`. */
  async waitFor(transfers: readonly StoredName[], timeoutMs: number): Promise<void> {
    const awaited = new Set(transfers.flatMap((transfer) => this.#find(transfer) ?? []));
    await Promise.all([...awaited].map(async (queued) => await queued.end(timeoutMs)));
  }

  /** Resolves with true when nothing is in progress, or with false after `timeoutMs`. */
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

  /** Begins no more jobs, and ends the threads. Stored transfers that are not final stay pending in the database. */
  stop(): void {
    this.#stopped = true;
  }

  #queue(queued: QueuedUnit): void {
    this.#lanes.push(queued);
    this.#onItsWay += 1;
  }

  /** Begins jobs after the events of this iteration: their units share a job. One alone takes nearly as long as one of 30. */
  #pumpSoon(): void {
    if (this.#pumpsSoon) return;
    this.#pumpsSoon = true;
    this.#schedule(() => {
      this.#pumpsSoon = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (!this.#stopped && !this.#pause.active && this.#running < this.#threads) {
      const batch = this.#take();
      if (!batch) return;
      void this.#run(batch);
    }
  }

  #take(): Batch | null {
    const free = this.#threads - this.#running;
    const part = this.#bisection.take((ledger) => this.#lanes.mayTakeThread(ledger, free));
    if (part) return part;
    const units = this.#lanes.take(this.#jobSizeMax, free);
    const [first] = units ?? [];
    return units && first ? toBatch(first.unit.ledger, units) : null;
  }

  async #run(batch: Batch): Promise<void> {
    const running = this.#lanes.begin(batch.ledger);
    this.#running += 1;
    for (const queued of batch.units) queued.state = 'running';
    const startedAt = performance.now();
    const units = batch.units.map(({ unit }) => unit);
    const traced = this.#tracer !== null && units.some(isTraced);
    const job = jobOf(batch, startedAt, traced);
    const report = this.#bisection.isTrial(batch) ? await this.#try(units, job) : await this.#runInThread(job);
    const durationMs = performance.now() - startedAt;
    running.end(report.result === 'settled' ? { jobMs: durationMs, lockMs: report.lockMs } : null);
    this.#running -= 1;
    this.#bisection.ended(batch);
    if (this.#stopped && report.result !== 'settled') return;
    if (report.result === 'settled') {
      this.#pause.reset();
      // Before this job's callers are answered, so that a thread works meanwhile.
      this.#pump();
    }
    const run = { mode: batch.mode, report, startedAt, endedAt: startedAt + durationMs };
    const trace = traced ? traceRun(this.#tracer, batch.units, run) : null;
    logJob(this.#logger, this.#metrics, { ...batch, report, durationMs, trace });
    if (report.result === 'settled') this.#finish(batch.units, report);
    else this.#again(batch, report);
    this.#lanes.drop(batch.ledger);
    this.#pump();
  }

  /** Runs the job of a trial, or delays it if it cannot begin, for example because of a lock. */
  async #try(units: readonly Unit[], job: Job): Promise<JobReport> {
    try {
      for (const unit of units) await this.#trials.begin(unit);
    } catch (error) {
      const reason = toError(error).message;
      return { result: 'unavailable', reason, sqlState: sqlStateOf(error), mayBeSettled: false, trouble: 'job' };
    }
    const report = await this.#runInThread(job);
    // If this fails, a later death may count wrongly, but only as one of several.
    if (report.result !== 'settled') for (const unit of units) await this.#trials.end(unit).catch(() => {});
    return report;
  }

  async #runInThread(job: Job): Promise<JobReport> {
    this.#busyThreads += 1;
    const report = await this.#pool.run(job).catch((error: Error): JobReport =>
      isDeath(error)
        ? { result: 'died', reason: `A thread died: ${error.message}`, sqlState: null }
        : // The job does not cause any other rejection of the pool, such as its end.
          { result: 'unavailable', reason: error.message, sqlState: null, mayBeSettled: true, trouble: 'database' },
    );
    this.#busyThreads -= 1;
    return report;
  }

  #finish(units: readonly QueuedUnit[], report: SettledJob): void {
    let transfer = 0;
    let account = 0;
    let settled = 0;
    for (const [index, queued] of units.entries()) {
      const { transfers, accounts } = queued.unit;
      const outcome = report.units?.[index] ?? 'settled';
      const state = outcome === 'missing' ? 'settled_elsewhere' : outcome;
      const range = { transfer, account, transferCount: transfers.length, accountCount: accounts.length };
      transfer += transfers.length;
      account += accounts.length;
      if (state === 'settled' || state === 'settled_elsewhere') settled += queued.size;
      queued.mayBeSettled ||= report.answerLost;
      if (state === 'settled') this.#count(queued, report.failureCodes.slice(range.transfer, transfer));
      if (state !== 'settled') this.#end(queued, { state });
      // No caller waits for a stored unit; its rows have the outcome.
      else this.#end(queued, isStored(queued.unit) ? { state: 'settled_elsewhere' } : resultOf(report, range), state);
    }
    if (settled > 0) this.#admission.releaseSettled(settled);
    const missing = units.flatMap(({ unit }, index) => (report.units?.[index] === 'missing' ? [unit] : []));
    if (missing.length > 0) this.#onMissing(missing);
    const [first] = units;
    if (first && report.journalNumber !== null) this.#onJournal(first.unit.ledger, report.journalNumber);
    this.#announceIdle();
  }

  /**
   * Ends a unit. Its bytes leave the queue; the transfers of a settled unit are released together with those of its
   * job.
   */
  #end(queued: QueuedUnit, result: UnitResult, tracedAs = result.state): void {
    queued.state = 'ended';
    queued.result = result;
    traceEnd(queued, tracedAs);
    this.#onItsWay -= 1;
    if (isStored(queued.unit)) this.#stored.delete(nameOf(queued.unit));
    const isSettled = result.state === 'settled' || result.state === 'settled_elsewhere';
    this.#admission.release(isSettled ? 0 : queued.size, queued.bytes);
    this.#onReleased(queued.unit);
    queued.announce();
  }

  #count(queued: QueuedUnit, failureCodes: SettledJob['failureCodes']): void {
    const durationMs = performance.now() - queued.acceptedAt;
    for (const failureCode of failureCodes) this.#metrics.settled(queued.unit.ledger.name, failureCode, durationMs);
  }

  #announceIdle(): void {
    if (this.#onItsWay === 0) for (const idle of this.#idleWaiters.splice(0)) idle();
  }

  /** Returns the units of a job that did not settle to the queue, or bisects the job. */
  #again(batch: Batch, report: Exclude<JobReport, SettledJob>): void {
    const mayBeSettled = report.result === 'died' || (report.result === 'unavailable' && report.mayBeSettled);
    for (const queued of batch.units) {
      queued.state = 'queued';
      queued.mayBeSettled ||= mayBeSettled;
    }
    if (report.result === 'unavailable') this.#tryAgain(batch, report.trouble);
    else {
      const culprit = this.#bisection.bisect(batch, report.result, (queued, members) => this.#split(queued, members));
      if (culprit) this.#end(culprit, { state: 'poisoned' });
      this.#announceIdle();
    }
    for (const queued of batch.units) queued.announce();
  }

  /** Only trouble of the database pauses all jobs. Trouble of one job, such as a lock, delays its batch alone. */
  #tryAgain(batch: Batch, trouble: Trouble): void {
    if (trouble === 'job') this.#bisection.addLater(batch);
    else {
      this.#putBack(trouble === 'out of reach' ? this.#refuse(batch) : batch);
      this.#pause.begin();
    }
  }

  /** The database is out of reach: ends units that are not stored, whose callers try again. Returns the others. */
  #refuse(batch: Batch): Batch {
    for (const queued of batch.units) {
      if (isStored(queued.unit)) continue;
      if (queued.mayBeSettled) queued.isLost = true;
      else this.#end(queued, { state: 'unavailable' });
    }
    this.#announceIdle();
    return { ...batch, units: batch.units.filter(({ state }) => state === 'queued') };
  }

  #putBack(batch: Batch): void {
    if (batch.suspect || batch.units.length === 1) this.#bisection.add(batch);
    else this.#lanes.putBack(batch.units);
  }

  /** Replaces a stored unit by its transfers. Callers that wait for it look again. */
  #split(queued: QueuedUnit, members: readonly Unit[]): QueuedUnit[] {
    this.#stored.delete(nameOf(queued.unit));
    queued.state = 'ended';
    queued.result = { state: 'settled_elsewhere' };
    this.#onItsWay += members.length - 1;
    return members.map((unit) => {
      const member = new QueuedUnit(unit);
      this.#stored.set(nameOf(unit), member);
      return member;
    });
  }
}
