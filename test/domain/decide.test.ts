// Goal: the rules of a transfer are exactly those of the design, in its order, and no job breaks the books. Method: a
// table with a row per case, whose order is the order in which the rules refuse; then properties on random jobs. A
// property that fails prints its seed and path: run it again with FAST_CHECK_SEED and FAST_CHECK_PATH set to them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type Account, availableOf, EXTERNAL } from '../../src/domain/account.ts';
import { decide as decideJob } from '../../src/domain/decide.ts';
import { isExact, MONEY_MAX } from '../../src/domain/money.ts';
import {
  type EntryPair,
  FAILURE_CODES,
  type FailureCode,
  type TransferTerms,
  type Outcome,
} from '../../src/domain/transfer.ts';
import { checkProperty } from '../support/property.ts';

/** The outcome of a transfer with its entries: these orders only move money. */
type Ended = (Extract<Outcome, { ok: true }> & EntryPair) | Extract<Outcome, { ok: false }>;
type Decision = { readonly outcomes: readonly Ended[]; readonly moved: readonly Account[] };

/** An order that names its amount. */
type PlainOrder = TransferTerms & { readonly amount: bigint };

/** The rules that can refuse a plain transfer; decide-movements.test.ts has the others. */
const RULES: readonly FailureCode[] = [
  'source_not_found',
  'destination_not_found',
  'source_closed',
  'destination_closed',
  'currency_mismatch',
  'insufficient_funds',
  'balance_out_of_bounds',
];

/** Decides a job of plain transfers, on accounts alone. */
function decide(orders: readonly TransferTerms[], accounts: readonly Account[]): Decision {
  const { outcomes, changed } = decideJob(orders, { accounts, holds: [], originals: [] });
  assert.deepEqual([changed.holds, changed.originals], [[], []]);
  const ended = outcomes.map((outcome): Ended => {
    if (!outcome.ok) return outcome;
    assert.ok(outcome.entries, 'A transfer that moves money has entries.');
    return { ...outcome, ...outcome.entries };
  });
  return { outcomes: ended, moved: changed.accounts };
}

const ANN = account({ accountNumber: 'ANN', balance: 1000n, entryCount: 4n });
const BOB = account({ accountNumber: 'BOB', balance: 50n, entryCount: 1n });
const EMPTY = account({ accountNumber: 'EMPTY' });
const YEN = account({ accountNumber: 'YEN', currency: 'JPY', balance: 700n });
const CLOSED = account({ accountNumber: 'CLOSED', status: 'closed' });
const CLOSED_YEN = account({ accountNumber: 'CLOSED_YEN', status: 'closed', currency: 'JPY' });
const OVERDRAFT = account({ accountNumber: 'OVERDRAFT', balance: 20n, overdraftLimit: 80n });
const DRAWN = account({ accountNumber: 'DRAWN', balance: -30n, overdraftLimit: 80n });
const HELD = account({ accountNumber: 'HELD', balance: 100n, held: 60n });
const FULL = account({ accountNumber: 'FULL', balance: MONEY_MAX });
const DEEP = account({ accountNumber: 'DEEP', balance: -MONEY_MAX + 5n, overdraftLimit: MONEY_MAX });
const WIDE = account({ accountNumber: 'WIDE', balance: -MONEY_MAX + 5n, overdraftLimit: 2n * MONEY_MAX });
const WORLD_USD = account({ accountNumber: EXTERNAL, balance: -10n, entryCount: 9n });
const WORLD_JPY = account({ accountNumber: EXTERNAL, currency: 'JPY', balance: -700n, entryCount: 2n });
const OWN = [ANN, BOB, EMPTY, YEN, CLOSED, CLOSED_YEN, OVERDRAFT, DRAWN, HELD, FULL, DEEP, WIDE];
const ACCOUNTS = [...OWN, WORLD_USD, WORLD_JPY];

type Expected = FailureCode | { fromBalance: bigint; toBalance: bigint };
type Case = {
  name: string;
  from: string;
  to: string;
  amount?: bigint;
  currency?: string;
  expect: Expected;
};

/** In the order in which the rules refuse. Each rule first alone, then together with rules that come after it. */
const CASES: Case[] = [
  { name: 'unknown source', from: 'NOSUCH', to: 'BOB', expect: 'source_not_found' },
  { name: 'unknown source, and destination too', from: 'NOSUCH', to: 'NOSUCH_2', expect: 'source_not_found' },
  { name: 'unknown source, closed destination', from: 'NOSUCH', to: 'CLOSED', expect: 'source_not_found' },
  {
    name: 'unknown source, unused currency',
    from: 'NOSUCH',
    to: 'BOB',
    currency: 'CHF',
    expect: 'source_not_found',
  },
  { name: 'unknown source paying out', from: 'NOSUCH', to: EXTERNAL, expect: 'source_not_found' },
  { name: 'the name of an inherited property as source', from: 'constructor', to: 'BOB', expect: 'source_not_found' },

  { name: 'unknown destination', from: 'ANN', to: 'NOSUCH', expect: 'destination_not_found' },
  { name: 'unknown destination, closed source', from: 'CLOSED', to: 'NOSUCH', expect: 'destination_not_found' },
  { name: 'unknown destination, too much', from: 'ANN', to: 'NOSUCH', amount: 1001n, expect: 'destination_not_found' },
  {
    name: 'unknown destination, unused currency',
    from: 'ANN',
    to: 'NOSUCH',
    currency: 'CHF',
    expect: 'destination_not_found',
  },
  { name: 'unknown destination of a deposit', from: EXTERNAL, to: 'NOSUCH', expect: 'destination_not_found' },
  {
    name: 'unknown destination of a deposit, currency named',
    from: EXTERNAL,
    to: 'NOSUCH',
    currency: 'USD',
    expect: 'destination_not_found',
  },

  { name: 'closed source', from: 'CLOSED', to: 'BOB', expect: 'source_closed' },
  { name: 'closed source and destination', from: 'CLOSED', to: 'CLOSED_YEN', expect: 'source_closed' },
  { name: 'closed source, another currency', from: 'CLOSED', to: 'YEN', expect: 'source_closed' },
  { name: 'closed source paying out', from: 'CLOSED', to: EXTERNAL, expect: 'source_closed' },

  { name: 'closed destination', from: 'ANN', to: 'CLOSED', expect: 'destination_closed' },
  { name: 'closed destination, another currency', from: 'ANN', to: 'CLOSED_YEN', expect: 'destination_closed' },
  { name: 'closed destination, too much', from: 'ANN', to: 'CLOSED', amount: 1001n, expect: 'destination_closed' },
  { name: 'closed destination of a deposit', from: EXTERNAL, to: 'CLOSED', expect: 'destination_closed' },

  { name: 'two currencies', from: 'ANN', to: 'YEN', expect: 'currency_mismatch' },
  { name: 'two currencies, the first one named', from: 'ANN', to: 'YEN', currency: 'USD', expect: 'currency_mismatch' },
  {
    name: 'two currencies, the second one named',
    from: 'ANN',
    to: 'YEN',
    currency: 'JPY',
    expect: 'currency_mismatch',
  },
  { name: 'one currency, another named', from: 'ANN', to: 'BOB', currency: 'EUR', expect: 'currency_mismatch' },
  {
    name: 'a deposit that names another currency',
    from: EXTERNAL,
    to: 'YEN',
    currency: 'USD',
    expect: 'currency_mismatch',
  },
  {
    name: 'a withdrawal that names another currency',
    from: 'YEN',
    to: EXTERNAL,
    currency: 'USD',
    expect: 'currency_mismatch',
  },
  { name: 'two currencies, too much', from: 'ANN', to: 'YEN', amount: 1001n, expect: 'currency_mismatch' },

  { name: 'one unit too much', from: 'ANN', to: 'BOB', amount: 1001n, expect: 'insufficient_funds' },
  { name: 'nothing there', from: 'EMPTY', to: 'BOB', expect: 'insufficient_funds' },
  {
    name: 'one unit more than the overdraft limit',
    from: 'OVERDRAFT',
    to: 'BOB',
    amount: 101n,
    expect: 'insufficient_funds',
  },
  {
    name: 'one unit more than is left of the overdraft',
    from: 'DRAWN',
    to: 'BOB',
    amount: 51n,
    expect: 'insufficient_funds',
  },
  { name: 'one unit of what is held', from: 'HELD', to: 'BOB', amount: 41n, expect: 'insufficient_funds' },
  { name: 'a withdrawal of too much', from: 'ANN', to: EXTERNAL, amount: 1001n, expect: 'insufficient_funds' },
  { name: 'too much, into a full account', from: 'ANN', to: 'FULL', amount: 1001n, expect: 'insufficient_funds' },

  { name: 'one unit into a full account', from: 'ANN', to: 'FULL', expect: 'balance_out_of_bounds' },
  {
    name: 'a source that would fall below the bound',
    from: 'WIDE',
    to: 'BOB',
    amount: 6n,
    expect: 'balance_out_of_bounds',
  },
  {
    name: 'a deposit that takes the world below the bound',
    from: EXTERNAL,
    to: 'EMPTY',
    amount: MONEY_MAX - 9n,
    expect: 'balance_out_of_bounds',
  },
  { name: 'a deposit into a full account', from: EXTERNAL, to: 'FULL', expect: 'balance_out_of_bounds' },

  { name: 'all there is', from: 'ANN', to: 'BOB', amount: 1000n, expect: { fromBalance: 0n, toBalance: 1050n } },
  {
    name: 'a part, currency named',
    from: 'ANN',
    to: 'BOB',
    currency: 'USD',
    amount: 1n,
    expect: { fromBalance: 999n, toBalance: 51n },
  },
  {
    name: 'the whole overdraft',
    from: 'OVERDRAFT',
    to: 'BOB',
    amount: 100n,
    expect: { fromBalance: -80n, toBalance: 150n },
  },
  {
    name: 'the rest of the overdraft',
    from: 'DRAWN',
    to: 'BOB',
    amount: 50n,
    expect: { fromBalance: -80n, toBalance: 100n },
  },
  { name: 'all that is not held', from: 'HELD', to: 'BOB', amount: 40n, expect: { fromBalance: 60n, toBalance: 90n } },
  {
    name: 'to an account with a hold',
    from: 'ANN',
    to: 'HELD',
    amount: 5n,
    expect: { fromBalance: 995n, toBalance: 105n },
  },
  {
    name: 'down to the bound',
    from: 'DEEP',
    to: 'BOB',
    amount: 5n,
    expect: { fromBalance: -MONEY_MAX, toBalance: 55n },
  },
  {
    name: 'the largest amount',
    from: 'FULL',
    to: 'EMPTY',
    amount: MONEY_MAX,
    expect: { fromBalance: 0n, toBalance: MONEY_MAX },
  },
  { name: 'a deposit', from: EXTERNAL, to: 'ANN', amount: 5n, expect: { fromBalance: -15n, toBalance: 1005n } },
  {
    name: 'a deposit down to the bound',
    from: EXTERNAL,
    to: 'EMPTY',
    amount: MONEY_MAX - 10n,
    expect: { fromBalance: -MONEY_MAX, toBalance: MONEY_MAX - 10n },
  },
  {
    name: 'a deposit in another currency',
    from: EXTERNAL,
    to: 'YEN',
    amount: 5n,
    expect: { fromBalance: -705n, toBalance: 705n },
  },
  { name: 'a withdrawal', from: 'ANN', to: EXTERNAL, amount: 5n, expect: { fromBalance: 995n, toBalance: -5n } },
  {
    name: 'a withdrawal in another currency, named',
    from: 'YEN',
    to: EXTERNAL,
    currency: 'JPY',
    amount: 700n,
    expect: { fromBalance: 0n, toBalance: 0n },
  },
];

for (const { name, from, to, amount = 1n, currency, expect } of CASES) {
  test(`decide: ${name}: ${typeof expect === 'string' ? expect : 'completed'}`, () => {
    const { outcomes, moved } = decide([order({ from, to, amount, currency })], ACCOUNTS);
    const [outcome] = outcomes;
    assert.equal(outcomes.length, 1);
    assert.ok(outcome);
    if (typeof expect === 'string') {
      assert.deepEqual({ ok: outcome.ok, code: codeOf(outcome) }, { ok: false, code: expect });
      assert.deepEqual(moved, []);
      return;
    }
    assert.ok(outcome.ok, codeOf(outcome) ?? '');
    assert.equal(outcome.fromBalance, expect.fromBalance);
    assert.equal(outcome.toBalance, expect.toBalance);
    const numbers = moved.map(({ entryCount }) => entryCount);
    assert.deepEqual(numbers, [outcome.fromEntryNumber, outcome.toEntryNumber]);
    assert.deepEqual(
      numbers,
      moved.map(entryCountBefore).map((before) => before + 1n),
    );
    assert.deepEqual(
      moved.map((account) => [account.accountNumber, account.currency, account.balance]),
      [
        [from, outcome.currency, expect.fromBalance],
        [to, outcome.currency, expect.toBalance],
      ],
    );
  });
}

test('decide: the table has a case for each rule, in the order of the rules', () => {
  const ofTable = [...new Set(CASES.flatMap(({ expect }) => (typeof expect === 'string' ? [expect] : [])))];
  assert.deepEqual(ofTable, RULES);
  assert.deepEqual(
    FAILURE_CODES.filter((code) => ofTable.includes(code)),
    ofTable,
  );
});

test('decide: a refusal has the currency if it is known', () => {
  const currencies = decide(
    [
      order({ from: 'NOSUCH', to: 'NOSUCH_2' }),
      order({ from: 'NOSUCH', to: 'NOSUCH_2', currency: 'CHF' }),
      order({ from: 'NOSUCH', to: 'YEN' }),
      order({ from: 'YEN', to: 'NOSUCH' }),
      order({ from: 'YEN', to: 'ANN' }),
      order({ from: 'YEN', to: 'ANN', currency: 'EUR' }),
    ],
    ACCOUNTS,
  ).outcomes.map((outcome) => outcome.currency);
  assert.deepEqual(currencies, [null, 'CHF', 'JPY', 'JPY', 'JPY', 'EUR']);
});

test('decide: received money can be spent in the same job, in the order of the job', () => {
  const chain = [order({ from: 'ANN', to: 'EMPTY', amount: 300n }), order({ from: 'EMPTY', to: 'BOB', amount: 300n })];
  const forth = decide(chain, ACCOUNTS);
  assert.deepEqual(forth.outcomes.map(codeOf), [null, null]);
  assert.deepEqual(balancesOf(forth.moved), { ANN: 700n, EMPTY: 0n, BOB: 350n });
  const back = decide(chain.toReversed(), ACCOUNTS);
  assert.deepEqual(back.outcomes.map(codeOf), ['insufficient_funds', null]);
  assert.deepEqual(balancesOf(back.moved), { ANN: 700n, EMPTY: 300n });
});

test('decide: entry numbers continue from the last one, and each entry has the balance after it', () => {
  const { outcomes, moved } = decide(
    [
      order({ from: 'ANN', to: 'EMPTY', amount: 300n }),
      order({ from: 'EMPTY', to: 'BOB', amount: 100n }),
      order({ from: 'BOB', to: 'ANN', amount: 1n }),
    ],
    ACCOUNTS,
  );
  assert.deepEqual(outcomes.map(entriesOf), [
    { currency: 'USD', fromEntryNumber: 5n, fromBalance: 700n, toEntryNumber: 1n, toBalance: 300n },
    { currency: 'USD', fromEntryNumber: 2n, fromBalance: 200n, toEntryNumber: 2n, toBalance: 150n },
    { currency: 'USD', fromEntryNumber: 3n, fromBalance: 149n, toEntryNumber: 6n, toBalance: 701n },
  ]);
  assert.deepEqual(
    moved.map(({ accountNumber, entryCount }) => [accountNumber, entryCount]),
    [
      ['ANN', 6n],
      ['EMPTY', 2n],
      ['BOB', 3n],
    ],
  );
});

test('decide: the same money is spent once, by the first of the job', () => {
  const spend = (to: string, amount: bigint) => order({ from: 'ANN', to, amount });
  const { outcomes, moved } = decide([spend('BOB', 1000n), spend('EMPTY', 1000n), spend('EMPTY', 1n)], ACCOUNTS);
  assert.deepEqual(outcomes.map(codeOf), [null, 'insufficient_funds', 'insufficient_funds']);
  assert.deepEqual(balancesOf(moved), { ANN: 0n, BOB: 1050n });
});

test('decide: a failure in the middle of a job does not affect the rest', () => {
  const { outcomes, moved } = decide(
    [
      order({ from: 'ANN', to: 'BOB', amount: 1n }),
      order({ from: 'NOSUCH', to: 'BOB', amount: 1n }),
      order({ from: 'ANN', to: 'CLOSED', amount: 1n }),
      order({ from: 'ANN', to: 'BOB', amount: 2n }),
    ],
    ACCOUNTS,
  );
  assert.deepEqual(outcomes.map(codeOf), [null, 'source_not_found', 'destination_closed', null]);
  assert.deepEqual(balancesOf(moved), { ANN: 997n, BOB: 53n });
});

test('decide: @external is one account per currency', () => {
  const { outcomes, moved } = decide(
    [order({ from: EXTERNAL, to: 'YEN', amount: 1n }), order({ from: EXTERNAL, to: 'ANN', amount: 2n })],
    ACCOUNTS,
  );
  assert.deepEqual(
    outcomes.map((outcome) => outcome.currency),
    ['JPY', 'USD'],
  );
  assert.deepEqual(
    moved.map((account) => [account.accountNumber, account.currency, account.balance, account.entryCount]),
    [
      [EXTERNAL, 'JPY', -701n, 3n],
      ['YEN', 'JPY', 701n, 1n],
      [EXTERNAL, 'USD', -12n, 10n],
      ['ANN', 'USD', 1002n, 5n],
    ],
  );
});

test('decide: an empty job decides nothing', () => {
  assert.deepEqual(decide([], ACCOUNTS), { outcomes: [], moved: [] });
});

test('money: the bound is exact on both sides, and one unit more is refused', () => {
  assert.equal(MONEY_MAX, BigInt(Number.MAX_SAFE_INTEGER));
  assert.deepEqual([MONEY_MAX, -MONEY_MAX, MONEY_MAX + 1n, -MONEY_MAX - 1n].map(isExact), [true, true, false, false]);
});

const CURRENCIES = ['USD', 'EUR', 'JPY'];
const NUMBERS = ['A', 'B', 'C', 'D', 'E', 'F'];
/** Small amounts and often the same, so that accounts run empty in the middle of a job, to the unit; and some near the bounds. */
const amount = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(50n, 100n, 200n) },
  { weight: 4, arbitrary: fc.bigInt({ min: 1n, max: 400n }) },
  { weight: 1, arbitrary: fc.bigInt({ min: MONEY_MAX - 600n, max: MONEY_MAX }) },
);
const balance = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(0n, 50n, 100n, 200n) },
  { weight: 4, arbitrary: fc.bigInt({ min: 0n, max: 500n }) },
  { weight: 1, arbitrary: fc.bigInt({ min: MONEY_MAX - 500n, max: MONEY_MAX }) },
);

const ownAccount = (accountNumber: string): fc.Arbitrary<Account> =>
  fc
    .record({
      currency: fc.constantFrom(...CURRENCIES),
      closed: fc.nat({ max: 9 }).map((value) => value === 0),
      balance,
      drawn: fc.bigInt({ min: 0n, max: 100n }),
      held: fc.bigInt({ min: 0n, max: 50n }),
      overdraftLimit: fc.bigInt({ min: 0n, max: 200n }),
      entryCount: fc.bigInt({ min: 0n, max: 1000n }),
    })
    .map(({ closed, drawn, ...rest }) => {
      if (closed) return account({ ...rest, accountNumber, status: 'closed', balance: 0n, held: 0n });
      // As in the database: never beyond the limit, including held amounts.
      const overdrawn = rest.balance === 0n && drawn <= rest.overdraftLimit ? -drawn : rest.balance;
      const spendable = overdrawn + rest.overdraftLimit;
      return account({
        ...rest,
        accountNumber,
        balance: overdrawn,
        held: rest.held < spendable ? rest.held : spendable,
      });
    });

const job = fc
  .record({
    own: fc.tuple(...NUMBERS.map(ownAccount)),
    worlds: fc.tuple(
      ...CURRENCIES.map((currency) =>
        fc
          .record({ balance: balance.map((value) => -value), entryCount: fc.bigInt({ min: 0n, max: 1000n }) })
          .map((world) => account({ ...world, accountNumber: EXTERNAL, currency })),
      ),
    ),
    orders: fc.array(
      fc
        .record({
          from: fc.constantFrom(...NUMBERS, ...NUMBERS, EXTERNAL, 'NOSUCH'),
          to: fc.constantFrom(...NUMBERS, ...NUMBERS, EXTERNAL, 'NOSUCH'),
          amount,
          currency: fc.option(fc.constantFrom(...CURRENCIES), { nil: undefined, freq: 4 }),
        })
        .filter(({ from, to }) => from !== to)
        .map(order),
      { maxLength: 40 },
    ),
  })
  .map(({ own, worlds, orders }) => ({ accounts: [...own, ...worlds], orders }));

type RandomJob = { readonly accounts: readonly Account[]; readonly orders: readonly PlainOrder[] };

property('money is neither made nor lost, in any currency', ({ accounts, orders }) => {
  const after = afterJob(accounts, decide(orders, accounts));
  for (const currency of CURRENCIES) assert.equal(sumOf(after, currency), sumOf(accounts, currency), currency);
});

property('every balance is explained by gap-free entries with running balances', ({ accounts, orders }) => {
  const decision = decide(orders, accounts);
  const books = new Map(accounts.map((each) => [keyOf(each), { ...each }]));
  for (const [index, { fromAccount, toAccount, amount }] of orders.entries()) {
    const outcome = decision.outcomes[index];
    if (!outcome?.ok) continue;
    const sides = [
      [fromAccount, -amount, outcome.fromEntryNumber, outcome.fromBalance],
      [toAccount, amount, outcome.toEntryNumber, outcome.toBalance],
    ] as const;
    for (const [accountNumber, signed, entryNumber, runningBalance] of sides) {
      const book = books.get(keyOf({ accountNumber, currency: outcome.currency }));
      assert.ok(book, accountNumber);
      assert.equal(entryNumber, book.entryCount + 1n);
      assert.equal(runningBalance, book.balance + signed);
      books.set(keyOf(book), { ...book, balance: runningBalance, entryCount: entryNumber });
    }
  }
  assert.deepEqual(new Map(afterJob(accounts, decision).map((each) => [keyOf(each), each])), books);
});

property('no account leaves its overdraft limit or the bounds of money', ({ accounts, orders }) => {
  for (const after of afterJob(accounts, decide(orders, accounts))) {
    assert.ok(isExact(after.balance), keyOf(after));
    if (after.accountNumber !== EXTERNAL) assert.ok(availableOf(after) >= 0n, keyOf(after));
  }
});

property('a failed transfer changes nothing: the job without it ends the same', ({ accounts, orders }) => {
  const decision = decide(orders, accounts);
  const succeeded = decision.outcomes.map((outcome) => outcome.ok);
  const without = decide(
    orders.filter((_, index) => succeeded[index]),
    accounts,
  );
  assert.deepEqual(
    without.outcomes,
    decision.outcomes.filter((outcome) => outcome.ok),
  );
  assert.deepEqual(without.moved, decision.moved);
});

property('each transfer ends as it would alone, on the books after the transfers before it', ({ accounts, orders }) => {
  const decision = decide(orders, accounts);
  for (const [index, one] of orders.entries()) {
    const before = afterJob(accounts, decide(orders.slice(0, index), accounts));
    assert.deepEqual(decide([one], before).outcomes[0], decision.outcomes[index]);
  }
});

property('exactly the accounts of completed transfers are reported as moved, once each', ({ accounts, orders }) => {
  const { outcomes, moved } = decide(orders, accounts);
  const touched = orders.flatMap(({ fromAccount, toAccount }, index) => {
    const outcome = outcomes[index];
    if (!outcome?.ok) return [];
    return [fromAccount, toAccount].map((accountNumber) => keyOf({ accountNumber, currency: outcome.currency }));
  });
  assert.deepEqual(moved.map(keyOf).toSorted(), [...new Set(touched)].toSorted());
});

property('the same job has the same decision, and its arguments are unchanged', ({ accounts, orders }) => {
  const before = structuredClone({ accounts, orders });
  for (const input of [...accounts, ...orders]) Object.freeze(input);
  const first = decide(orders, accounts);
  assert.deepEqual(decide(orders, accounts.toReversed()), first);
  assert.deepEqual({ accounts, orders }, before);
});

test('decide: random jobs reach every rule and every kind of success', () => {
  const reached = new Set<string>();
  for (const { accounts, orders } of fc.sample(job, { seed: 1, numRuns: 300 })) {
    for (const outcome of decide(orders, accounts).outcomes) reached.add(codeOf(outcome) ?? 'completed');
  }
  assert.deepEqual([...reached].toSorted(), [...RULES, 'completed'].toSorted());
});

/** Checks a property on random jobs. */
function property(name: string, check: (random: RandomJob) => void): void {
  test(`decide: on random jobs, ${name}`, (t) => checkProperty(t, fc.property(job, check), 400));
}

function account(input: Partial<Account> & { accountNumber: string }): Account {
  return { currency: 'USD', status: 'open', balance: 0n, held: 0n, overdraftLimit: 0n, entryCount: 0n, ...input };
}

function order(input: { from: string; to: string; amount?: bigint; currency?: string | undefined }): PlainOrder {
  return {
    id: '0192f0c4-0000-7000-8000-000000000001',
    fromAccount: input.from,
    toAccount: input.to,
    amount: input.amount ?? 1n,
    currency: input.currency ?? null,
    kind: 'transfer',
    parentId: null,
    group: null,
    conditions: null,
    finalCapture: false,
    expiresIn: null,
    remoteAccount: null,
  };
}

function entriesOf(outcome: Ended) {
  assert.ok(outcome.ok);
  const { currency, fromEntryNumber, fromBalance, toEntryNumber, toBalance } = outcome;
  return { currency, fromEntryNumber, fromBalance, toEntryNumber, toBalance };
}

function codeOf(outcome: Outcome): FailureCode | null {
  return outcome.ok ? null : outcome.code;
}

function keyOf({ accountNumber, currency }: { accountNumber: string; currency: string }): string {
  return `${accountNumber} ${currency}`;
}

function entryCountBefore(moved: Account): bigint {
  return ACCOUNTS.find((each) => keyOf(each) === keyOf(moved))?.entryCount ?? -1n;
}

function balancesOf(accounts: readonly Account[]): Record<string, bigint> {
  return Object.fromEntries(accounts.map(({ accountNumber, balance }) => [accountNumber, balance]));
}

function afterJob(accounts: readonly Account[], decision: Decision): Account[] {
  const moved = new Map(decision.moved.map((each) => [keyOf(each), each]));
  return accounts.map((each) => moved.get(keyOf(each)) ?? each);
}

function sumOf(accounts: readonly Account[], currency: string): bigint {
  return accounts.reduce((sum, each) => (each.currency === currency ? sum + each.balance : sum), 0n);
}
