// Runs the audit on a test's connection.
import assert from 'node:assert/strict';
import {
  auditBooks,
  type AuditEvent,
  type AuditOptions,
  type Discrepancy,
  type Verdict,
} from '../../src/db/audit/audit.ts';
import { auditInSlices, type Progress } from '../../src/db/audit/many.ts';
import { oneSnapshot, type Snapshots } from '../../src/db/audit/snapshots.ts';
import type { Connection } from '../../src/db/connection/connect.ts';
import { withTampering } from './tampering.ts';

export type Findings = { discrepancies: Discrepancy[]; checks: Set<string>; verdict: Verdict };

export const EVERYTHING: AuditOptions = { ledger: null, since: null, expect: [], discrepanciesMax: 1000 };

/**
 * Audits in one snapshot and in many, on the connection's transaction. The discrepancies are those of one snapshot, and
 * `checks` has the checks of which both found some. Throws if only one of the two finds the books whole.
 */
export async function findAll(connection: Connection, options: Partial<AuditOptions> = {}): Promise<Findings> {
  const all = { ...EVERYTHING, ...options };
  const one = await readFindings(auditBooks(connection, all));
  const many = await findInSlices(oneSnapshot(connection), all);
  const lines = (findings: Findings) => findings.discrepancies.map((found) => JSON.stringify(found)).join('\n');
  assert.equal(many.discrepancies.length > 0, one.discrepancies.length > 0, `${lines(one)}\nor\n${lines(many)}`);
  return { ...one, checks: one.checks.intersection(many.checks) };
}

/** Audits in many snapshots. */
export async function findInSlices(
  snapshots: Snapshots,
  options: Partial<AuditOptions> = {},
  progress: Partial<Progress> = {},
): Promise<Findings> {
  const all = { former: null, save: async () => {}, ...progress };
  return await readFindings(auditInSlices(snapshots, { ...EVERYTHING, ...options }, all));
}

async function readFindings(events: AsyncGenerator<AuditEvent>): Promise<Findings> {
  const discrepancies: Discrepancy[] = [];
  let verdict: Verdict | undefined;
  for await (const event of events) {
    if (event.type === 'discrepancy') discrepancies.push(event);
    if (event.type === 'verdict') verdict = event;
  }
  if (!verdict) throw new Error('The audit ended without a verdict.');
  return { discrepancies, checks: new Set(discrepancies.map(({ check }) => check)), verdict };
}

/** Runs `statements`, audits, and rolls back. Null: they changed no row. `many`: in many snapshots as well, which takes longer. */
export async function tamper(
  connection: Connection,
  statements: readonly string[],
  options: Partial<AuditOptions> = {},
  { many }: { many: boolean } = { many: true },
): Promise<Findings | null> {
  return await withTampering(connection, statements, async () =>
    many
      ? await findAll(connection, options)
      : await readFindings(auditBooks(connection, { ...EVERYTHING, ...options })),
  );
}
