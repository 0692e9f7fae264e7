// The result of an audit as metrics, in a file for the textfile collector of Prometheus' node exporter. The audit's role
// can only read, and it may run on a standby: so its result is not kept in the database that it judges.
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Verdict } from '../db/audit/audit.ts';
import { writePublicFile } from './file.ts';

/** So many ledgers have a series of their own, in order of name. */
const LEDGERS_MAX = 100;
/** The label of the further ones. It cannot be the name of a ledger. */
const OTHER_LEDGERS = '_other';

type Result = {
  readonly ledger: string;
  readonly discrepancies: number;
  /** Null: those of several journals. */
  readonly number: string | null;
};

/** Replaces the file. The time of the last success survives an audit that finds discrepancies. */
export async function writeAuditMetrics(path: string, verdict: Verdict, durationMs: number): Promise<void> {
  const former = await readFile(path, 'utf8').catch(() => '');
  await writePublicFile(resolve(path), renderAuditMetrics(verdict, { former, durationMs, now: Date.now() / 1000 }));
}

export function renderAuditMetrics(
  verdict: Verdict,
  { former, durationMs, now }: { former: string; durationMs: number; now: number },
): string {
  const results = resultsOf(verdict);
  const successes = new Map(
    [...former.matchAll(/^gopherpay_audit_last_success_timestamp_seconds\{ledger="([^"]+)"\} (\S+)$/gm)].map(
      ([, ledger, time]) => [ledger, time],
    ),
  );
  const gauge = (name: string, help: string, read: (result: Result) => number | string | null | undefined): string => {
    const samples = results.flatMap((result) => {
      const value = read(result) ?? null;
      return value === null ? [] : [`${name}{ledger="${result.ledger}"} ${value}\n`];
    });
    return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${samples.join('')}`;
  };
  return [
    gauge('gopherpay_audit_last_run_timestamp_seconds', 'When the audit ended.', () => now),
    gauge(
      'gopherpay_audit_last_success_timestamp_seconds',
      'When an audit last found no discrepancy.',
      ({ ledger, discrepancies }) => (discrepancies === 0 ? now : successes.get(ledger)),
    ),
    gauge(
      'gopherpay_audit_discrepancies',
      'What the audit found in this ledger, or in all together.',
      ({ discrepancies }) => discrepancies,
    ),
    gauge('gopherpay_audit_journal_number', 'The last row of the journal that it read.', ({ number }) => number),
    gauge(
      'gopherpay_audit_duration_seconds',
      'How long the audit took, for all its ledgers together.',
      () => durationMs / 1000,
    ),
  ].join('');
}

/** A discrepancy that concerns no ledger affects all. */
function resultsOf({ journals, discrepancies }: Verdict): Result[] {
  const common = discrepancies - journals.reduce((sum, end) => sum + end.discrepancies, 0);
  const results = journals
    .slice(0, LEDGERS_MAX)
    .map(({ ledger, number, discrepancies: own }) => ({ ledger, discrepancies: own + common, number }));
  const others = journals.slice(LEDGERS_MAX);
  if (others.length === 0) return results;
  const own = others.reduce((sum, end) => sum + end.discrepancies, 0);
  return [...results, { ledger: OTHER_LEDGERS, discrepancies: own + common, number: null }];
}
