// Instants with more digits than PostgreSQL keeps are compared exactly.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { roundDown, roundUp } from '../../src/db/queries/instants.ts';
import { createDatabase } from '../support/database.ts';

// An instant, the last microsecond at or before it, and the first at or after it.
const CASES = [
  ['2026-01-31T12:00:00Z', '12:00:00', '12:00:00'],
  ['2026-01-31T12:00:00.123456Z', '12:00:00.123456', '12:00:00.123456'],
  ['2026-01-31T12:00:00.1234560000Z', '12:00:00.123456', '12:00:00.123456'],
  ['2026-01-31T12:00:00.1234561Z', '12:00:00.123456', '12:00:00.123457'],
  ['2026-01-31T12:00:00.123456789+00:00', '12:00:00.123456', '12:00:00.123457'],
  ['2026-01-31T12:00:00.123456000000001Z', '12:00:00.123456', '12:00:00.123457'],
  ['2026-01-31T10:59:59.9999999-01:00', '11:59:59.999999', '12:00:00'],
  ['2026-01-31T12:00:00.0000005Z', '12:00:00', '12:00:00.000001'],
] as const;

test('instants: digits beyond microseconds round down or up, never to the nearest', async (t) => {
  const database = await createDatabase(t);
  for (const [instant, down, up] of CASES) {
    const [row] = await database.query(
      `select ($1::timestamptz at time zone 'UTC')::time::text as down, ($2::timestamptz at time zone 'UTC')::time::text as up`,
      [roundDown(instant), roundUp(instant)],
    );
    assert.deepEqual(row, { down, up }, instant);
  }
  const [carried] = await database.query(`select $1::timestamptz = '10000-01-01T00:00:00Z' as year`, [
    roundUp('9999-12-31T23:59:59.9999999Z'),
  ]);
  assert.deepEqual(carried, { year: true });
});
