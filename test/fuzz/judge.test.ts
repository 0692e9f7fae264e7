// Goal: the judge finds internals in the text of a problem, and does not take a caller's own words for them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { internalsIn } from './judge.ts';

const INTERNAL: readonly (readonly [text: string, found: string])[] = [
  ['new row violates a rule of the table', 'violates'],
  ['insert into transfers (id) values ($1)', 'insert into'],
  ['at settleJob (file:///srv/settle.ts:1:2)', 'at settleJob (file:'],
  ['TypeError: x is undefined', 'TypeError'],
  ['connect ECONNREFUSED /run/socket', 'ECONNREFUSED'],
  ['getaddrinfo ENOTFOUND db', 'ENOTFOUND'],
  ['write EPIPE', 'EPIPE'],
  ['Invalid input: expected string, received null', 'Invalid input'],
  ['`amount` must match pattern /x/', 'must match pattern'],
];

for (const [text, found] of INTERNAL) {
  test(`fuzz: the judge finds internals in "${text}"`, () => {
    assert.equal(internalsIn(text), found);
  });
}

test("fuzz: the judge allows every name that a caller chose, and the service's own words", () => {
  for (const text of [
    'unknown parameter: `EAAAA`',
    'unknown parameters: `EPIPE`, `a`TypeError`, `select',
    'unknown member: `constraint`',
    '`E`ZodError` must be text',
    'The host EABCD is not allowed: add it to the setting ALLOWED_HOSTS, or use an address.',
    'There is no transfer with this id.',
  ]) {
    assert.equal(internalsIn(text), null, text);
  }
});
