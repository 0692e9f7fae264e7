// Appends to a ledger's journal on Citus. A statement that writes several tables would be committed in two phases there,
// so each table gets a statement of its own, in one transaction.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';
import { ledgerTime } from '../queries/instants.ts';
import { journalEnd } from '../queries/journal-end.ts';
import { journalLock } from './journal.ts';
import { micros } from './locked-job.ts';

/** As in `JournalExpressions`, as values. */
export type JournalValues = {
  readonly instant: string;
  readonly transferCount: number;
  readonly intakeCount: number;
  readonly changeCount: number;
  readonly digest: Buffer;
};

/** A row of the journal, as the statement that appended it returns it. */
export type AppendedRow = { readonly number: bigint; readonly settled_at: string; readonly settled_micros: bigint };

/** The statements that were sent to append a row; `appended` is one of them. */
export type SentEnd = { readonly sent: Promise<unknown>[]; readonly appended: Promise<AppendedRow> };

export function theHead(row: AppendedRow | undefined): AppendedRow {
  if (row === undefined) throw new Error('The journal has no head.');
  return row;
}

const APPEND = `
  insert into journal (
    ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
  )
  select ledger_id, number, settled_at, $4::integer, $5::integer, $6::integer, $7::bytea, previous_hash,
    chain_hash(previous_hash, $2::text, number, settled_at, $4::integer, $6::integer, $7::bytea)
  from (
    select ledger_id, number + 1 as number, hash as previous_hash, ${ledgerTime('$3::timestamptz')} as settled_at
    from ${journalEnd('$1::integer')} as head
  ) as next`;

const APPENDED = `
  select number, settled_at, ${micros('settled_at')} as settled_micros
  from ${journalEnd('$1::integer')} as head`;

/**
 * Sends the statements that append a row to the journal, in a transaction. The last one returns the row. The journal is
 * locked from here to the commit.
 */
export function appendDistributed(connection: Queryable, ledger: Ledger, row: JournalValues): SentEnd {
  const { instant, transferCount, intakeCount, changeCount, digest } = row;
  const run = async (name: string, text: string, values: unknown[]) =>
    await connection.query<AppendedRow>({ name, text, values });
  const locked = connection.query(journalLock(ledger));
  const values = [ledger.id, ledger.name, instant, transferCount, intakeCount, changeCount, digest];
  const inserted = run('append to journal', APPEND, values);
  const appended = run('load journal end', APPENDED, [ledger.id]).then(({ rows: [end] }) => theHead(end));
  return { sent: [locked, inserted, appended], appended };
}
