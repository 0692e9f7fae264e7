// Goal: a transfer between ledgers holds, credits and captures by the rules of each ledger, and only the courier ends it.
// Method: cases one by one, on books with accounts of another ledger.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { Account, AccountStatus } from '../../src/domain/account.ts';
import { contraOf, isOwnedByService, ledgerOf, sidesOf, stepText, toStepId } from '../../src/domain/between-ledgers.ts';
import { decide } from '../../src/domain/decide.ts';
import { MONEY_MAX } from '../../src/domain/money.ts';
import type { TransferTerms, Outcome } from '../../src/domain/transfer.ts';
import { checkProperty } from '../support/property.ts';
import { account, order } from './books.ts';

const T = '0192f0c4-0000-7000-8000-00000000000a';
const THERE = contraOf('there');

/** X has 100, of which 30 are held for a transfer to the other ledger. */
function booksOf(fields: { x?: Partial<Account>; there?: Partial<Account> } = {}) {
  return {
    accounts: [
      account('X', { balance: 100n, held: 30n, entryCount: 1n, ...fields.x }),
      account(THERE, { balance: -5n, entryCount: 2n, ...fields.there }),
      account(THERE, { currency: 'EUR', balance: 7n }),
    ],
    holds: [{ id: T, amount: 30n, state: 'open' as const, captured: 0n, released: 0n, due: false }],
    originals: [{ id: 'captured', amount: 30n, reversed: 0n }],
  };
}

function decideOne(
  fields: Partial<TransferTerms>,
  books = booksOf(),
): { outcome: Outcome | undefined; changed: object } {
  const { outcomes, changed } = decide([order(fields)], books);
  return { outcome: outcomes[0], changed };
}

const hold = (fields: Partial<TransferTerms> = {}): Partial<TransferTerms> => ({
  kind: 'hold',
  fromAccount: 'X',
  toAccount: THERE,
  remoteAccount: 'Y',
  amount: 20n,
  ...fields,
});
const end = (kind: 'capture' | 'void' | 'expiry', fields: Partial<TransferTerms> = {}): Partial<TransferTerms> => ({
  kind,
  parentId: T,
  fromAccount: 'X',
  toAccount: THERE,
  remoteAccount: kind === 'expiry' ? null : 'Y',
  amount: null,
  currency: 'USD',
  ...fields,
});
const codeOf = ({ outcome }: { outcome: Outcome | undefined }) => (outcome?.ok === false ? outcome.code : 'completed');

test('between ledgers: a hold reserves money of its account, and none of the other ledger', () => {
  const { outcome, changed } = decideOne(hold());
  assert.deepEqual(outcome, { ok: true, currency: 'USD', amount: 20n, entries: null });
  assert.deepEqual(changed, {
    accounts: [account('X', { balance: 100n, held: 50n, entryCount: 1n })],
    holds: [],
    originals: [],
  });
  assert.equal(codeOf(decideOne(hold({ amount: 71n }))), 'insufficient_funds');
  assert.equal(codeOf(decideOne(hold({ currency: 'EUR' }))), 'currency_mismatch');
  assert.equal(codeOf(decideOne(hold({ fromAccount: 'NOSUCH' }))), 'source_not_found');
});

test('between ledgers: a capture moves the held money to the account of the other ledger', () => {
  const { outcome } = decideOne(end('capture'));
  assert.deepEqual(outcome, {
    ok: true,
    currency: 'USD',
    amount: 30n,
    entries: { fromEntryNumber: 2n, fromBalance: 70n, toEntryNumber: 3n, toBalance: 25n },
  });
});

test('between ledgers: a capture succeeds whatever has happened to its account since', () => {
  for (const status of ['open', 'receive_only', 'frozen'] satisfies AccountStatus[]) {
    assert.equal(codeOf(decideOne(end('capture'), booksOf({ x: { status } }))), 'completed', status);
    assert.equal(codeOf(decideOne(end('void'), booksOf({ x: { status } }))), 'completed', status);
  }
  // The other half of the range of balances is for captures.
  const full = (MONEY_MAX + 1n) / 2n;
  assert.equal(codeOf(decideOne(end('capture'), booksOf({ there: { balance: full } }))), 'completed');
});

test('between ledgers: a hold is refused that would leave no room for captures', () => {
  const full = (MONEY_MAX + 1n) / 2n;
  const at = (balance: bigint) => codeOf(decideOne(hold(), booksOf({ there: { balance } })));
  assert.equal(at(full - 20n), 'completed');
  assert.equal(at(full - 19n), 'balance_out_of_bounds');
  assert.equal(at(-full - 21n), 'balance_out_of_bounds');
});

test('between ledgers: only the courier ends the hold', () => {
  for (const kind of ['capture', 'void', 'expiry'] as const) {
    const { outcome, changed } = decideOne(end(kind, { remoteAccount: null }));
    assert.equal(outcome?.ok === false ? outcome.code : null, 'hold_not_open', kind);
    assert.deepEqual(changed, { accounts: [], holds: [], originals: [] });
  }
  assert.equal(codeOf(decideOne(end('void'))), 'completed');
});

test('between ledgers: no step is reversed', () => {
  const reversal = { kind: 'reversal', parentId: 'captured', amount: 1n, currency: 'USD' } as const;
  assert.equal(codeOf(decideOne({ ...reversal, fromAccount: THERE, toAccount: 'X' })), 'not_reversible');
  assert.equal(codeOf(decideOne({ ...reversal, fromAccount: 'X', toAccount: THERE })), 'not_reversible');
});

test('between ledgers: a credit needs no money, and is refused by the rules of its account', () => {
  const credit = (fields: Partial<TransferTerms> = {}): Partial<TransferTerms> => ({
    fromAccount: THERE,
    toAccount: 'X',
    remoteAccount: 'Z',
    amount: 50n,
    currency: 'USD',
    ...fields,
  });
  assert.equal(codeOf(decideOne(credit())), 'completed');
  assert.equal(codeOf(decideOne(credit({ toAccount: 'NOSUCH' }))), 'destination_not_found');
  assert.equal(codeOf(decideOne(credit({ currency: 'EUR' }))), 'currency_mismatch');
  assert.equal(codeOf(decideOne(credit(), booksOf({ x: { status: 'frozen' } }))), 'destination_frozen');
  assert.equal(codeOf(decideOne(credit(), booksOf({ x: { status: 'receive_only' } }))), 'completed');
  assert.equal(codeOf(decideOne(credit(), booksOf({ there: { balance: -MONEY_MAX } }))), 'balance_out_of_bounds');
});

test('between ledgers: the account of a ledger is named after it, and no caller can name one', () => {
  assert.equal(THERE, '@ledger:there');
  assert.equal(ledgerOf(THERE), 'there');
  assert.equal(ledgerOf('@external'), null);
  assert.deepEqual(['@external', THERE, 'ledger:there', 'X'].map(isOwnedByService), [true, true, false, false]);
  assert.deepEqual(sidesOf({ fromAccount: 'X', toAccount: THERE, remoteAccount: 'Y' }), {
    from: 'X',
    to: 'Y',
    fromLedger: null,
    toLedger: 'there',
  });
});

test('between ledgers: the id of a step is a UUID of version 8 that follows from the transfer', (t) => {
  const idOf = (step: 'capture' | 'void', id = T) => toStepId(createHash('sha256').update(stepText(id, step)).digest());
  assert.equal(stepText(T, 'capture'), `${T}:capture`);
  assert.equal(idOf('capture'), 'a490264d-46b6-8d26-9f87-3e6e86347228');
  assert.equal(idOf('void'), 'e0a18e28-5795-8031-b8cd-55253c483efc');
  checkProperty(
    t,
    fc.property(fc.uuid(), (id) => {
      assert.match(idOf('void', id), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }),
    100,
  );
});
