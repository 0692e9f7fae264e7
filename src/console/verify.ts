// Verifies the journal: the hash of each row, the links between rows, and the digests of their records. It shares no
// code with the service that it checks, so it recomputes everything from docs/decisions/0013-journal.md.
import type { JournalRecord, JournalRow } from './wire.ts';

/** What is wrong with a row of the journal. */
export type Flaw = {
  readonly number: number;
  readonly what: 'hash' | 'link' | 'number' | 'digest' | 'counts' | 'past';
  /** What the rest of the journal implies, and what the row says. */
  readonly expected: string;
  readonly found: string;
};

/** A place in the chain up to which it was verified. */
export type Position = { readonly number: number; readonly hash: string };

/** Before the first row. */
export const START: Position = { number: 0, hash: '0'.repeat(64) };

const UNIT_SEPARATOR = '\u001f';
const RECORD_SEPARATOR = '\u001e';

/** The hash that a row must have by its other fields. */
export async function hashOf(row: JournalRow): Promise<string> {
  const fields = [row.ledger, row.number, microsText(row.settled_at), row.transfer_count, row.change_count];
  const text = new TextEncoder().encode(fields.join('|'));
  const [previous, digest] = [bytesOf(row.previous_hash), bytesOf(row.digest)];
  const bytes = new Uint8Array(previous.length + text.length + digest.length);
  bytes.set(previous);
  bytes.set(text, previous.length);
  bytes.set(digest, previous.length + text.length);
  return await sha256(bytes);
}

/** The digest that a row must have by its records. */
export async function digestOf(records: readonly JournalRecord[]): Promise<string> {
  const text = records.map(({ fields }) => fields.join(UNIT_SEPARATOR) + RECORD_SEPARATOR).join('');
  return await sha256(new TextEncoder().encode(text));
}

/** The flaws of rows in ascending order. `before`: the row before them; null if it is not known. */
export async function verifyRows(rows: readonly JournalRow[], before: Position | null): Promise<Flaw[]> {
  const hashes = await Promise.all(rows.map(hashOf));
  const flaws: Flaw[] = [];
  let previous = before;
  for (const [index, row] of rows.entries()) {
    const note = (what: Flaw['what'], expected: string | number, found: string | number): void => {
      if (expected !== found) flaws.push({ number: row.number, what, expected: `${expected}`, found: `${found}` });
    };
    // After a missing row, the number says more than the link, which is broken too.
    if (previous && previous.number + 1 !== row.number) note('number', previous.number + 1, row.number);
    else if (previous) note('link', previous.hash, row.previous_hash);
    else if (row.number === 1) note('link', START.hash, row.previous_hash);
    note('hash', hashes[index] ?? '', row.hash);
    previous = { number: row.number, hash: row.hash };
  }
  return flaws;
}

/** The flaws of a row's own records, of which all must be given. */
export async function verifyRecords(row: JournalRow, records: readonly JournalRecord[]): Promise<Flaw[]> {
  const transfers = records.filter(({ kind }) => kind === 'transfer').length;
  const counts = `${transfers} transfers, ${records.length - transfers} changes`;
  const stated = `${row.transfer_count} transfers, ${row.change_count} changes`;
  const digest = await digestOf(records);
  return [
    ...(counts === stated ? [] : [{ number: row.number, what: 'counts' as const, expected: counts, found: stated }]),
    ...(digest === row.digest
      ? []
      : [{ number: row.number, what: 'digest' as const, expected: digest, found: row.digest }]),
  ];
}

/** The flaw of a row that was verified before and has another hash now. */
export function compareWithPast(row: JournalRow | undefined, remembered: Position): Flaw[] {
  if (row?.hash === remembered.hash) return [];
  const found = row?.hash ?? 'no such row';
  return [{ number: remembered.number, what: 'past', expected: remembered.hash, found }];
}

/** Microseconds since 1970, as the hash covers them. An instant of another form gives another hash. */
function microsText(instant: string): string {
  const [, second, fraction = ''] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z$/.exec(instant) ?? [];
  if (second === undefined) return instant;
  return String(BigInt(Date.parse(`${second}Z`)) * 1000n + BigInt(fraction.padEnd(6, '0')));
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = await globalThis.crypto.subtle.digest('SHA-256', bytes);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
