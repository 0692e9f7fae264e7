// Reports to the tracer: the intake of requests, jobs, and the way of each unit through the queue and its jobs.
import type { Job, JobReport } from '../../domain/job.ts';
import type { RequestSpan, Trace, Tracer } from '../tracer.ts';
import type { Accepted } from './intake.ts';
import type { QueuedUnit } from './queued-unit.ts';
import type { Unit } from './unit.ts';

/** How many jobs the span of a unit names: one, except when a job is run again. */
const JOBS_MAX = 16;

type TracedRun = {
  readonly mode: Job['mode'];
  readonly report: JobReport;
  readonly startedAt: number;
  readonly endedAt: number;
};

/** Makes the span of an intake when it has ended. */
export async function traceIntake(span: RequestSpan, accept: () => Promise<Accepted>): Promise<Accepted> {
  const startedAt = performance.now();
  const accepted = await accept();
  span.traceIntake({
    startedAt,
    endedAt: performance.now(),
    result: accepted.result,
    insert: accepted.result === 'stored' ? accepted.insert : null,
  });
  return accepted;
}

/** Makes the span of a job. Null: none of its requests is traced. */
export function traceJob(tracer: Tracer | null, units: readonly Unit[], run: TracedRun): Trace | null {
  // The parts of a request that was split have the same span.
  const spans = [...new Set(units.flatMap(({ span }) => span ?? []))];
  const [first] = units;
  if (!tracer || !first || spans.length === 0) return null;
  const { mode, report, startedAt, endedAt } = run;
  const isSettled = report.result === 'settled';
  return tracer.traceJob(spans, {
    startedAt,
    endedAt,
    ledger: first.ledger.name,
    mode,
    result: report.result,
    sqlState: isSettled ? null : report.sqlState,
    units: units.length,
    transfers: units.reduce((sum, { transfers }) => sum + transfers.length, 0),
    openings: units.reduce((sum, { accounts }) => sum + accounts.length, 0),
    failed: isSettled ? report.failureCodes.filter((code) => code !== null).length : 0,
    attempts: isSettled ? report.attempts : null,
    // Journal numbers belong to committed rows.
    journalNumber:
      isSettled && report.journalNumber !== null && mode !== 'dry run' ? Number(report.journalNumber) : null,
    timings: report.timings ?? [],
  });
}

/** The same for a job of units in progress, each of which keeps its span. What ordered settled transfers is remembered. */
export function traceRun(tracer: Tracer | null, queued: readonly QueuedUnit[], run: TracedRun): Trace | null {
  const units = queued.map(({ unit }) => unit);
  const job = traceJob(tracer, units, run);
  if (!job) return null;
  for (const each of queued) {
    const { span, transfers } = each.unit;
    if (!span) continue;
    each.jobs = [...each.jobs.slice(1 - JOBS_MAX), job];
    const ids = transfers.map(({ transfer }) => transfer.id);
    if (run.report.result === 'settled') tracer?.remember(span, ids);
  }
  return job;
}

/** Makes the span of a unit that ends in the dispatcher. */
export function traceEnd({ unit, acceptedAt, jobs }: QueuedUnit, result: string): void {
  unit.span?.traceSettling({ startedAt: acceptedAt, endedAt: performance.now(), result, jobs });
}
