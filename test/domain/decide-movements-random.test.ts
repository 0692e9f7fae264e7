// Goal: no job of movements breaks the books. Method: properties on random jobs of every kind of order, alone and in
// groups. A property that fails prints its seed and path: run it again with FAST_CHECK_SEED and FAST_CHECK_PATH set to
// them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type Account, ACCOUNT_STATUSES, EXTERNAL } from '../../src/domain/account.ts';
import type { BooksContent } from '../../src/domain/books.ts';
import { type Decision, decide } from '../../src/domain/decide.ts';
import { type Hold, remainingOf } from '../../src/domain/hold.ts';
import { FAILURE_CODES, type TransferTerms } from '../../src/domain/transfer.ts';
import { account, codesOf, order } from './books.ts';
import { checkProperty } from '../support/property.ts';

const NUMBERS = ['A', 'B', 'C', 'D', 'E'];
/** Whose holds they are, and for whom: two of A, one each of B and C. */
const HOLDS: [id: string, from: string, to: string][] = [
  ['h0', 'A', 'B'],
  ['h1', 'A', 'C'],
  ['h2', 'B', 'A'],
  ['h3', 'C', 'E'],
];
const ORIGINALS: [id: string, from: string, to: string][] = [
  ['o0', 'B', 'A'],
  ['o1', 'C', 'B'],
  ['o2', EXTERNAL, 'A'],
];

const money = (max: bigint) => fc.bigInt({ min: 0n, max });
const amount = fc.bigInt({ min: 1n, max: 60n });
const optional = <Value>(value: fc.Arbitrary<Value>, freq = 3) => fc.option(value, { nil: null, freq });

const content: fc.Arbitrary<BooksContent> = fc
  .record({
    holds: fc.tuple(
      ...HOLDS.map(([id]) =>
        fc
          .record({ parts: fc.tuple(money(50n), money(10n), money(50n)), due: fc.boolean(), ended: fc.nat(4) })
          .map(({ parts: [captured, released, rest], due, ended }): Hold =>
            ended === 0
              ? { id, state: 'voided', amount: captured + released + 1n, captured, released: released + 1n, due }
              : { id, state: 'open', amount: captured + rest + 1n, captured, released: 0n, due },
          ),
      ),
    ),
    originals: fc.tuple(
      ...ORIGINALS.map(([id]) =>
        fc.tuple(money(80n), money(80n)).map(([reversed, rest]) => ({ id, amount: reversed + rest + 1n, reversed })),
      ),
    ),
    accounts: fc.tuple(
      ...NUMBERS.map((number) =>
        fc.record({
          accountNumber: fc.constant(number),
          status: fc.oneof(
            { weight: 6, arbitrary: fc.constant('open' as const) },
            { weight: 1, arbitrary: fc.constantFrom(...ACCOUNT_STATUSES) },
          ),
          spare: money(150n),
          overdraftLimit: money(40n),
          entryCount: money(3n),
          euro: fc.nat(9).map((value) => value === 0),
        }),
      ),
    ),
  })
  .map(({ holds, originals, accounts }) => {
    const heldOf = (number: string) =>
      sum(HOLDS.flatMap(([, from], index) => (from === number && holds[index] ? [leftOf(holds[index])] : [])));
    const own = accounts.map(({ spare, status, euro, ...fields }) => {
      const held = heldOf(fields.accountNumber);
      const common = { ...fields, currency: euro ? 'EUR' : 'USD' };
      // Only an empty account can be closed.
      if (status === 'closed' && held === 0n)
        return account(fields.accountNumber, { ...common, status, overdraftLimit: 0n });
      const balance = spare + held - fields.overdraftLimit;
      return account(fields.accountNumber, {
        ...common,
        held,
        balance,
        status: status === 'closed' ? 'frozen' : status,
      });
    });
    const worlds = ['USD', 'EUR'].map((currency) => account(EXTERNAL, { currency, balance: -50n, entryCount: 7n }));
    return { accounts: [...own, ...worlds], holds, originals };
  });

const plain = fc.record({
  kind: fc.constantFrom<TransferTerms['kind'][]>('transfer', 'transfer', 'hold'),
  fromAccount: fc.constantFrom(...NUMBERS, ...NUMBERS, EXTERNAL, 'NOSUCH'),
  toAccount: fc.constantFrom(...NUMBERS, ...NUMBERS, EXTERNAL, 'NOSUCH'),
  amount,
  currency: optional(fc.constantFrom('USD', 'EUR'), 8),
  conditions: optional(
    fc.record(
      { fromEntryNumber: optional(money(5n)), minAvailableAfter: optional(money(60n)) },
      { noNullPrototype: true },
    ),
    6,
  ),
});
const ofHold = fc
  .record({
    place: fc.nat(HOLDS.length - 1),
    kind: fc.constantFrom<TransferTerms['kind'][]>('capture', 'capture', 'capture', 'void', 'expiry'),
    amount: optional(amount),
    finalCapture: fc.boolean(),
  })
  .map(({ place, kind, amount, finalCapture }) => {
    const [parentId, fromAccount, toAccount] = HOLDS[place] ?? ['', '', ''];
    const captures = kind === 'capture';
    return {
      kind,
      parentId,
      fromAccount,
      toAccount,
      amount: captures ? amount : null,
      finalCapture: captures && finalCapture,
    };
  });
const ofOriginal = fc.record({ place: fc.nat(ORIGINALS.length), amount: optional(amount) }).map(({ place, amount }) => {
  const [parentId, toAccount, fromAccount] = ORIGINALS[place] ?? ['none', 'A', 'B'];
  return { kind: 'reversal' as const, parentId, fromAccount, toAccount, amount };
});
const one = fc
  .oneof(plain, ofHold, ofOriginal)
  .map((fields) => order(fields))
  .filter(({ fromAccount, toAccount }) => fromAccount !== toAccount);

/** What settles together: one order, or the members of an atomic group. */
type Unit = readonly TransferTerms[];
const unit: fc.Arbitrary<Unit> = fc.oneof(
  { weight: 3, arbitrary: one.map((only) => [only]) },
  { weight: 1, arbitrary: fc.array(one, { minLength: 1, maxLength: 6 }) },
);
const job = fc.record({ content, units: fc.array(unit, { maxLength: 14 }) }).map(({ content, units }) => ({
  content,
  units: units.map((members, index) =>
    members.length === 1 && index % 2 === 0
      ? members
      : members.map((member, position) => ({ ...member, group: { id: `g${index}`, position, atomic: true } })),
  ),
}));

type RandomJob = { readonly content: BooksContent; readonly units: readonly Unit[] };

property('money is neither made nor lost', ({ content, units }) => {
  const after = afterwards(content, decide(units.flat(), content));
  for (const currency of ['USD', 'EUR']) {
    const total = (accounts: readonly Account[]) =>
      sum(accounts.filter((each) => each.currency === currency).map(({ balance }) => balance));
    assert.equal(total(after.accounts), total(content.accounts));
  }
});

property('the held amount is the remainder of the open holds', ({ content, units }) => {
  const orders = units.flat();
  const decision = decide(orders, content);
  const after = afterwards(content, decision);
  for (const { accountNumber, currency, held } of after.accounts) {
    const old = after.holds.filter((_, index) => HOLDS[index]?.[1] === accountNumber).map(leftOf);
    const made = orders.flatMap(({ kind, fromAccount }, index) => {
      const outcome = decision.outcomes[index];
      return kind === 'hold' && fromAccount === accountNumber && outcome?.ok && outcome.currency === currency
        ? [outcome.amount]
        : [];
    });
    assert.equal(held, sum([...old, ...made]), accountNumber);
  }
});

property(
  'a hold never releases or captures more than its amount, and ends when nothing remains',
  ({ content, units }) => {
    const after = afterwards(content, decide(units.flat(), content));
    for (const [index, hold] of after.holds.entries()) {
      const before = content.holds[index];
      assert.ok(before && hold.id === before.id && hold.amount === before.amount);
      assert.ok(hold.captured >= before.captured && hold.released >= before.released);
      assert.ok(hold.captured + hold.released <= hold.amount);
      assert.equal(hold.state === 'open', hold.captured + hold.released < hold.amount);
      if (before.state !== 'open') assert.deepEqual(hold, before);
    }
  },
);

property('the reversed amount is the sum of the reversals, and within the original', ({ content, units }) => {
  const orders = units.flat();
  const decision = decide(orders, content);
  for (const [index, original] of afterwards(content, decision).originals.entries()) {
    const reversed = orders.flatMap(({ kind, parentId }, place) => {
      const outcome = decision.outcomes[place];
      return kind === 'reversal' && parentId === original.id && outcome?.ok ? [outcome.amount] : [];
    });
    assert.equal(original.reversed, (content.originals[index]?.reversed ?? 0n) + sum(reversed));
    assert.ok(original.reversed <= original.amount);
  }
});

property('no account in funds ends with a negative available amount', ({ content, units }) => {
  for (const { accountNumber, balance, held, overdraftLimit } of afterwards(content, decide(units.flat(), content))
    .accounts) {
    if (accountNumber !== EXTERNAL) assert.ok(balance - held + overdraftLimit >= 0n, accountNumber);
  }
});

property('atomic groups complete or fail as one, and one member has its own code', ({ content, units }) => {
  const codes = codesOf(decide(units.flat(), content).outcomes);
  for (const members of units) {
    const own = codes.splice(0, members.length);
    const failed = own.filter((code) => code !== null);
    assert.ok(failed.length === 0 || failed.length === members.length);
    assert.equal(failed.filter((code) => code !== 'group_failed').length, failed.length === 0 ? 0 : 1);
  }
});

property('a failed transfer changes nothing: the job without it ends the same', ({ content, units }) => {
  const decision = decide(units.flat(), content);
  const outcomes = [...decision.outcomes];
  const good = units.filter((members) => outcomes.splice(0, members.length).every(({ ok }) => ok));
  const without = decide(good.flat(), content);
  assert.deepEqual(
    without.outcomes,
    decision.outcomes.filter(({ ok }) => ok),
  );
  assert.deepEqual(without.changed, decision.changed);
});

property('each unit ends as it would alone, on the books after the units before it', ({ content, units }) => {
  const outcomes = [...decide(units.flat(), content).outcomes];
  let books = content;
  for (const members of units) {
    const alone = decide(members, books);
    assert.deepEqual(alone.outcomes, outcomes.splice(0, members.length));
    books = afterwards(books, alone);
  }
  assert.deepEqual(books, afterwards(content, decide(units.flat(), content)));
});

property('the same job has the same decision, and its arguments are unchanged', ({ content, units }) => {
  const before = structuredClone({ content, units });
  const orders = units.flat();
  for (const input of [...orders, ...content.accounts, ...content.holds, ...content.originals]) Object.freeze(input);
  assert.deepEqual(decide(orders, content), decide(orders, structuredClone(content)));
  assert.deepEqual({ content, units }, before);
});

test('decide: random jobs of movements reach every rule and every kind of success', () => {
  const reached = new Set<string>();
  for (const { content, units } of fc.sample(job, { seed: 1, numRuns: 500 })) {
    const orders = units.flat();
    for (const [index, code] of codesOf(decide(orders, content).outcomes).entries())
      reached.add(code ?? `a ${orders[index]?.kind}`);
  }
  const rules = FAILURE_CODES.filter((code) => code !== 'cannot_be_settled' && code !== 'balance_out_of_bounds');
  const successes = ['a transfer', 'a hold', 'a capture', 'a void', 'an expiry', 'a reversal'].map((text) =>
    text.replace('an ', 'a '),
  );
  assert.deepEqual([...reached].sort(), [...rules, ...successes].sort());
});

/** Checks a property on random jobs. */
function property(name: string, check: (random: RandomJob) => void): void {
  test(`decide: on random jobs of movements, ${name}`, (t) => checkProperty(t, fc.property(job, check), 400));
}

function afterwards(content: BooksContent, { changed }: Decision): BooksContent {
  const keyOf = ({ accountNumber, currency }: Account) => `${accountNumber} ${currency}`;
  return {
    accounts: content.accounts.map((each) => changed.accounts.find((other) => keyOf(other) === keyOf(each)) ?? each),
    holds: content.holds.map((each) => changed.holds.find(({ id }) => id === each.id) ?? each),
    originals: content.originals.map((each) => changed.originals.find(({ id }) => id === each.id) ?? each),
  };
}

function leftOf(hold: Hold): bigint {
  return hold.state === 'open' ? remainingOf(hold) : 0n;
}

function sum(amounts: readonly bigint[]): bigint {
  return amounts.reduce((total, each) => total + each, 0n);
}
