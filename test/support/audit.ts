// Runs the audit on a test's connection.
import { auditBooks, type AuditOptions, type Discrepancy, type Verdict } from '../../src/db/audit/audit.ts';
import type { Connection } from '../../src/db/connection/connect.ts';
import { withTampering } from './tampering.ts';

export type Findings = { discrepancies: Discrepancy[]; checks: Set<string>; verdict: Verdict };

export const EVERYTHING: AuditOptions = { ledger: null, since: null, expect: [], discrepanciesMax: 1000 };

/** Runs the audit on the connection's transaction. */
export async function findAll(connection: Connection, options: Partial<AuditOptions> = {}): Promise<Findings> {
  const discrepancies: Discrepancy[] = [];
  let verdict: Verdict | undefined;
  for await (const event of auditBooks(connection, { ...EVERYTHING, ...options })) {
    if (event.type === 'discrepancy') discrepancies.push(event);
    if (event.type === 'verdict') verdict = event;
  }
  if (!verdict) throw new Error('The audit ended without a verdict.');
  return { discrepancies, checks: new Set(discrepancies.map(({ check }) => check)), verdict };
}

/** Runs `statements`, audits, and rolls back. Null: they changed no row. */
export async function tamper(
  connection: Connection,
  statements: readonly string[],
  options: Partial<AuditOptions> = {},
): Promise<Findings | null> {
  return await withTampering(connection, statements, async () => await findAll(connection, options));
}
