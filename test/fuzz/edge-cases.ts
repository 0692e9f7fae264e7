// What callers send by mistake or on purpose: edge cases of texts, names, numbers, headers and paths, allowed or not.
import * as fc from 'fast-check';
import type { Schema } from '../support/interface.ts';

/** Accounts that are there before the first case. */
export const ACCOUNTS = ['F0', 'F1', 'F2', 'F3', 'F4', 'F5', 'YEN', 'COLD', 'SHUT', 'TAKE', 'L'.repeat(34)] as const;
export const FIXTURE_CURRENCY = 'EUR';
/** A ledger that is there before the first case, with the same accounts but SHUT. */
export const FIXTURE_LEDGER = 'shop';

/** Stand for ids that are known only when the cases run; see cases.ts. */
export const ID_TOKENS = [
  '~transfer0~',
  '~transfer1~',
  '~hold0~',
  '~hold1~',
  '~hold2~',
  '~group0~',
  // In the ledger FIXTURE_LEDGER.
  '~transfer2~',
  '~hold3~',
] as const;
/** Of webhooks. Cases delete all but the first. */
export const WEBHOOK_TOKENS = ['~webhook0~', '~webhook1~', '~webhook2~', '~webhook3~', '~webhook4~'] as const;
/** Of nothing. */
export const NOWHERE_ID = '0192f0c4-0000-7000-8000-00000000000f';

/** Allowed, and easily corrupted in transit. */
const EDGE_CASE_TEXTS = [
  'Ünïcödé',
  '🧀👩‍👩‍👧‍👦🏳️‍🌈',
  'שלום עולם',
  'مرحبا right to left',
  'e\u0301 é \u1e9b\u0323',
  `Z${'\u0336\u0489'.repeat(40)}`,
  '\u200b\u200c\u200d\u2060\u00ad',
  '\u00a0\u3000',
  '\ufffd',
  '\u{10fffd}\u{1f4a9}\u{20000}\u{e0001}',
  "'; drop table accounts; --",
  '\\u0000 \\ " / %00 %s ${x} {{x}} <b>&amp;',
  '__proto__',
  'null',
  '1e3',
  '{"a":[1.5]}',
  '  spaces  ',
  '{}',
  '{NULL,"x"}',
  '\\N',
];

/** Characters that no text may have; docs/API.md lists them. */
const REFUSED =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Noncharacter_Code_Point}\u206a-\u206f\ufeff\ufff9-\ufffb]/gu;

const wellFormed = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 30 })
  .map((value) => value.replaceAll(REFUSED, '·'));

/** Text that the schema accepts: free text with edge cases, or text of its pattern. */
export function text(schema: Schema): fc.Arbitrary<string> {
  const { minLength = 0, maxLength = 200 } = schema;
  const pattern = schema.pattern ?? schema.allOf?.[0]?.['pattern'];
  if (typeof pattern !== 'string' || pattern.startsWith('^[^')) {
    return fc
      .oneof(
        { arbitrary: fc.constantFrom(...EDGE_CASE_TEXTS), weight: 4 },
        { arbitrary: wellFormed, weight: 4 },
        { arbitrary: fc.constantFrom('x'.repeat(maxLength), '🧀'.repeat(maxLength)), weight: 1 },
      )
      .filter((value) => value.length >= minLength && Array.from(value).length <= maxLength);
  }
  const others = (schema.allOf ?? []).flatMap((each) =>
    each.pattern === undefined ? [] : new RegExp(each.pattern, 'u'),
  );
  return fc
    .stringMatching(new RegExp(pattern))
    .filter((value) => value.length <= maxLength && others.every((other) => other.test(value)));
}

const account = fc.oneof(
  { arbitrary: fc.constantFrom('F0', 'F1', 'F2', 'F3'), weight: 12 },
  { arbitrary: fc.constantFrom(...ACCOUNTS), weight: 3 },
  { arbitrary: fc.constantFrom('@external', 'NOSUCH', '...', '.a', '-', '_', 'a'), weight: 2 },
);

const instant = fc.oneof(
  fc
    .date({ min: new Date('0001-01-02T00:00:00Z'), max: new Date('9999-12-30T00:00:00Z'), noInvalidDate: true })
    .map((date) => date.toISOString()),
  fc.constantFrom(
    '0001-01-01T00:00:00Z',
    '9999-12-31T23:59:59.999999Z',
    '2024-02-29T23:59:59+15:59',
    '2026-01-01T00:00:00.123456789-00:00',
  ),
);

/** Text for a member or a parameter of this name: where any text would do, but only some are to the point. */
export function knownText(name: string, schema: Schema): fc.Arbitrary<string> {
  switch (name) {
    case 'from_account':
    case 'to_account':
    case 'account':
      return account;
    case 'currency':
      return fc.oneof({ arbitrary: fc.constant(FIXTURE_CURRENCY), weight: 5 }, { arbitrary: text(schema), weight: 1 });
    case 'email':
      return fc
        .tuple(
          fc.stringMatching(/^[A-Za-z0-9_'+&/=?-]{1,10}$/),
          fc.stringMatching(/^[A-Za-z0-9][a-z0-9-]{0,20}[a-z0-9]$/),
          fc.constantFrom('example', 'xn--p1ai'),
        )
        .map(([user, host, top]) => `${user}@${host}.${top}`);
    case 'date_of_birth':
      return fc
        .date({ min: new Date('1850-01-01T00:00:00Z'), max: new Date('9999-12-31T00:00:00Z'), noInvalidDate: true })
        .map((date) => date.toISOString().slice(0, 10));
    case 'at':
    case 'since':
    case 'until':
      return instant;
    case 'url':
      return fc.oneof({ arbitrary: fc.constant('https://hooks.example.com/x'), weight: 3 }, text(schema));
    case 'group_id':
    case 'parent_id':
      return fc.constantFrom(...ID_TOKENS, NOWHERE_ID, NOWHERE_ID.toUpperCase());
    default:
      return text(schema);
  }
}

/** The value of a parameter of a path. */
export function pathText(name: string, path: string): fc.Arbitrary<string> {
  if (name === 'ledger') return fc.constantFrom('main', FIXTURE_LEDGER, 'a', '0');
  if (name === 'month') return fc.constantFrom('2025-01', '2024-02', '1000-01', '2026-11', '2026-10');
  if (name === 'account_number') {
    // Cases do not change the accounts that most transfers use.
    return fc.oneof(
      { arbitrary: fc.constantFrom('F4', 'F5', 'YEN', 'COLD', 'SHUT', 'TAKE', 'L'.repeat(34)), weight: 6 },
      { arbitrary: account, weight: path === '/accounts/{account_number}' ? 0 : 4 },
      { arbitrary: fc.stringMatching(/^[A-Za-z0-9._-]{1,34}$/), weight: 1 },
    );
  }
  if (name === 'number') return fc.constantFrom('0', '1', '999999999999999');
  if (path.startsWith('/webhooks')) {
    const [first, ...others] = WEBHOOK_TOKENS;
    return fc.constantFrom(...(path === '/webhooks/{id}' ? others : [first]), '~transfer0~', NOWHERE_ID);
  }
  return fc.constantFrom(...ID_TOKENS, NOWHERE_ID);
}

const EDGE_CASE_NUMBERS = [
  '0',
  '-0',
  '-1',
  '1',
  '1.0',
  '1.5',
  '1e2',
  '1E400',
  '-1e400',
  '1e-400',
  '0.1e1',
  '5e-324',
  '0e0',
  '-0.0',
  '9007199254740991',
  '-9007199254740991',
  '9007199254740992',
  '-9007199254740992',
  '9007199254740993',
  '9223372036854775807',
  '9223372036854775808',
  '18446744073709551616',
  `1${'0'.repeat(400)}`,
  '7'.repeat(5000),
  '2147483647',
  '2147483648',
  '-2147483649',
  '4294967296',
];
const EDGE_CASE_STRINGS = [
  '""',
  '" "',
  '"\\u0000"',
  '"a\\u0000b"',
  '"\\u001f"',
  '"\\u007f"',
  '"\\n"',
  '"\\ud800"',
  '"\\udfff"',
  '"a\\udc00\\ud800b"',
  '"\\ud83d"',
  '"\\ud83d\\ud83d\\ude00"',
  '"\\u2028"',
  '"5"',
  '"0x10"',
  '"NaN"',
  '"null"',
  '"@external"',
  '"@External"',
  '"F0"',
  `"${'L'.repeat(34)}"`,
  `"${'L'.repeat(35)}"`,
  '"F0 "',
  '"f0"',
  `"${'x'.repeat(501)}"`,
  `"${'🧀'.repeat(501)}"`,
  `"${'x'.repeat(20_000)}"`,
  '"__proto__"',
  '"constructor"',
];
const EDGE_CASE_VALUES = [
  'null',
  'true',
  'false',
  '[]',
  '{}',
  '[null]',
  '[[]]',
  '[{}]',
  '{"":""}',
  '{"a":null}',
  '{"__proto__":null}',
  '{"__proto__":{"amount":1}}',
  '{"constructor":{"prototype":{"x":1}}}',
  '{"toString":1}',
  '{"length":1}',
  '{"toJSON":"x"}',
  '{"then":"x"}',
  '{"a":"x","a":"y"}',
  '{"\\u0000":"x"}',
  '{"\\ud800":"x"}',
  '{"a":"\\ud800"}',
  '{"a":"\\u0000"}',
  '{"metadata":{"a":"b"}}',
  `{"a":"${'x'.repeat(501)}"}`,
  `{"${'k'.repeat(41)}":"x"}`,
  wide(50),
  wide(51),
  wide(3000),
  deep(60, '{"a":', '}'),
  deep(3000, '[', ']'),
  deep(3000, '{"a":', '}'),
  deep(20_000, '[', ']'),
  `[${'1,'.repeat(3000)}1]`,
  `[${'{},'.repeat(1000)}{}]`,
];
/** What is no JSON. */
const EDGE_CASE_SYNTAX = [
  '',
  'NaN',
  'Infinity',
  '-',
  '+1',
  '01',
  '.5',
  '5.',
  '0x1',
  '1_0',
  '1n',
  'undefined',
  'True',
  "'x'",
  '"',
  '"\\x"',
  '"\\u12"',
  '"\u0001"',
  '"\t"',
  '[1,]',
  '{"a":1,}',
  '{a:1}',
  '{"a"}',
  '[',
  '{',
  '//',
  '/**/1',
  '\u0000',
  '1 2',
];

/** Texts of JSON values, most of them invalid everywhere. */
export const edgeCaseLiteral: fc.Arbitrary<string> = fc.oneof(
  { arbitrary: fc.constantFrom(...EDGE_CASE_NUMBERS), weight: 5 },
  { arbitrary: fc.constantFrom(...EDGE_CASE_STRINGS), weight: 5 },
  { arbitrary: fc.constantFrom(...EDGE_CASE_VALUES), weight: 4 },
  { arbitrary: fc.constantFrom(...EDGE_CASE_SYNTAX), weight: 1 },
  { arbitrary: fc.json({ maxDepth: 3 }), weight: 3 },
  { arbitrary: fc.string({ unit: 'binary' }).map((value) => JSON.stringify(value)), weight: 3 },
  { arbitrary: fc.maxSafeInteger().map(String), weight: 2 },
  { arbitrary: fc.double().map(String), weight: 1 },
);

/** Names of members; one in quotes is written unchanged. */
export const edgeCaseKey: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    '__proto__',
    'constructor',
    'prototype',
    'hasOwnProperty',
    'toString',
    'toJSON',
    'then',
    'id',
    'status',
    '',
    '"\\u005f_proto__"',
    '"\\u0000"',
    '"\\ud800"',
    'a/b~c',
    '~0',
    ' amount',
    'Amount',
    'k'.repeat(5000),
    '🧀',
    'кл',
    'amount',
    'from_account',
    'to_account',
    'name',
    'currency',
    'metadata',
    'balance',
    'transfers',
    'if',
    'kind',
    'parent_id',
    'group_id',
    'request_id',
    'created_at',
    'account_number',
    'overdraft_limit',
    'dry_run',
    'final',
  ),
  fc.string({ unit: 'binary', maxLength: 10 }),
);

function wide(count: number): string {
  return `{${Array.from({ length: count }, (_, index) => `"k${index}":"x"`).join(',')}}`;
}

function deep(depth: number, open: string, close: string): string {
  return `${open.repeat(depth)}1${close.repeat(depth)}`;
}
