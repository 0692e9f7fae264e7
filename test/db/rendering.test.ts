// Goal: what a thread renders itself is what the database renders, since the journal's hashes cover it. Method: random values go into a
// server, and its text is compared with ours.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import * as fc from 'fast-check';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { micros } from '../../src/db/ledger/locked-job.ts';
import { renderColumn } from '../../src/db/queries/transfer-columns.ts';
import { renderInstant } from '../../src/domain/instant.ts';
import { renderJsonb } from '../../src/domain/record.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';

let connection: Connection;

before(async (scope) => {
  const database = await createDatabase(scope);
  connection = await connect(database.settings, READING_TIMEOUTS, { applicationName: 'test' });
  onEnd(scope, async () => await disconnect(connection));
});

/** Characters that a rendering could get wrong: quotes, backslashes, separators, two to four bytes, combining ones, non-characters. */
const CHARACTERS = 'abz059 "\\/{}[]:,\'\u007f\u0080éßİ\u0301\u2028\u2029漢\ud7ff\ue000\ufffd\uffff🧀𐀀\u{10ffff}';
const character = fc.constantFrom(...Array.from(CHARACTERS));
const special = fc.string({ unit: character, maxLength: 6 });
/** Any text that a JSON body may hold but U+0000, which PostgreSQL refuses. */
const text = fc.oneof(
  special,
  fc.string({ unit: 'grapheme', maxLength: 6 }),
  fc.string({ unit: 'binary', maxLength: 6 }).map((value) => value.replaceAll('\0', '0')),
);

/** Sends many values at once: a round trip for each would allow few runs. */
async function ask<Value>(sql: string, values: readonly Value[], render: (value: Value) => string): Promise<unknown[]> {
  const { rows } = await connection.query<{ answer: unknown }>(
    `select ${sql} as answer from unnest($1::text[]) with ordinality as sent (value, position) order by position`,
    [values.map(render)],
  );
  return rows.map(({ answer }) => answer);
}

async function checkAgainstServer<Value>(
  t: { diagnostic: (message: string) => void },
  value: fc.Arbitrary<Value>,
  { sql, send, render }: { sql: string; send: (value: Value) => string; render: (value: Value) => unknown },
): Promise<void> {
  const seed = Number(process.env['FAST_CHECK_SEED'] ?? Date.now() % 2 ** 31);
  t.diagnostic(`FAST_CHECK_SEED=${seed}`);
  const values = fc.sample(value, { numRuns: 5000, seed });
  const answers = await ask(sql, values, send);
  assert.equal(answers.length, values.length);
  for (const [index, each] of values.entries()) assert.deepEqual(render(each), answers[index], send(each));
}

test('rendering: metadata is rendered as the text of its jsonb', async (t) => {
  const metadata = fc.dictionary(text, text, { maxKeys: 8, noNullPrototype: true });
  await checkAgainstServer(t, metadata, {
    sql: 'value::jsonb::text',
    send: (value) => JSON.stringify(value),
    render: renderJsonb,
  });
});

test('rendering: metadata keys of different lengths, in bytes and not in characters, keep the order of jsonb', async () => {
  const keys = [
    'b',
    'aa',
    'é',
    '漢',
    '🧀',
    'zz',
    'a',
    'aaa',
    'ÿ',
    '10',
    '9',
    '',
    '"',
    '\\\\',
    '__proto__',
    'constructor',
  ];
  const metadata = Object.fromEntries(keys.map((key) => [key, key]));
  const [answer] = await ask('value::jsonb::text', [metadata], (value) => JSON.stringify(value));
  assert.equal(renderJsonb(metadata), answer);
});

test('rendering: an instant is rendered as the driver returns a timestamptz at UTC', async (t) => {
  const year9999 = 253_402_300_799_999_999n;
  const instant = fc.oneof(
    fc.bigInt({ min: 0n, max: year9999 }),
    // With trailing zeros, which PostgreSQL omits.
    fc
      .tuple(fc.bigInt({ min: 0n, max: year9999 }), fc.constantFrom(10n, 1000n, 100_000n, 1_000_000n, 60_000_000n))
      .map(([value, unit]) => value - (value % unit)),
  );
  const sql = `timestamptz 'epoch' + value::bigint / 1000000 * interval '1 second' + value::bigint % 1000000 * interval '1 microsecond'`;
  await checkAgainstServer(t, instant, { sql, send: String, render: renderInstant });
});

test('rendering: the microseconds of a job become exactly its instants, until the year 2255', async (t) => {
  const instant = fc.bigInt({ min: 0n, max: 2n ** 53n - 1n });
  const sql = micros(`timestamptz 'epoch' + value::bigint * interval '1 microsecond'`);
  await checkAgainstServer(t, instant, { sql, send: String, render: (value) => value });
});

test('rendering: a column of texts is read as the same array', async (t) => {
  const seed = Number(process.env['FAST_CHECK_SEED'] ?? Date.now() % 2 ** 31);
  t.diagnostic(`FAST_CHECK_SEED=${seed}`);
  const values = fc.oneof(text, fc.constantFrom('NULL', 'null', '', ' ', '{}', ','), fc.constant(null));
  for (const column of fc.sample(fc.array(values, { maxLength: 6 }), { numRuns: 200, seed })) {
    const { rows } = await connection.query<{ column: (string | null)[] | null }>('select $1::text[] as column', [
      renderColumn(column),
    ]);
    const isEmpty = column.every((value) => value === null);
    assert.deepEqual(rows[0]?.column, isEmpty ? null : column);
  }
});

test('rendering: a column of numbers and booleans is read as the same array', async () => {
  const { rows } = await connection.query('select $1::bigint[] as numbers, $2::boolean[] as flags', [
    renderColumn([1n, null, -(2n ** 63n), 2n ** 63n - 1n]),
    renderColumn([true, null, false]),
  ]);
  assert.deepEqual(rows, [
    { numbers: ['1', null, '-9223372036854775808', '9223372036854775807'], flags: [true, null, false] },
  ]);
});
