// The body of a request: every number as it was written, or refused; and never more bytes than are allowed.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { before, test } from 'node:test';
import * as fc from 'fast-check';
import { request } from 'undici';
import { parseJson, readJson } from '../../src/main/http/body.ts';
import { ByteBudget } from '../../src/main/http/byte-budget.ts';
import { Problem } from '../../src/main/http/problem.ts';
import { onEnd } from '../support/cleanup.ts';

const BYTES_MAX = 64;
const budget = new ByteBudget(BYTES_MAX, 'too_many_bodies').of('caller');

/** A server that answers with the body it was sent as it reads it, or with the code of the problem. */
let url: string;

before(async (t) => {
  const server = createServer((incoming, answer) => {
    readJson(incoming, { bytesMax: BYTES_MAX, budget })
      .then((value) => answer.end(JSON.stringify({ value })))
      .catch((error: unknown) => {
        incoming.resume();
        answer.end(JSON.stringify({ code: error instanceof Problem ? error.code : String(error) }));
      });
  });
  server.listen(0, '127.0.0.1');
  onEnd(t, () => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, 'listening');
  url = `http://127.0.0.1:${portOf(server.address())}`;
});

const READ: { name: string; text: string; value: unknown }[] = [
  { name: 'an object', text: '{"amount": 5}', value: { amount: 5 } },
  { name: 'the largest exact integer', text: '9007199254740991', value: 9_007_199_254_740_991 },
  { name: 'a negative integer', text: '[-5, 0]', value: [-5, 0] },
  { name: 'minus zero', text: '{"amount": -0}', value: { amount: -0 } },
  { name: 'a point in a text', text: '{"name": "v1.5"}', value: { name: 'v1.5' } },
  {
    name: 'an exponent in a text',
    text: '{"name": "1e3 and 2E5", "amount": 1}',
    value: { name: '1e3 and 2E5', amount: 1 },
  },
  { name: 'a point in a name', text: '{"1.5": 1}', value: { '1.5': 1 } },
  { name: 'characters of four bytes', text: '{"name": "🧀"}', value: { name: '🧀' } },
  { name: 'white space all around', text: ' \r\n\t{ } ', value: {} },
  {
    name: 'one name in several objects',
    text: '[{"a": {"a": 1}}, {"a": [{"a": 2}]}]',
    value: [{ a: { a: 1 } }, { a: [{ a: 2 }] }],
  },
  { name: 'a name that differs by case', text: '{"a": 1, "A": 2}', value: { a: 1, A: 2 } },
  {
    name: 'quotes, colons and braces in texts',
    text: '{"a": "\\"a\\": {", "b\\\\": ":"}',
    value: { a: '"a": {', 'b\\': ':' },
  },
  { name: 'the name of an inherited property', text: '{"constructor": 1}', value: { constructor: 1 } },
  { name: '__proto__ in a text', text: '{"name": "__proto__"}', value: { name: '__proto__' } },
];

for (const { name, text, value } of READ) {
  test(`body: reads ${name}`, () => {
    assert.deepEqual(parseJson(Buffer.from(text)), value);
  });
}

const INEXACT = [
  '1.5',
  '1.0',
  '5.0',
  '1e3',
  '1E3',
  '1e-3',
  '0.0',
  '-0.0',
  '1e400',
  '9007199254740991.4',
  '0.99999999999999999999',
];
for (const number of [...INEXACT, '1e21', '100e-2']) {
  test(`body: refuses the number ${number} at any depth`, () => {
    for (const text of [`{"amount": ${number}}`, `[1, ${number}]`, `{"a": {"b": [${number}]}}`, number]) {
      assert.equal(codeOf(text), 'invalid_request', text);
    }
  });
}

test('body: the error names the number that is not an integer', () => {
  assert.deepEqual(problemOf(Buffer.from('{"amount": 1.5}')).members, {
    errors: [{ pointer: '/amount', detail: '`amount` must be written as an integer' }],
  });
});

test('body: an inexact integer stays one that every schema refuses', () => {
  for (const number of ['9007199254740992', '9007199254740993', '18446744073709551616', `1${'0'.repeat(400)}`]) {
    assert.equal(Number.isSafeInteger(parseJson(Buffer.from(number))), false, number);
  }
});

for (const text of [
  '',
  ' ',
  '{',
  '{"a":1}}',
  "{'a':1}",
  '{"a":01}',
  '{"a":+1}',
  '{"a":.5}',
  '{"a":NaN}',
  '{"a":0x10}',
  '{"a":1,}',
  'undefined',
]) {
  test(`body: ${JSON.stringify(text)} is not JSON`, () => {
    assert.equal(codeOf(text), 'malformed_json');
  });
}

test('body: a byte order mark is not JSON', () => {
  assert.equal(codeOf('\ufeff{}'), 'malformed_json');
});

test('body: bytes that are not UTF-8 are refused and never replaced', () => {
  for (const bytes of [[0xff], [0xc3], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80]]) {
    const body = Buffer.concat([Buffer.from('{"name":"'), Buffer.from(bytes), Buffer.from('"}')]);
    const problem = problemOf(body);
    assert.deepEqual([problem.code, problem.message], ['malformed_json', 'The body is not UTF-8.']);
  }
});

test('body: a member named __proto__ is refused at any depth, also with escapes', () => {
  for (const text of [
    '{"__proto__": {"amount": 5}}',
    '{"metadata": {"__proto__": "x"}}',
    '{"\\u005f_proto__": 1}',
    '[{"__pr\\u006Fto__": 1}]',
  ]) {
    assert.equal(codeOf(text), 'invalid_request', text);
  }
});

const REPEATED: { text: string; name: string; within?: string }[] = [
  { text: '{"amount": 1, "amount": 2}', name: 'amount' },
  { text: '{"amount": 1, "amount": 1}', name: 'amount' },
  { text: '{"a": 1, "\\u0061" : 2}', name: 'a' },
  { text: '{"\\"": 1, "\\u0022"\n:\t2}', name: '"' },
  { text: '{"a": {"b": [1, {"c": 1, "d": {}, "c": {"e": 1}}]}}', name: 'c', within: '/a/b/1' },
  { text: '[{}, {"": 1, "": 2}]', name: '', within: '/1' },
  { text: '{"x": [1, [2, 3]], "y": [[], "a,b", {"c": [0, 0], "c": 1}]}', name: 'c', within: '/y/2' },
  { text: '{"a": {"b": 1}, "c": [], "a": {"b": 1}}', name: 'a' },
  { text: '{"ä": "{\\"ä\\":1}", "\\u00e4": 1}', name: 'ä' },
  { text: '{"constructor": 1, "constructor": 2}', name: 'constructor' },
  { text: '{"😀": 1, "\\ud83d\\uDE00": 1}', name: '😀' },
];
for (const { text, name, within = '' } of REPEATED) {
  test(`body: refuses the duplicate member in ${text}`, () => {
    const problem = problemOf(Buffer.from(text));
    assert.equal(problem.code, 'invalid_request');
    assert.deepEqual(problem.members, {
      errors: [{ pointer: `${within}/${name}`, detail: `\`${name}\` appears twice` }],
    });
  });
}

// No name is a lone backslash: V8 can take `"\\"" for it, and loses the member that follows. That text is refused as
// invalid JSON.
test('body: finds a duplicate member in any text where JSON.parse loses one', () => {
  const name = fc.constantFrom('"a"', '"\\u0061"', '"b"', '"\\""', '"\\\\x"', '""', '"a:"', '"{"');
  const { value } = fc.letrec<{ value: string; object: string; list: string; leaf: string }>((tie) => ({
    value: fc.oneof({ maxDepth: 4 }, tie('leaf'), tie('object'), tie('list')),
    leaf: fc.oneof(name, fc.constantFrom('1', 'true', 'false', 'null', '-20')),
    object: fc
      .array(fc.tuple(name, fc.constantFrom('', ' ', '\n'), tie('value')), { maxLength: 4 })
      .map((members) => `{${members.map(([key, space, inner]) => `${key}${space}:${inner}`).join(',')}}`),
    list: fc.array(tie('value'), { maxLength: 4 }).map((items) => `[${items.join(' ,')}]`),
  }));
  fc.assert(
    fc.property(value, (text) => {
      assert.equal(codeOf(text), hasRepeated(text) ? 'invalid_request' : 'no problem', text);
    }),
    { seed: 2026, numRuns: 2000 },
  );
});

/** A second way to see it, slow and plain: every member gets a number, and none may be missing afterwards. */
function hasRepeated(text: string): boolean {
  let members = 0;
  const numbered = text.replaceAll(/("(?:[^"\\]|\\.)*")(\s*:)?/g, (_, string: string, colon?: string) => {
    if (colon === undefined) return string;
    members += 1;
    return `${string}:`;
  });
  let kept = 0;
  JSON.parse(numbered, (_, value: unknown) => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) kept += Object.keys(value).length;
    return value;
  });
  return kept !== members;
}

test('body: an object may have 64 members, and so may each nested one', () => {
  const members = (count: number): string => Array.from({ length: count }, (_, index) => `"k${index}":1`).join(',');
  assert.equal(codeOf(`{${members(63)},"k":[{${members(64)}},{${members(64)}}]}`), 'no problem');
  assert.equal(codeOf(`{${members(65)}}`), 'invalid_request');
  assert.equal(codeOf(`{${members(63)},"k":[{}],"l":1}`), 'invalid_request');
  assert.equal(codeOf(`[{"k":{${members(65)}}}]`), 'invalid_request');
});

test('body: unbounded nesting is refused with a problem', () => {
  for (const inner of ['1', '1.5']) {
    const depth = 200_000;
    const text = `{"amount": ${'['.repeat(depth)}${inner}${']'.repeat(depth)}}`;
    const outcome = codeOf(text);
    assert.ok(outcome === 'no problem' || outcome === 'malformed_json' || outcome === 'invalid_request', outcome);
    if (inner === '1.5') assert.notEqual(outcome, 'no problem');
  }
});

test('body: a body of the largest size is read, and one more byte is refused', async () => {
  const fits = JSON.stringify('x'.repeat(BYTES_MAX - 2));
  assert.deepEqual(await answerTo({ body: fits }), { value: 'x'.repeat(BYTES_MAX - 2) });
  assert.deepEqual(await answerTo({ body: `${fits} ` }), { code: 'body_too_large' });
});

test('body: bytes are counted, not characters', async () => {
  assert.deepEqual(await answerTo({ body: JSON.stringify('ä'.repeat(BYTES_MAX / 2)) }), { code: 'body_too_large' });
});

test('body: a chunked body is counted while it arrives', async () => {
  const parts = (count: number) => Readable.from(['"', ...Array.from({ length: count }, () => '0123456789'), '"']);
  assert.deepEqual(await answerTo({ body: parts(6) }), { value: '0123456789'.repeat(6) });
  assert.deepEqual(await answerTo({ body: parts(7) }), { code: 'body_too_large' });
});

test('body: characters that are split between chunks are read correctly', async () => {
  const bytes = Buffer.from('"🧀ä"');
  const body = Readable.from(Array.from(bytes, (byte) => Buffer.from([byte])));
  assert.deepEqual(await answerTo({ body }), { value: '🧀ä' });
});

for (const type of [
  'application/json',
  'Application/JSON',
  'application/json; charset=utf-8',
  'application/json;charset="UTF-8"',
  'application/json;',
  'application/json ; charset=utf8',
  'application/json;charset=US-ASCII',
  'application/json; charset=utf-8; odata.metadata=minimal',
  'application/json;profile="x;charset=latin1"',
]) {
  test(`body: the type ${type} is accepted`, async () => {
    assert.deepEqual(await answerTo({ body: '{}', headers: { 'content-type': type } }), { value: {} });
  });
}

const OTHER_TYPES = [
  '',
  'text/plain',
  'application/jsonp',
  'text/application/json',
  'application/json; charset=latin1',
  'application/json; profile=x; charset="utf-16"',
  'application/json, text/plain',
  'application/json5',
  'application',
];
for (const type of [...OTHER_TYPES, 'application/x-www-form-urlencoded', 'application/merge-patch+json']) {
  test(`body: the type "${type}" is refused`, async () => {
    const answer = await answerTo({ body: '{}', headers: { 'content-type': type } });
    assert.deepEqual(answer, { code: 'unsupported_media_type' });
  });
}

test('body: a body without a type, or with a content encoding, is refused', async () => {
  assert.deepEqual(await answerTo({ body: '{}', headers: {} }), { code: 'unsupported_media_type' });
  const packed = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
  assert.deepEqual(await answerTo({ body: '{}', headers: packed }), { code: 'unsupported_media_type' });
});

async function answerTo({
  body,
  headers = { 'content-type': 'application/json' },
}: {
  body: string | Readable;
  headers?: Record<string, string>;
}): Promise<unknown> {
  const answer = await request(url, { method: 'POST', headers, body });
  return await answer.body.json();
}

function codeOf(text: string): string {
  try {
    parseJson(Buffer.from(text));
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
  return 'no problem';
}

function problemOf(bytes: Buffer): Problem {
  try {
    parseJson(bytes);
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error('There was no problem.');
}

function portOf(address: AddressInfo | string | null): number {
  if (typeof address !== 'object' || address === null) throw new Error('The server must listen on a port.');
  return address.port;
}
