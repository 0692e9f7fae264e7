// A unit in progress in the dispatcher, and its result.
import type { Account } from '../../domain/account.ts';
import type { SettledJob, UnitOutcome } from '../../domain/job.ts';
import type { Transfer } from '../../db/queries/transfers.ts';
import type { Trace } from '../tracer.ts';
import { sizeOf, type Unit } from './unit.ts';

/** The result of a unit. */
export type UnitResult =
  | SettledUnit
  | {
      /**
       * poisoned: it alone breaks its job. unavailable: the database is out of reach. Nothing was written in either
       * case.
       */
      readonly state: Exclude<UnitOutcome, 'settled' | 'missing'> | 'poisoned' | 'unavailable';
    };

/** What the commit of its job adds to a transfer. */
type SettledTransfer = Pick<Transfer, 'failureCode' | 'currency' | 'amount'>;

export type SettledUnit = {
  readonly state: 'settled';
  /** One per transfer. */
  readonly transfers: readonly SettledTransfer[];
  /** One per account that it opened, at the end of the job; null: as it was opened. */
  readonly opened: readonly (Account | null)[];
  readonly jobMicros: bigint;
  readonly journalNumber: bigint | null;
  readonly settledAt: string;
};

const NO_JOBS: readonly Trace[] = [];

export class QueuedUnit {
  readonly unit: Unit;
  readonly size: number;
  /** When its caller's wait ends. */
  readonly waitsUntil: number;
  readonly acceptedAt = performance.now();
  state: 'queued' | 'running' | 'withdrawn' | 'ended' = 'queued';
  /** Whether it is in the lane of its ledger, and not in a batch of bisection.ts. */
  isInLane = false;
  /** A job with it may have committed: its answer was lost. */
  mayBeSettled = false;
  /** The same, while the database is out of reach: its caller should not wait for the answer. */
  isLost = false;
  result: UnitResult | null = null;
  /** The spans of the latest jobs that carried it, if its request is traced. */
  jobs: readonly Trace[] = NO_JOBS;
  /** Called when it ends, or leaves a job for another. */
  #listeners: Set<() => void> | null = null;

  constructor(unit: Unit, waitsUntil = Infinity) {
    this.unit = unit;
    this.waitsUntil = waitsUntil;
    this.size = sizeOf(unit);
  }

  get bytes(): number {
    return this.unit.bytes;
  }

  /** Resolves when the unit ends or leaves a running job, or after `timeoutMs`. */
  async change(timeoutMs: number): Promise<void> {
    if (this.state === 'ended' || timeoutMs <= 0) return;
    await new Promise<void>((resolve) => {
      const listen = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const leave = (): void => {
        this.#listeners?.delete(listen);
        resolve();
      };
      const timer = timeoutMs === Infinity ? undefined : setTimeout(leave, timeoutMs);
      (this.#listeners ??= new Set()).add(listen);
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

/** The result of a unit whose transfers and accounts have these indexes in a settled job. */
export function resultOf(
  report: SettledJob,
  range: { transfer: number; account: number; transferCount: number; accountCount: number },
): SettledUnit {
  const { transfer, account, transferCount, accountCount } = range;
  return {
    state: 'settled',
    transfers: report.failureCodes.slice(transfer, transfer + transferCount).map((failureCode, offset) => ({
      failureCode,
      currency: report.currencies[transfer + offset] ?? null,
      amount: report.amounts[transfer + offset] ?? null,
    })),
    opened: report.opened.slice(account, account + accountCount),
    jobMicros: report.jobMicros,
    journalNumber: report.journalNumber,
    settledAt: report.settledAt ?? '',
  };
}

/** The result of a job's only unit, for a dry run. */
export function onlyResultOf(report: SettledJob): UnitResult {
  const state = report.units?.[0] ?? 'settled';
  // A dry run stores nothing that could be missing.
  if (state === 'missing') return { state: 'unavailable' };
  if (state !== 'settled') return { state };
  const range = {
    transfer: 0,
    account: 0,
    transferCount: report.failureCodes.length,
    accountCount: report.opened.length,
  };
  return resultOf(report, range);
}
