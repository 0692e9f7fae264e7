// Goal: the form that the journal's hashes cover never changes, and differs for any two different transfers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import type { LockedTransfer } from '../../src/domain/job.ts';
import { renderRecord } from '../../src/domain/record.ts';
import { FAILURE_CODES, type Outcome, TRANSFER_KINDS } from '../../src/domain/transfer.ts';
import { checkProperty } from '../support/property.ts';

const TRANSFER: LockedTransfer = {
  id: '0192f0c4-0000-7000-8000-000000000001',
  fromAccount: 'ANN',
  toAccount: 'BOB',
  amount: null,
  currency: null,
  kind: 'transfer',
  parentId: null,
  group: null,
  conditions: null,
  finalCapture: false,
  expiresIn: null,
  remoteAccount: null,
  requestId: 'request-1',
  by: { orderedBy: 'key1', approvedBy: 'key2' },
  rate: null,
  description: 'Käse & Brot 🧀',
  metadataText: '{"order": "7"}',
  createdAtMicros: 1_795_341_599_999_999n,
};
const COMPLETED: Outcome = {
  ok: true,
  currency: 'EUR',
  amount: 9_007_199_254_740_991n,
  entries: { fromEntryNumber: 12n, fromBalance: -5n, toEntryNumber: 1n, toBalance: 0n },
};
/** The last eleven fields of a plain transfer: its kind, eight empty ones, and who ordered and approved it. */
const PLAIN = '\u001ftransfer\u001f\u001f\u001f\u001f\u001f\u001f\u001f\u001f\u001fkey1\u001fkey2\u001e';

test('record: a completed transfer has 26 fields', () => {
  assert.equal(
    renderRecord(TRANSFER, COMPLETED),
    '0192f0c4-0000-7000-8000-000000000001\u001fANN\u001fBOB\u001f9007199254740991\u001fEUR\u001fcompleted\u001f\u001frequest-1' +
      '\u001fKäse & Brot 🧀\u001f{"order": "7"}\u001f1795341599999999\u001f12\u001f-5\u001f1\u001f0' +
      PLAIN,
  );
});

test('record: a failed transfer has its code, and empty fields where it has no entries', () => {
  assert.equal(
    renderRecord(
      { ...TRANSFER, fromAccount: '@external', requestId: null, description: null, metadataText: null },
      { ok: false, code: 'destination_not_found', currency: null, amount: 1n },
    ),
    '0192f0c4-0000-7000-8000-000000000001\u001f@external\u001fBOB\u001f1\u001f\u001ffailed\u001fdestination_not_found' +
      '\u001f\u001f\u001f\u001f1795341599999999\u001f\u001f\u001f\u001f' +
      PLAIN,
  );
});

test('record: the last fields describe captures, groups, holds, conditions and keys', () => {
  const lastFields = (fields: Partial<LockedTransfer>) =>
    renderRecord({ ...TRANSFER, ...fields }, COMPLETED)
      .slice(0, -1)
      .split('\u001f')
      .slice(15);
  const group = { id: 'group', position: 2, atomic: true };
  assert.deepEqual(lastFields({ kind: 'capture', parentId: 'hold', group, finalCapture: true }), [
    'capture',
    'hold',
    'group',
    '2',
    'true',
    'true',
    '',
    '',
    '',
    'key1',
    'key2',
  ]);
  assert.deepEqual(lastFields({ kind: 'hold', expiresIn: 60 }), [
    'hold',
    '',
    '',
    '',
    '',
    '',
    '60',
    '',
    '',
    'key1',
    'key2',
  ]);
  const conditions = { fromEntryNumber: 7n, minAvailableAfter: -3n };
  assert.deepEqual(lastFields({ conditions }), ['transfer', '', '', '', '', '', '', '7', '-3', 'key1', 'key2']);
});

test('record: only a transfer with a rate has a field more', () => {
  const record = renderRecord({ ...TRANSFER, rate: 'EUR/USD 1.0825' }, COMPLETED);
  assert.equal(record, renderRecord(TRANSFER, COMPLETED).replace('\u001e', '\u001fEUR/USD 1.0825\u001e'));
});

test('record: only a step of a transfer between ledgers has the account there, which is never a rate', () => {
  const record = renderRecord({ ...TRANSFER, remoteAccount: 'EUR' }, COMPLETED);
  assert.equal(record, renderRecord(TRANSFER, COMPLETED).replace('\u001e', '\u001fremote:EUR\u001e'));
});

test('record: the currency is that of the outcome, not of the request', () => {
  const fields = renderRecord({ ...TRANSFER, currency: 'USD' }, COMPLETED).split('\u001f');
  assert.equal(fields[4], 'EUR');
  assert.equal(fields.length, 26);
});

/** As the schemas accept text: not empty, no control characters. Few characters, so that fields are often equal. */
const text = fc.string({ unit: fc.constantFrom('a', ',', '|', '"', 'ä'), minLength: 1, maxLength: 2 });
const perhaps = fc.option(text, { nil: null, freq: 2 });
const small = fc.bigInt({ min: 0n, max: 2n });
const input = plain({
  parties: plain({
    id: text,
    fromAccount: text,
    toAccount: text,
    parentId: perhaps,
    kind: fc.constantFrom(...TRANSFER_KINDS),
  }),
  details: plain({ requestId: perhaps, description: perhaps, metadataText: perhaps, createdAtMicros: small }),
  by: plain({ orderedBy: perhaps, approvedBy: perhaps, rate: perhaps }),
  outcome: fc.oneof(
    plain({
      ok: fc.constant(true as const),
      currency: text,
      amount: small,
      entries: fc.option(
        plain({ fromEntryNumber: small, fromBalance: small, toEntryNumber: small, toBalance: small }),
        { nil: null },
      ),
    }),
    plain({
      ok: fc.constant(false as const),
      code: fc.constantFrom(...FAILURE_CODES),
      currency: perhaps,
      amount: fc.option(small, { nil: null }),
    }),
  ),
});
type Input = typeof input extends fc.Arbitrary<infer Value> ? Value : never;

test('record: two records are equal only if their transfers and outcomes are equal', (t) => {
  // One part of the second differs from the first, or none: two that differ everywhere would prove little.
  const pair = fc
    .tuple(input, input, fc.constantFrom('parties', 'details', 'by', 'outcome'))
    .map(([first, other, part]): [Input, Input] => [first, { ...first, [part]: other[part] }]);
  checkProperty(
    t,
    fc.property(pair, ([first, second]) => {
      assert.equal(render(first) === render(second), isDeepStrictEqual(first, second));
    }),
    1000,
  );
});

test('record: text cannot be shifted between two neighboring fields', (t) => {
  const neighbors = fc.tuple(input, text, text, perhaps);
  checkProperty(
    t,
    fc.property(neighbors, ([base, left, right, other]) => {
      const together = { ...base, details: { ...base.details, requestId: left + right, description: other } };
      const apart = { ...base, details: { ...base.details, requestId: left, description: right + (other ?? '') } };
      assert.notEqual(render(together), render(apart));
    }),
    1000,
  );
});

test('record: a sequence of records can be parsed in one way only', (t) => {
  checkProperty(
    t,
    fc.property(fc.array(input, { maxLength: 5 }), (inputs) => {
      const rows = inputs.map(render).join('').split('\u001e');
      assert.equal(rows.pop(), '');
      assert.deepEqual(
        rows,
        inputs.map((each) => render(each).slice(0, -1)),
      );
      assert.deepEqual(
        rows.map((row) => row.split('\u001f').length),
        inputs.map(({ by: { rate } }) => (rate === null ? 26 : 27)),
      );
    }),
    1000,
  );
});

/** A record that is an ordinary object: by default, fast-check makes some without a prototype. */
function plain<Value extends object>(fields: { [Key in keyof Value]: fc.Arbitrary<Value[Key]> }): fc.Arbitrary<Value> {
  return fc.record<Value>(fields, { noNullPrototype: true });
}

function render({ parties, details, by: { rate, ...by }, outcome }: Input): string {
  return renderRecord({ ...TRANSFER, ...parties, ...details, by, rate }, outcome);
}
