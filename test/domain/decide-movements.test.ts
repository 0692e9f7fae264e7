// Goal: holds, their ends, reversals, groups and conditions follow the rules, in the order in which they refuse.
// Method: a table with a row per case, in that order; then atomic groups, one by one. Random jobs are in
// decide-movements-random.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXTERNAL } from '../../src/domain/account.ts';
import { decide } from '../../src/domain/decide.ts';
import { MONEY_MAX } from '../../src/domain/money.ts';
import { FAILURE_CODES, type FailureCode, type TransferTerms } from '../../src/domain/transfer.ts';
import { account, atomic, codesOf, CONTENT, order, outcomeOf } from './books.ts';

type Completed = {
  amount: bigint;
  /** What the accounts have afterwards: balance and held. */
  [account: string]: bigint | [balance: bigint, held: bigint] | [captured: bigint, released: bigint, state: string];
};
type Case = { name: string; order: Partial<TransferTerms>; expect: FailureCode | Completed };

const capture = (parentId: string, more: Partial<TransferTerms> = {}): Partial<TransferTerms> =>
  about('capture', parentId, more);
const release = (parentId: string, more: Partial<TransferTerms> = {}): Partial<TransferTerms> =>
  about('void', parentId, more);
const expiry = (parentId: string, more: Partial<TransferTerms> = {}): Partial<TransferTerms> =>
  about('expiry', parentId, more);
const reversal = (parentId: string, more: Partial<TransferTerms> = {}): Partial<TransferTerms> => ({
  ...about('reversal', parentId, more),
  fromAccount: 'SHOP',
  toAccount: 'PAYER',
  ...more,
});
const hold = (more: Partial<TransferTerms>): Partial<TransferTerms> => ({ kind: 'hold', ...more });
const when = (fromEntryNumber: bigint | null, minAvailableAfter: bigint | null = null): Partial<TransferTerms> => ({
  conditions: { fromEntryNumber, minAvailableAfter },
});

function about(kind: TransferTerms['kind'], parentId: string, more: Partial<TransferTerms>): Partial<TransferTerms> {
  return { kind, parentId, amount: null, currency: 'USD', ...more };
}

// PAYER has 1000, of which 530 are held: 300 by `whole`, 150 by `part` (200, 50 captured), 80 by `due`. ICY is frozen and has
// 100, all held by `icy`. SHOP has 40. `sale` moved 100 from PAYER to SHOP, 30 of it came back; `undone` came back whole.
const CASES: Case[] = [
  { name: 'capture of no hold', order: capture('nothing'), expect: 'hold_not_open' },
  { name: 'void of no hold', order: release('nothing'), expect: 'hold_not_open' },
  { name: 'capture of a captured hold', order: capture('captured'), expect: 'hold_not_open' },
  { name: 'capture of a voided hold', order: capture('voided', { amount: 1n }), expect: 'hold_not_open' },
  { name: 'capture of an expired hold, which is due as well', order: capture('expired'), expect: 'hold_not_open' },
  { name: 'void of a voided hold', order: release('voided'), expect: 'hold_not_open' },
  { name: 'expiry of a captured hold', order: expiry('captured'), expect: 'hold_not_open' },
  { name: 'expiry of an expired hold', order: expiry('expired'), expect: 'hold_not_open' },

  { name: 'capture of a hold whose time has come', order: capture('due'), expect: 'hold_expired' },
  { name: 'the same, too much', order: capture('due', { amount: 999n }), expect: 'hold_expired' },
  { name: 'the same, from a stranger', order: capture('due', { fromAccount: 'NOSUCH' }), expect: 'hold_expired' },

  { name: 'capture of one unit too much', order: capture('whole', { amount: 301n }), expect: 'exceeds_hold' },
  { name: 'the same of a part', order: capture('part', { amount: 151n }), expect: 'exceeds_hold' },
  { name: 'a final one', order: capture('part', { amount: 151n, finalCapture: true }), expect: 'exceeds_hold' },
  { name: 'too much, frozen', order: capture('icy', { amount: 101n, fromAccount: 'ICY' }), expect: 'exceeds_hold' },

  { name: 'reversal of nothing', order: reversal('nothing'), expect: 'not_reversible' },
  { name: 'the same, too much', order: reversal('nothing', { amount: MONEY_MAX }), expect: 'not_reversible' },

  { name: 'reversal of one unit too much', order: reversal('sale', { amount: 71n }), expect: 'exceeds_original' },
  { name: 'reversal of what came back whole', order: reversal('undone'), expect: 'exceeds_original' },
  { name: 'the same, one unit', order: reversal('undone', { amount: 1n }), expect: 'exceeds_original' },
  {
    name: 'too much, frozen',
    order: reversal('sale', { amount: 71n, fromAccount: 'ICY' }),
    expect: 'exceeds_original',
  },

  {
    name: 'hold of a stranger',
    order: hold({ fromAccount: 'NOSUCH', toAccount: 'NO-SHOP' }),
    expect: 'source_not_found',
  },
  { name: 'hold for a stranger', order: hold({ toAccount: 'NO-SHOP', amount: 999n }), expect: 'destination_not_found' },
  {
    name: 'hold of outside for a stranger',
    order: hold({ fromAccount: EXTERNAL, toAccount: 'NO' }),
    expect: 'destination_not_found',
  },

  {
    name: 'reversal out of a closed account',
    order: reversal('sale', { fromAccount: 'CLOSED', toAccount: 'ICY' }),
    expect: 'source_closed',
  },
  { name: 'hold of a closed account', order: hold({ fromAccount: 'CLOSED', amount: 999n }), expect: 'source_closed' },
  {
    name: 'capture for a closed account',
    order: capture('icy', { fromAccount: 'ICY', toAccount: 'CLOSED' }),
    expect: 'destination_closed',
  },

  { name: 'capture from a frozen account', order: capture('icy', { fromAccount: 'ICY' }), expect: 'source_frozen' },
  {
    name: 'reversal out of a frozen account',
    order: reversal('sale', { fromAccount: 'ICY' }),
    expect: 'source_frozen',
  },
  {
    name: 'hold of an account that only receives',
    order: hold({ fromAccount: 'JAR', toAccount: 'ICY' }),
    expect: 'source_frozen',
  },
  {
    name: 'withdrawal from a frozen account',
    order: { fromAccount: 'ICY', toAccount: EXTERNAL },
    expect: 'source_frozen',
  },
  { name: 'capture for a frozen account', order: capture('whole', { toAccount: 'ICY' }), expect: 'destination_frozen' },
  { name: 'reversal to a frozen account', order: reversal('sale', { toAccount: 'ICY' }), expect: 'destination_frozen' },
  {
    name: 'deposit to a frozen account, currency wrong',
    order: { fromAccount: EXTERNAL, toAccount: 'ICY', currency: 'EUR' },
    expect: 'destination_frozen',
  },

  { name: 'hold over two currencies', order: hold({ toAccount: 'YEN', amount: 999n }), expect: 'currency_mismatch' },
  { name: 'hold in another currency', order: hold({ currency: 'EUR', ...when(9n) }), expect: 'currency_mismatch' },

  { name: 'an entry has come since', order: when(3n), expect: 'entry_number_mismatch' },
  { name: 'an entry is awaited', order: when(5n), expect: 'entry_number_mismatch' },
  { name: 'the same, too much', order: { amount: 999n, ...when(5n, 999n) }, expect: 'entry_number_mismatch' },
  { name: 'hold since when an entry came', order: hold(when(0n)), expect: 'entry_number_mismatch' },

  { name: 'hold of one unit too much', order: hold({ amount: 471n }), expect: 'insufficient_funds' },
  { name: 'transfer of what is held', order: { amount: 471n, ...when(4n, 1n) }, expect: 'insufficient_funds' },
  { name: 'reversal that cannot be paid', order: reversal('sale', { amount: 41n }), expect: 'insufficient_funds' },
  { name: 'the same, of all that is left', order: reversal('sale'), expect: 'insufficient_funds' },

  { name: 'one unit too little is left', order: { amount: 470n, ...when(null, 1n) }, expect: 'min_available_not_met' },
  {
    name: 'hold after which too little is left',
    order: hold({ amount: 400n, ...when(4n, 71n) }),
    expect: 'min_available_not_met',
  },

  {
    name: 'hold beyond the bound',
    order: hold({ fromAccount: EXTERNAL, amount: MONEY_MAX }),
    expect: 'balance_out_of_bounds',
  },
  {
    name: 'reversal into a full account',
    order: reversal('sale', { amount: 1n, toAccount: 'FULL' }),
    expect: 'balance_out_of_bounds',
  },

  { name: 'hold', order: hold({ amount: 70n }), expect: { amount: 70n, PAYER: [1000n, 600n] } },
  { name: 'hold of all there is', order: hold({ amount: 470n }), expect: { amount: 470n, PAYER: [1000n, 1000n] } },
  {
    name: 'hold for one that only receives',
    order: hold({ toAccount: 'JAR' }),
    expect: { amount: 1n, PAYER: [1000n, 531n] },
  },
  {
    name: 'capture of all, not named',
    order: capture('whole'),
    expect: { amount: 300n, PAYER: [700n, 230n], SHOP: [340n, 0n], whole: [300n, 0n, 'captured'] },
  },
  {
    name: 'capture of a part',
    order: capture('whole', { amount: 299n }),
    expect: { amount: 299n, PAYER: [701n, 231n], SHOP: [339n, 0n], whole: [299n, 0n, 'open'] },
  },
  {
    name: 'capture of the last part',
    order: capture('part', { amount: 150n }),
    expect: { amount: 150n, PAYER: [850n, 380n], SHOP: [190n, 0n], part: [200n, 0n, 'captured'] },
  },
  {
    name: 'final capture',
    order: capture('part', { amount: 10n, finalCapture: true }),
    expect: { amount: 10n, PAYER: [990n, 380n], SHOP: [50n, 0n], part: [60n, 140n, 'captured'] },
  },
  {
    name: 'final capture of all',
    order: capture('whole', { finalCapture: true }),
    expect: { amount: 300n, PAYER: [700n, 230n], SHOP: [340n, 0n], whole: [300n, 0n, 'captured'] },
  },
  {
    name: 'capture for one that only receives',
    order: capture('whole', { toAccount: 'JAR', amount: 5n }),
    expect: { amount: 5n, PAYER: [995n, 525n], JAR: [15n, 0n], whole: [5n, 0n, 'open'] },
  },
  {
    name: 'void',
    order: release('whole'),
    expect: { amount: 300n, PAYER: [1000n, 230n], whole: [0n, 300n, 'voided'] },
  },
  {
    name: 'void of a rest',
    order: release('part'),
    expect: { amount: 150n, PAYER: [1000n, 380n], part: [50n, 150n, 'voided'] },
  },
  {
    name: 'void of a hold that is due',
    order: release('due'),
    expect: { amount: 80n, PAYER: [1000n, 450n], due: [0n, 80n, 'voided'] },
  },
  {
    name: 'void of a frozen account for a closed one',
    order: release('icy', { fromAccount: 'ICY', toAccount: 'CLOSED' }),
    expect: { amount: 100n, ICY: [100n, 0n], icy: [0n, 100n, 'voided'] },
  },
  { name: 'expiry', order: expiry('due'), expect: { amount: 80n, PAYER: [1000n, 450n], due: [0n, 80n, 'expired'] } },
  {
    name: 'expiry of a frozen account',
    order: expiry('icy', { fromAccount: 'ICY' }),
    expect: { amount: 100n, ICY: [100n, 0n], icy: [0n, 100n, 'expired'] },
  },
  {
    name: 'reversal',
    order: reversal('sale', { amount: 40n }),
    expect: { amount: 40n, SHOP: [0n, 0n], PAYER: [1040n, 530n], sale: [70n, 0n] },
  },
  {
    name: 'reversal of the rest, not named',
    order: reversal('sale', { fromAccount: 'RICH' }),
    expect: { amount: 70n, RICH: [930n, 0n], PAYER: [1070n, 530n], sale: [100n, 0n] },
  },
  {
    name: 'both conditions met',
    order: { amount: 470n, ...when(4n, 0n) },
    expect: { amount: 470n, PAYER: [530n, 530n], SHOP: [510n, 0n] },
  },
];

for (const { name, order: fields, expect } of CASES) {
  test(`decide: ${name}: ${typeof expect === 'string' ? expect : 'completed'}`, () => {
    const requested = order(fields);
    const { outcomes, changed } = decide([requested], CONTENT);
    const outcome = outcomeOf(outcomes, 0);
    if (typeof expect === 'string') {
      assert.deepEqual(outcome, { ok: false, code: expect, currency: outcome.currency, amount: requested.amount });
      assert.deepEqual(changed, { accounts: [], holds: [], originals: [] });
      return;
    }
    assert.ok(outcome.ok, `it failed: ${JSON.stringify(codesOf(outcomes))}`);
    const found = {
      amount: outcome.amount,
      ...Object.fromEntries(changed.accounts.map((each) => [each.accountNumber, [each.balance, each.held]])),
      ...Object.fromEntries(changed.holds.map((each) => [each.id, [each.captured, each.released, each.state]])),
      ...Object.fromEntries(changed.originals.map((each) => [each.id, [each.reversed, 0n]])),
    };
    assert.deepEqual(found, expect);
    assert.equal(outcome.entries !== null, ['transfer', 'capture', 'reversal'].includes(requested.kind));
  });
}

test('decide: the table of movements has every rule, in the order of the codes', () => {
  const refused = [...new Set(CASES.flatMap(({ expect }) => (typeof expect === 'string' ? [expect] : [])))];
  assert.deepEqual(
    refused,
    FAILURE_CODES.filter((code) => code !== 'group_failed' && code !== 'cannot_be_settled'),
  );
});

test('decide: in one job, a hold is ended once, and what was released can be spent', () => {
  const { outcomes } = decide(
    [
      order(capture('whole', { amount: 200n })),
      order(capture('whole', { amount: 101n })),
      order({ amount: 571n }),
      order(release('whole')),
      order({ amount: 570n }),
      order(capture('whole', { amount: 1n })),
      order(release('whole')),
    ],
    CONTENT,
  );
  const [first, second, third] = ['exceeds_hold', 'insufficient_funds', 'hold_not_open'] as const;
  assert.deepEqual(codesOf(outcomes), [null, first, second, null, null, third, third]);
});

test('decide: in one job, reversals together never exceed the original', () => {
  const parts = [30n, 41n, 40n, 1n].map((amount) => order(reversal('sale', { amount, fromAccount: 'RICH' })));
  const { outcomes, changed } = decide([...parts, order(reversal('sale', { fromAccount: 'RICH' }))], CONTENT);
  assert.deepEqual(codesOf(outcomes), [null, 'exceeds_original', null, 'exceeds_original', 'exceeds_original']);
  assert.deepEqual(changed.originals, [{ id: 'sale', amount: 100n, reversed: 100n }]);
});

test('decide: money passes through an atomic group, and all of it completes', () => {
  const chain = atomic(['PAYER', 'SHOP', 470n], ['SHOP', 'EMPTY', 510n], ['EMPTY', EXTERNAL, 510n]);
  const { outcomes, changed } = decide(chain, CONTENT);
  assert.deepEqual(codesOf(outcomes), [null, null, null]);
  assert.equal(changed.accounts.find(({ accountNumber }) => accountNumber === 'EMPTY')?.entryCount, 2n);
});

for (const culprit of [0, 1, 2, 3]) {
  test(`decide: an atomic group whose member ${culprit} is refused changes nothing, not even for the orders after it`, () => {
    const good = ['PAYER', 'SHOP', 10n] as const;
    const legs = [good, good, good, good].map((leg, index) =>
      index === culprit ? (['EMPTY', 'PAYER', 1n] as const) : leg,
    );
    const { outcomes, changed } = decide([...atomic(...legs), order({ amount: 470n })], CONTENT);
    const expected = legs.map((_, index) => (index === culprit ? 'insufficient_funds' : 'group_failed'));
    assert.deepEqual(codesOf(outcomes), [...expected, null]);
    assert.deepEqual(changed, decide([order({ amount: 470n })], CONTENT).changed);
    for (const outcome of outcomes) assert.equal(outcome.currency, 'USD');
  });
}

test('decide: of an atomic group with two wrong members, the first has its own code', () => {
  const { outcomes } = decide(atomic(['PAYER', 'SHOP', 1n], ['NOSUCH', 'SHOP', 1n], ['ICY', 'SHOP', 1n]), CONTENT);
  assert.deepEqual(codesOf(outcomes), ['group_failed', 'source_not_found', 'group_failed']);
});

test('decide: two adjacent atomic groups are separate', () => {
  const first = atomic(['PAYER', 'SHOP', 1n], ['EMPTY', 'SHOP', 1n]);
  const second = atomic(['PAYER', 'EMPTY', 1n], ['EMPTY', 'SHOP', 1n]);
  const { outcomes } = decide([...first, ...second], CONTENT);
  assert.deepEqual(codesOf(outcomes), ['group_failed', 'insufficient_funds', null, null]);
});

test('decide: a failed group does not undo the changes before it', () => {
  const before = [order({ amount: 5n }), order(capture('whole', { amount: 7n }))];
  const { changed } = decide([...before, ...atomic(['PAYER', 'SHOP', 9n], ['EMPTY', 'RICH', 1n])], CONTENT);
  assert.deepEqual(changed, decide(before, CONTENT).changed);
});

test('decide: the members of a group that is not atomic end independently', () => {
  const legs = atomic(['EMPTY', 'SHOP', 1n], ['PAYER', 'EMPTY', 2n], ['EMPTY', 'SHOP', 3n], ['EMPTY', 'SHOP', 2n]);
  const apart = legs.map((leg) => ({ ...leg, group: leg.group && { ...leg.group, atomic: false } }));
  const { outcomes } = decide(apart, CONTENT);
  assert.deepEqual(codesOf(outcomes), ['insufficient_funds', null, 'insufficient_funds', null]);
});

test('decide: a condition in a group sees the changes of the members before it', () => {
  const [first, second] = atomic(['PAYER', 'SHOP', 1n], ['PAYER', 'SHOP', 1n]);
  assert.ok(first && second);
  const met = decide(
    [
      { ...first, ...when(4n) },
      { ...second, ...when(5n) },
    ],
    CONTENT,
  );
  assert.deepEqual(codesOf(met.outcomes), [null, null]);
  const missed = decide(
    [
      { ...first, ...when(4n) },
      { ...second, ...when(4n) },
    ],
    CONTENT,
  );
  assert.deepEqual(codesOf(missed.outcomes), ['group_failed', 'entry_number_mismatch']);
});

test('decide: a thousand members pass on the money of the first, or none does', () => {
  const names = Array.from({ length: 1001 }, (_, index) => `N${index}`);
  const content = {
    ...CONTENT,
    accounts: names.map((name, index) => account(name, { balance: index === 0 ? 5n : 0n })),
  };
  const legs = names.slice(1).map((name, index) => [names[index] ?? '', name, 5n] as const);
  assert.ok(decide(atomic(...legs), content).outcomes.every(({ ok }) => ok));
  const broken = decide(atomic(...legs.slice(1)), content);
  assert.equal(broken.outcomes.filter((outcome) => !outcome.ok && outcome.code === 'group_failed').length, 998);
  assert.deepEqual(broken.changed, { accounts: [], holds: [], originals: [] });
});
