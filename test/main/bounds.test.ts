// No body within the limits blocks the event loop: its shape is refused before it is parsed, and its flaws are
// collected only until there are enough of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { parseJson } from '../../src/main/http/body.ts';
import { Problem } from '../../src/main/http/problem.ts';
import { createGroupSchema } from '../../src/main/api/group-schemas.ts';
import { createAccountSchema, createTransferSchema, parseRequest } from '../../src/main/api/schemas.ts';

const BYTES_MAX = 1024 * 1024;
/**
 * Several times the time of the slowest body, and a fraction of the seconds that some bodies took in an earlier
 * version.
 */
const PROCESSOR_MS_MAX = 150;

/** A text of nearly 1 MiB: as many different parts as fit between a head and a tail. */
function fill(head: string, part: (index: number) => string, tail: string): string {
  const parts: string[] = [];
  let length = head.length + tail.length;
  for (let index = 0; ; index += 1) {
    const next = part(index);
    length += Buffer.byteLength(next) + 1;
    if (length > BYTES_MAX) return head + parts.join(',') + tail;
    parts.push(next);
  }
}

const members = (count: number, value: string, prefix = 'k') =>
  Array.from({ length: count }, (_, index) => `"${prefix}${index}":${value}`).join(',');
const group = (member: string) => `{"transfers":[${Array.from({ length: 1000 }, () => member).join(',')}]}`;
const transfer = (metadata: string, more = '') =>
  `{"from_account":"A","to_account":"B","amount":1${more},"metadata":{${metadata}}}`;
const name = (index: number) => index.toString(36);

const SHAPES: { what: string; text: string }[] = [
  { what: 'empty objects as transfers', text: fill('{"transfers":[', () => '{}', ']}') },
  { what: 'numbers as transfers', text: fill('{"transfers":[', () => '0', ']}') },
  { what: 'a fraction before empty objects', text: fill('{"x":1.0,"transfers":[', () => '{}', ']}') },
  { what: 'an escape before empty objects', text: fill('{"x":"\\u0041","transfers":[', () => '{}', ']}') },
  { what: 'metadata of bad values', text: fill('{"name":"x","metadata":{', (i) => `"${name(i)}":0`, '}}') },
  { what: 'metadata of bad keys', text: fill('{"name":"x","metadata":{', (i) => `"1${name(i)}":""`, '}}') },
  { what: 'metadata of good keys', text: fill('{"name":"x","metadata":{', (i) => `"a${name(i)}":"b"`, '}}') },
  { what: 'escaped keys', text: fill('{"name":"x","metadata":{', (i) => `"\\u0061${name(i)}":"b"`, '}}') },
  { what: 'unknown members', text: fill('{', (i) => `"${name(i)}":0`, '}') },
  { what: 'numbers and a point in a text', text: fill('{"x":"1.0","y":[', () => '1', ']}') },
  { what: 'small arrays', text: fill('{"transfers":[', () => '[[[1]]]', ']}') },
  { what: 'wide arrays', text: fill('{"y":[', () => `[${Array.from({ length: 1000 }, () => '1').join(',')}]`, ']}') },
  { what: 'wide arrays at the end of a wide object', text: fill('{"y":[', () => `{${members(64, '1')}}`, ']}') },
  { what: 'open arrays', text: '['.repeat(BYTES_MAX) },
  { what: 'nested arrays', text: '['.repeat(BYTES_MAX / 2) + ']'.repeat(BYTES_MAX / 2) },
  { what: 'nested arrays around a fraction', text: `${'['.repeat(500_000)}1.0${']'.repeat(500_000)}` },
  { what: 'nested objects', text: `${'{"a":'.repeat(150_000)}1${'}'.repeat(150_000)}` },
  { what: 'a name of 1 MiB', text: `{"${'é'.repeat(500_000)}":1}` },
  { what: 'a name of escapes', text: `{"${'\\u0041'.repeat(170_000)}":1}` },
  { what: 'an integer of 1 MiB', text: `{"amount":${'9'.repeat(1_000_000)}}` },
  { what: 'many fractions', text: fill('[', () => '1.5', ']') },
  { what: 'an email of labels', text: `{"name":"x","email":"a@${'a.'.repeat(500_000)}"}` },
  { what: 'an email without a domain', text: `{"name":"x","email":"${'a.'.repeat(500_000)}@"}` },
  { what: 'a telephone number of 1 MiB', text: `{"name":"x","phone":"${'1'.repeat(1_000_000)}"}` },
  { what: 'a date of 1 MiB', text: `{"name":"x","date_of_birth":"${'1'.repeat(1_000_000)}"}` },
  { what: 'a text of 1 MiB', text: `{"name":"${'é'.repeat(500_000)}"}` },
  { what: 'quotes without end', text: '"'.repeat(BYTES_MAX) },
  { what: 'commas', text: `{"a":1${','.repeat(1_000_000)}}` },
  { what: 'colons', text: `{"a"${':'.repeat(1_000_000)}}` },
  { what: 'a group of bad metadata values', text: group(transfer(members(50, '0'))) },
  { what: 'a group of bad metadata keys', text: group(transfer(members(50, '""', '1'))) },
  { what: 'a group of unknown members', text: group(`{${members(60, '0')}}`) },
  { what: 'a group that has one flaw each', text: group(transfer(members(40, '"abc"'), ',"x":1')) },
];

for (const { what, text } of SHAPES) {
  test(`bounds: a body of ${what} is refused within ${PROCESSOR_MS_MAX} ms of processor time`, () => {
    const body = Buffer.from(text);
    assert.ok(body.length <= BYTES_MAX, String(body.length));
    const { problem, processorMs } = readTimed(body);
    assert.ok(problem !== null && problem.status === 400, String(problem?.code));
    const { errors } = z.object({ errors: z.array(z.unknown()).max(20).default([]) }).parse(problem.members);
    assert.ok(problem.render('x').length < 16_384, `${errors.length} errors`);
    assert.ok(processorMs < PROCESSOR_MS_MAX, `${processorMs} ms`);
  });
}

const VALID: { what: string; text: string }[] = [
  { what: '50 keys of metadata each', text: group(transfer(members(50, '"abcdefgh"'))) },
  { what: '40 values of other alphabets each', text: group(transfer(members(40, '"éäö"'))) },
  { what: 'long descriptions', text: group(transfer('"a":"b"', `,"description":"${'1.5 '.repeat(120)}"`)) },
];

for (const { what, text } of VALID) {
  test(`bounds: a group of 1000 transfers with ${what} is read within ${PROCESSOR_MS_MAX} ms of processor time`, () => {
    const { problem, processorMs } = readTimed(Buffer.from(text));
    assert.equal(problem, null);
    assert.ok(processorMs < PROCESSOR_MS_MAX, `${processorMs} ms`);
  });
}

test('bounds: the error of a body with too many members says which object or array it is', () => {
  const wide = members(65, '"x"');
  const long = Array.from({ length: 1001 }, () => '{}').join(',');
  for (const [text, pointer] of [
    [`{"name":"x","metadata":{${wide}}}`, '/metadata'],
    [`{"transfers":[{},{"metadata":{${wide}}}]}`, '/transfers/1/metadata'],
    [`{"transfers":[${long}]}`, '/transfers'],
    [`{${wide}}`, ''],
  ] as const) {
    assert.deepEqual(pointersOf(read(Buffer.from(text))), [pointer]);
  }
});

test('bounds: the first 20 flaws of a group are reported, each with its transfer', () => {
  const text = `{"transfers":[${transfer('"a":"b"')},${Array.from({ length: 30 }, () => transfer('"1":"b"')).join(',')}]}`;
  const pointers = pointersOf(read(Buffer.from(text)));
  assert.deepEqual(
    pointers,
    Array.from({ length: 20 }, (_, index) => `/transfers/${index + 1}/metadata/1`),
  );
});

test('bounds: metadata of 8192 bytes is read, and of one byte more is not', () => {
  // 16 members of 500 bytes each, keys included, and one that fills up the rest.
  const full = Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`k${index + 10}_`, 'é'.repeat(248)]));
  const body = (rest: number) =>
    Buffer.from(JSON.stringify({ name: 'x', metadata: { ...full, last: 'x'.repeat(rest) } }));
  assert.equal(read(body(188)), null);
  const problem = read(body(189));
  assert.deepEqual(problem?.members, {
    errors: [
      { pointer: '/metadata', detail: '`metadata` must have at most 8192 bytes of UTF-8, keys and values together' },
    ],
  });
});

/** The problem that a body is refused with, or null, and what that took. */
function readTimed(body: Buffer): { problem: Problem | null; processorMs: number } {
  const before = process.threadCpuUsage();
  const problem = read(body);
  const { user, system } = process.threadCpuUsage(before);
  return { problem, processorMs: (user + system) / 1000 };
}

function read(body: Buffer): Problem | null {
  try {
    const value = parseJson(body);
    const isObject = typeof value === 'object' && value !== null;
    const isGroup = isObject && Object.hasOwn(value, 'transfers');
    const isAccount = isObject && Object.hasOwn(value, 'name');
    parseRequest(isGroup ? createGroupSchema : isAccount ? createAccountSchema : createTransferSchema, value);
    return null;
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
}

function pointersOf(problem: Problem | null): string[] {
  const { errors } = z.object({ errors: z.array(z.object({ pointer: z.string() })) }).parse(problem?.members);
  return errors.map(({ pointer }) => pointer);
}
