// The record form of the journal, implemented from the decision that fixes it. It shares nothing with the code that writes
// the journal: docs/decisions/0013-journal.md.
import { createHash } from 'node:crypto';
import { type Line, namesOf } from './form.ts';

const FIELD_END = '\u001f';
const RECORD_END = '\u001e';

/** What the first row of a journal has as the hash of the row before. */
export const NO_HASH = '00'.repeat(32);

/** The kinds of lines that have a record, which the digest of their row covers. */
export type RecordType = 'change' | 'act' | 'transfer';

const CHANGE = namesOf('change');
const ACT = namesOf('act');
const LAST: readonly string[] = ['rate', 'remote_account'];
const TRANSFER = namesOf('transfer').filter((name) => !LAST.includes(name));
const SEALED = ['account_number', 'currency', 'status', 'personal_data', 'overdraft_limit', 'metadata', 'created_at'];

/** The field of a transfer between ledgers. A rate begins with a currency. */
const REMOTE = /^remote:(.+)$/;

type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

function join(fields: Fields, names: readonly string[]): string {
  return names.map((name) => String(fields[name] ?? '')).join(FIELD_END);
}

/** The record of a line, which its row's digest covers. */
export function recordOf(line: Line<RecordType>): string {
  if (line.type === 'change') return join(line, CHANGE) + RECORD_END;
  if (line.type === 'act') return join(line, ACT) + RECORD_END;
  // Only the transfers of a conversion have the first of these fields, and only those between ledgers the second.
  const rate = line.rate === undefined ? '' : FIELD_END + line.rate;
  const remote = line.remote_account === undefined ? '' : `${FIELD_END}remote:${line.remote_account}`;
  return join(line, TRANSFER) + rate + remote + RECORD_END;
}

/** The fields of a record, in the order of the members of its line; absent ones are empty. */
export function fieldsOf(record: string): readonly string[] {
  const fields = record.slice(0, -RECORD_END.length).split(FIELD_END);
  const remote = fields.length > TRANSFER.length ? REMOTE.exec(fields.at(-1) ?? '')?.[1] : undefined;
  return remote === undefined ? fields : [...fields.slice(0, TRANSFER.length), '', remote];
}

/** What the last change of an account has as its seal. */
export function sealOf(line: Line<'account'>): string {
  return createHash('sha256').update(join(line, SEALED)).digest('hex');
}

type Hashed = Pick<
  Line<'journal'>,
  'number' | 'settled_at' | 'transfer_count' | 'change_count' | 'digest' | 'previous_hash'
>;

/** The hash of a row of the journal of a ledger. */
export function hashOf(row: Hashed, ledger: string): string {
  const { number, settled_at: settledAt, transfer_count: transfers, change_count: changes } = row;
  return createHash('sha256')
    .update(Buffer.from(row.previous_hash, 'hex'))
    .update(`${ledger}|${number}|${settledAt}|${transfers}|${changes}`)
    .update(Buffer.from(row.digest, 'hex'))
    .digest('hex');
}
