// Goal: a thread reads the openings that the main process sent. Method: whatever is sent comes back the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newExternal } from '../../src/domain/account.ts';
import { fromOpeningColumns, toOpeningColumns, type UnitOpening } from '../../src/domain/opening.ts';
import { BY_SERVICE } from '../../src/domain/transfer.ts';

const PLAIN: UnitOpening = {
  unit: 0,
  account: {
    accountNumber: 'ANN',
    currency: 'USD',
    personalData: { name: 'Ann', email: null, phone: null, dateOfBirth: null },
    key: 'ab',
    overdraftLimit: 0n,
    metadata: {},
  },
  by: BY_SERVICE,
};
const FULL: UnitOpening = {
  unit: 1,
  account: {
    accountNumber: 'BOB',
    currency: 'EUR',
    personalData: { name: 'Bob', email: 'bob@example.com', phone: '+15550100', dateOfBirth: '1990-01-31' },
    key: 'cd',
    overdraftLimit: 9_007_199_254_740_991n,
    metadata: JSON.parse('{"__proto__": "a", "note": "\\u0000\\"ü"}'),
  },
  by: { orderedBy: 'key_1', approvedBy: 'key_2' },
};
const EXTERNAL: UnitOpening = { unit: 1, account: newExternal('JPY'), by: BY_SERVICE };

for (const [name, openings] of Object.entries({
  none: [],
  'without optional fields': [PLAIN, PLAIN],
  'with all fields': [FULL],
  'a mixture': [PLAIN, FULL, EXTERNAL, PLAIN],
})) {
  test(`opening: columns keep every field: ${name}`, () => {
    assert.deepEqual(fromOpeningColumns(structuredClone(toOpeningColumns(openings))), openings);
  });
}

test('opening: a field without values is one null', () => {
  const { email, phone, dateOfBirth, overdraftLimit, metadata, orderedBy, approvedBy } = toOpeningColumns([PLAIN]);
  assert.deepEqual(
    [email, phone, dateOfBirth, overdraftLimit, metadata, orderedBy, approvedBy],
    Array.from({ length: 7 }, () => null),
  );
});
