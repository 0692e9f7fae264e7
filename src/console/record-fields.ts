// The names of the fields of records, in the order of docs/decisions/0013-journal.md.
import type { JournalRecord } from './wire.ts';

const NAMES: Readonly<Record<JournalRecord['kind'], readonly string[]>> = {
  transfer: [
    ['id', 'from_account', 'to_account', 'amount', 'currency', 'status', 'failure_code', 'request_id'],
    ['description', 'metadata', 'created_at', 'from_entry_number', 'from_balance', 'to_entry_number', 'to_balance'],
    ['kind', 'parent_id', 'group_id', 'group_position', 'atomic', 'final_capture', 'expires_in'],
    ['if_from_entry_number', 'if_min_available_after', 'ordered_by', 'approved_by', 'rate'],
  ].flat(),
  account_change: ['account_number', 'currency', 'change_number', 'seal', 'ordered_by', 'approved_by'],
  administration: ['id', 'action', 'actor', 'subject', 'details', 'at'],
};

/** A transfer between ledgers has the account there, and never a rate, in the last field. */
const REMOTE = 'remote:';

/** The fields of a record that are not empty, by their names. */
export function namedFields({ kind, fields }: JournalRecord): (readonly [name: string, value: string])[] {
  return fields
    .map((value, index) => {
      const name = NAMES[kind][index] ?? `field ${index + 1}`;
      const isRemote = name === 'rate' && value.startsWith(REMOTE);
      return isRemote ? (['remote_account', value.slice(REMOTE.length)] as const) : ([name, value] as const);
    })
    .filter(([, value]) => value !== '');
}

/** A field by its name; empty if the record has none. */
export function fieldOf({ kind, fields }: JournalRecord, name: string): string {
  return fields[NAMES[kind].indexOf(name)] ?? '';
}
