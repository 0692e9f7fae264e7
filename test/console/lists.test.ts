// What the console makes of lists: the curve of a balance from entries, and rows that stay while a person reads them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { curveOf } from '../../src/console/curve.ts';
import { mergeRows } from '../../src/console/live-list.ts';
import type { Entry } from '../../src/console/wire.ts';

const SINCE = '2026-11-26T13:00:00Z';
const UNTIL = '2026-11-26T13:01:00Z';
const START = Date.parse(SINCE) / 1000;

function entry(number: number, second: number, amount: number, balance: number): Entry {
  const settled = new Date((START + second) * 1000).toISOString();
  return { entry_number: number, transfer_id: 't', amount, balance, journal_number: number, settled_at: settled };
}

test('curve: all entries of a period step from the balance before it to its end', () => {
  const entries = [entry(3, 30, -5, 20), entry(2, 10, 15, 25)];
  assert.deepEqual(curveOf({ entries, isWhole: true }, { balance: 20, since: SINCE, until: UNTIL }), {
    times: [START, START + 10, START + 30, START + 60],
    balances: [10, 25, 20, 20],
  });
});

test('curve: a period without entries is one line', () => {
  assert.deepEqual(curveOf({ entries: [], isWhole: true }, { balance: 7, since: SINCE, until: UNTIL }), {
    times: [START, START + 60],
    balances: [7, 7],
  });
});

test('curve: what was not read is not drawn', () => {
  const { times, balances } = curveOf(
    { entries: [entry(9, 30, -5, 20)], isWhole: false },
    { balance: 20, since: SINCE, until: UNTIL },
  );
  assert.deepEqual(
    [times, balances],
    [
      [START + 30, START + 60],
      [20, 20],
    ],
  );
});

test('curve: entries of one instant are one step, and times ascend', () => {
  const entries = [entry(3, 10, 1, 3), entry(2, 10, 1, 2), entry(1, 0, 1, 1)];
  const { times, balances } = curveOf({ entries, isWhole: true }, { balance: 3, since: SINCE, until: SINCE });
  assert.deepEqual(
    [times, balances],
    [
      [START, START + 10],
      [1, 3],
    ],
  );
});

type Row = { id: string; state: string };
const row = (id: string, state = 'completed'): Row => ({ id, state });
const keyOf = ({ id }: Row): string => id;

test('live list: new rows come first while the list is not read', () => {
  const read = [row('b'), row('a')];
  assert.deepEqual(mergeRows([row('a')], read, { keyOf, isReading: false }), { rows: read, waiting: 0 });
});

test('live list: read rows stay in place, show their new state, and new ones wait', () => {
  const shown = [row('b', 'pending'), row('a'), row('z')];
  const merged = mergeRows(shown, [row('d'), row('c'), row('a'), row('b')], { keyOf, isReading: true });
  assert.deepEqual(merged, { rows: [row('b'), row('a'), row('z')], waiting: 2 });
});

test('live list: an empty list shows what comes', () => {
  assert.deepEqual(mergeRows([], [row('a')], { keyOf, isReading: true }), { rows: [row('a')], waiting: 0 });
});
