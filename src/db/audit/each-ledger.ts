// Audits ledgers one by one. A database of several nodes has no snapshot of all of them: what is summed over ledgers that
// are read at different instants would differ although nothing is wrong.
import type { AuditEvent, AuditOptions, CheckResult, JournalEnd } from './audit.ts';
import { readAll } from './cursor.ts';
import type { Connection } from '../connection/connect.ts';

type Audit = (connection: Connection, options: AuditOptions) => AsyncGenerator<AuditEvent>;

/** The events of the audits of all ledgers, each in a snapshot of its own, as those of one audit. */
export async function* auditEachLedger(
  connection: Connection,
  options: AuditOptions,
  audit: Audit,
): AsyncGenerator<AuditEvent> {
  const ledgers = await readAll(connection, 'select id, name from ledgers order by name, id');
  const results = new Map<string, CheckResult>();
  const journals: JournalEnd[] = [];
  let at: string | null = null;
  let total = 0;
  for (const [id, name] of ledgers) {
    const expect = options.expect.filter(({ ledger }) => ledger === name);
    await connection.query('begin transaction isolation level repeatable read, read only');
    for await (const event of audit(connection, { ...options, ledger: Number(id), expect })) {
      if (event.type === 'check') results.set(event.check, sumOf(results.get(event.check), event));
      else if (event.type === 'verdict') {
        at ??= event.at;
        total += event.discrepancies;
        journals.push(...event.journals);
      } else yield event;
    }
    await connection.query('rollback');
  }
  for (const result of results.values()) yield { type: 'check', ...result };
  yield { type: 'verdict', journals, at: at ?? '', discrepancies: total, eachAlone: true };
}

function sumOf(sum: CheckResult | undefined, { check, rows, discrepancies, skipped }: CheckResult): CheckResult {
  return {
    check,
    rows: rows + (sum?.rows ?? 0),
    discrepancies: discrepancies + (sum?.discrepancies ?? 0),
    skipped: skipped && (sum?.skipped ?? true),
  };
}
