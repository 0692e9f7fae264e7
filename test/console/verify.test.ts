// The console's verification of the journal, in Node: it accepts a chain that was made here by the record form, and finds
// a change of every field.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { compareWithPast, type Flaw, hashOf, START, verifyRecords, verifyRows } from '../../src/console/verify.ts';
import type { JournalRecord, JournalRow } from '../../src/console/wire.ts';

const sha256 = (...parts: (Buffer | string)[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

const RECORDS: readonly JournalRecord[] = [
  { kind: 'account_change', fields: ['ANN', 'USD', '1', 'ab'.repeat(32), 'key', ''] },
  {
    kind: 'transfer',
    fields: ['id', 'ANN', 'BOB', '100', 'USD', 'completed', '', '', 'Miete · “März” 🏠', '{"a": "b"}'],
  },
];

/** Rows that prove each other, by the form that the documents describe. */
function makeRows(count: number): JournalRow[] {
  const rows: JournalRow[] = [];
  let previous = '0'.repeat(64);
  for (let number = 1; number <= count; number += 1) {
    const micros = 1_795_348_801_000_000n + BigInt(number) * 250_001n;
    const digest = sha256(RECORDS.map(({ fields }) => `${fields.join('\u001f')}\u001e`).join(''));
    const hash = sha256(Buffer.from(previous, 'hex'), `main|${number}|${micros}|1|1`, Buffer.from(digest, 'hex'));
    const instant = Temporal.Instant.fromEpochNanoseconds(micros * 1000n).toString();
    const rest = { hash, previous_hash: previous, digest, transfer_count: 1, change_count: 1 };
    rows.push({ ledger: 'main', number, settled_at: instant, ...rest });
    previous = hash;
  }
  return rows;
}

const kinds = (flaws: readonly Flaw[]) => flaws.map(({ number, what }) => `${number} ${what}`);
const ROWS = makeRows(5);

test('verify: a whole chain has no flaw, from its start and from its middle', async () => {
  assert.deepEqual(await verifyRows(ROWS, START), []);
  assert.deepEqual(await verifyRows(ROWS.slice(2), null), []);
  assert.deepEqual(await verifyRows(ROWS.slice(2), { number: 2, hash: ROWS[1]?.hash ?? '' }), []);
});

/** A change of each field of row 3, and what it breaks. */
const TAMPERINGS: readonly [name: string, change: Partial<JournalRow>, broken: readonly string[]][] = [
  ['ledger', { ledger: 'shop' }, ['3 hash']],
  ['number', { number: 9 }, ['9 number', '9 hash', '4 number']],
  ['settled_at', { settled_at: '2026-11-22T12:00:01.25Z' }, ['3 hash']],
  ['hash', { hash: 'ab'.repeat(32) }, ['3 hash', '4 link']],
  ['previous_hash', { previous_hash: 'ab'.repeat(32) }, ['3 link', '3 hash']],
  ['digest', { digest: 'ab'.repeat(32) }, ['3 hash']],
  ['transfer_count', { transfer_count: 2 }, ['3 hash']],
  ['change_count', { change_count: 0 }, ['3 hash']],
];

for (const [name, change, broken] of TAMPERINGS) {
  test(`verify: a changed ${name} is found`, async () => {
    const rows = ROWS.map((row) => (row.number === 3 ? { ...row, ...change } : row));
    assert.deepEqual(kinds(await verifyRows(rows, START)), broken);
  });
}

test('verify: a row that is rewritten with its own hash breaks the link of the next one', async () => {
  const forged = { ...ROWS[2], transfer_count: 7 };
  const rows = ROWS.map((row) => (row.number === 3 ? { ...row, ...forged } : row));
  const [, , third] = rows;
  assert.ok(third);
  rows[2] = { ...third, hash: await hashOf(third) };
  assert.deepEqual(kinds(await verifyRows(rows, START)), ['4 link']);
});

test('verify: missing and swapped rows, and a first row after another, are found', async () => {
  assert.deepEqual(kinds(await verifyRows(ROWS.toSpliced(2, 1), START)), ['4 number']);
  assert.deepEqual(kinds(await verifyRows(ROWS.slice(1), START)), ['2 number']);
  const [first] = ROWS;
  assert.ok(first);
  assert.deepEqual(kinds(await verifyRows([{ ...first, previous_hash: 'ab'.repeat(32) }], null)), ['1 link', '1 hash']);
});

test('verify: a change of any field of any record is found', async () => {
  const [row] = ROWS;
  assert.ok(row);
  assert.deepEqual(await verifyRecords(row, RECORDS), []);
  for (const [place, { kind, fields }] of RECORDS.entries()) {
    for (const index of fields.keys()) {
      const records = RECORDS.with(place, { kind, fields: fields.with(index, 'forged') });
      assert.deepEqual(kinds(await verifyRecords(row, records)), ['1 digest']);
    }
  }
  assert.deepEqual(kinds(await verifyRecords(row, RECORDS.slice(1))), ['1 counts', '1 digest']);
  assert.deepEqual(kinds(await verifyRecords(row, RECORDS.toReversed())), ['1 digest']);
});

test('verify: a row that was verified with another hash before is found, and one that is gone', () => {
  const [row] = ROWS;
  assert.ok(row);
  assert.deepEqual(compareWithPast(row, row), []);
  assert.deepEqual(kinds(compareWithPast(row, { number: 1, hash: 'ab'.repeat(32) })), ['1 past']);
  assert.deepEqual(kinds(compareWithPast(undefined, row)), ['1 past']);
});
