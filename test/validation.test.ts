// Errors for a wrong member, setting or option: its name and what is expected, never the words of the schema library.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { parseArguments } from '../src/cli/command.ts';
import { OPTIONS } from '../src/cli/load/options.ts';
import { parseConfig } from '../src/config.ts';
import { parseJson } from '../src/main/http/body.ts';
import { Problem } from '../src/main/http/problem.ts';
import * as groupSchemas from '../src/main/api/group-schemas.ts';
import * as schemas from '../src/main/api/schemas.ts';

const { createAccountSchema, createTransferSchema, listTransfersSchema, parseRequest } = schemas;
const { createGroupSchema } = groupSchemas;
const TRANSFER = { from_account: 'ANN', to_account: 'BOB', amount: 5 };
const ACCOUNT = { name: 'Ann' };

/** The errors of a refused value, each as "pointer: detail". */
function errorsOf(refuse: () => unknown): string[] {
  try {
    refuse();
  } catch (error) {
    assert.ok(error instanceof Problem, String(error));
    assert.equal(error.code, 'invalid_request');
    return (error.members.errors ?? []).map(({ pointer, detail }) => `${pointer}: ${detail}`);
  }
  return [];
}

const CASES: { what: string; schema: z.ZodType; input: unknown; errors: string[] }[] = [
  {
    what: 'an amount that is text',
    schema: createTransferSchema,
    input: { ...TRANSFER, amount: '5' },
    errors: ['/amount: `amount` must be an integer in minor units, from 1 to 9007199254740991'],
  },
  {
    what: 'an amount beyond the largest',
    schema: createTransferSchema,
    input: { ...TRANSFER, amount: 2 ** 60 },
    errors: ['/amount: `amount` must be an integer in minor units, from 1 to 9007199254740991'],
  },
  {
    what: 'a missing member',
    schema: createTransferSchema,
    input: { from_account: 'ANN', amount: 5 },
    errors: ['/to_account: `to_account` is missing; it must be 1 to 34 of A-Z a-z 0-9 . _ -, or @external'],
  },
  {
    what: 'a member of another member',
    schema: createTransferSchema,
    input: { ...TRANSFER, if: { from_entry_number: -1, min_available_after: 'x' } },
    errors: [
      '/if/from_entry_number: `from_entry_number` must be an integer of 0 or more',
      '/if/min_available_after: `min_available_after` must be an integer in minor units',
    ],
  },
  {
    what: 'unknown members',
    schema: createTransferSchema,
    input: { ...TRANSFER, color: 1, if: { shape: 1, size: 2 } },
    errors: ['/if: unknown members: `shape`, `size`', ': unknown member: `color`'],
  },
  {
    what: 'a member of a group',
    schema: createGroupSchema,
    input: { transfers: [TRANSFER, { ...TRANSFER, currency: 'usd' }, 7] },
    errors: [
      '/transfers/1/currency: `currency` must be an ISO 4217 currency code such as USD',
      '/transfers/2: `transfers[2]` must be an object',
    ],
  },
  {
    what: 'a group without transfers',
    schema: createGroupSchema,
    input: { transfers: [] },
    errors: ['/transfers: `transfers` must be an array of 1 to 1000 transfers'],
  },
  { what: 'a body that is an array', schema: createAccountSchema, input: [], errors: [': The body must be an object'] },
  {
    what: 'texts, dates and addresses',
    schema: createAccountSchema,
    input: { name: '', date_of_birth: '31.1.1990', email: 'ann', metadata: { '1': 'x', a: 7 } },
    errors: [
      '/name: `name` must be text of 1 to 200 characters',
      '/email: `email` must be an email address such as ann@example.com, an international domain in its ASCII form (xn--)',
      '/date_of_birth: `date_of_birth` must be a date such as 2026-01-31',
      '/metadata/1: `1` is not a key of metadata: that is a letter, then at most 39 of A-Z a-z 0-9 _ . -',
      '/metadata/a: `a` must be text of 1 to 500 characters',
    ],
  },
  {
    what: 'query parameters',
    schema: listTransfersSchema,
    input: { status: 'done', limit: '0', since: 'today', group_id: '7', page: '2' },
    errors: [
      '/status: `status` must be pending, completed or failed',
      '/group_id: `group_id` must be a UUID',
      '/since: `since` must be an instant such as 2026-01-31T12:00:00Z',
      '/limit: `limit` must be an integer from 1 to 1000',
      ': unknown parameter: `page`',
    ],
  },
];

for (const { what, schema, input, errors } of CASES) {
  test(`validation: a problem names ${what} and what is expected`, () => {
    assert.deepEqual(
      errorsOf(() => parseRequest(schema, input, schema === listTransfersSchema ? 'parameter' : 'member')),
      errors,
    );
  });
}

test('validation: the scan of a body names the member as the schemas do', () => {
  assert.deepEqual(
    errorsOf(() => parseJson(Buffer.from('{"transfers":[{"amount":1.5}]}'))),
    ['/transfers/0/amount: `amount` must be written as an integer'],
  );
  assert.deepEqual(
    errorsOf(() => parseJson(Buffer.from('{"amount":1,"amount":2}'))),
    ['/amount: `amount` appears twice'],
  );
  const many = JSON.stringify({ metadata: Object.fromEntries(Array.from({ length: 65 }, (_, index) => [index, ''])) });
  assert.deepEqual(
    errorsOf(() => parseJson(Buffer.from(many))),
    ['/metadata: `metadata` must have at most 64 members'],
  );
});

/** One of each type, and what is just out of bounds. */
const WRONG_VALUES = [undefined, null, true, -1, 1.5, 2 ** 60, '', 'x'.repeat(2000), '\u0000', [], [7], {}, { x: {} }];

test('validation: no schema refuses any member in the words of the schema library', () => {
  for (const [name, schema] of Object.entries({ ...schemas, ...groupSchemas })) {
    if (!(schema instanceof z.ZodObject)) continue;
    const inputs: unknown[] = [7, null, 'x', []];
    for (const member of Object.keys(schema.shape)) {
      for (const value of WRONG_VALUES) inputs.push({ ...TRANSFER, ...ACCOUNT, [member]: value });
    }
    for (const line of inputs.flatMap((input) => errorsOf(() => parseRequest(schema, input)))) {
      assert.match(line, /: ((`[^`]*`|The body) (must|is missing|is not a key)|unknown members?: `)/, name);
      assert.doesNotMatch(line, /Invalid|expected|received|of another form|is not valid|undefined|NaN/, name);
    }
  }
});

const WRONG_OPTIONS = [
  {
    name: 'url',
    value: 'localhost',
    expected: 'an http or https URL such as http://127.0.0.1:8080, without a user, a query or a fragment',
  },
  { name: 'ledger', value: 'Shop', expected: 'the name of a ledger, such as main' },
  { name: 'yes', value: 'maybe', expected: 'true or false' },
  { name: 'rate', value: 'fast', expected: 'a number from 0.1 to 1000000' },
  { name: 'connections', value: '1.5', expected: 'a whole number from 1 to 10000' },
  { name: 'skew', value: '9', expected: 'a number from 0 to 5' },
];

for (const { name, value, expected } of WRONG_OPTIONS) {
  test(`validation: a command names the wrong option --${name} and what is expected`, () => {
    assert.throws(() => parseArguments(OPTIONS, { [name]: value }), {
      message: `The option --${name} is wrong: it must be ${expected}.`,
    });
  });
}

test('validation: the start names the wrong setting and what is expected', () => {
  assert.throws(() => parseConfig({ LOG_LEVEL: 'loud' }), {
    message: 'The setting LOG_LEVEL "loud" is wrong: it must be trace, debug, info, warn, error, fatal or silent.',
  });
});
