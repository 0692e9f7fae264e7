// Goal: derived amounts are exact, and what does not follow from the group is refused. Method: examples, a table of
// refusals, and properties on random splits. A property that fails prints its seed and path: run it again with
// FAST_CHECK_SEED and FAST_CHECK_PATH set to them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type MemberAmount, resolveAmounts } from '../../src/domain/amounts.ts';
import { MONEY_MAX } from '../../src/domain/money.ts';
import { checkProperty } from '../support/property.ts';

const amount = (value: bigint, currency: string | null = null): MemberAmount => ({
  form: 'amount',
  amount: value,
  currency,
});
const share = (basisPoints: bigint, of: number | null = null, plus = 0n): MemberAmount => ({
  form: 'share',
  of,
  basisPoints,
  plus,
  currency: null,
});
const remainder = (of: number | null = null, currency: string | null = null): MemberAmount => ({
  form: 'remainder',
  of,
  currency,
});

const conversion = (
  of: number,
  rate: string,
  currency: string | null = 'USD',
  stated: bigint | null = null,
): MemberAmount => ({ form: 'conversion', of, rate, currency, amount: stated });

function amountsOf(members: readonly MemberAmount[], total: bigint | null = null): bigint[] {
  const { resolved, flaws } = resolveAmounts(members, total);
  assert.deepEqual(flaws, []);
  return resolved.map((each) => each.amount);
}

test('amounts: a share is rounded down, and the remainder is what the other parts leave', () => {
  assert.deepEqual(amountsOf([share(290n, null, 30n), remainder()], 10_000n), [320n, 9680n]);
  assert.deepEqual(amountsOf([share(3333n), share(3333n), remainder()], 100n), [33n, 33n, 34n]);
  assert.deepEqual(amountsOf([amount(9999n), share(290n, 0), share(1000n, 1), remainder(1)]), [9999n, 289n, 28n, 261n]);
});

test('amounts: a remainder counts shares that come later, and amounts that are parts of the total', () => {
  assert.deepEqual(amountsOf([remainder(), share(1000n), amount(7n)], 1000n), [893n, 100n, 7n]);
});

test('amounts: the largest amount is split exactly', () => {
  const [first = 0n, second = 0n] = amountsOf([share(9999n), remainder()], MONEY_MAX);
  assert.equal(first, 9_006_298_534_815_516n);
  assert.equal(first + second, MONEY_MAX);
});

test('amounts: a part has the currency of its whole', () => {
  const currenciesOf = (members: readonly MemberAmount[], total: bigint | null) =>
    resolveAmounts(members, total).resolved.map(({ currency }) => currency);
  assert.deepEqual(currenciesOf([amount(100n, 'EUR'), share(100n, 0), share(5000n, 1)], null), ['EUR', 'EUR', 'EUR']);
  assert.deepEqual(currenciesOf([share(100n), remainder(null, 'EUR')], 1000n), ['EUR', 'EUR']);
  assert.deepEqual(currenciesOf([amount(100n), amount(100n, 'EUR')], null), [null, 'EUR']);
});

test('amounts: a part of a member that names no currency may not name one', () => {
  const members = [amount(1000n), { ...share(5000n, 0), currency: 'JPY' }, remainder(0)];
  assert.deepEqual(resolveAmounts(members, null).flaws, [
    { index: 1, member: 'currency', detail: 'must be named by the whole too' },
  ]);
});

test('amounts: a thousand remainders of one whole are refused in linear time', () => {
  let reads = 0;
  const counted = (member: MemberAmount): MemberAmount =>
    new Proxy(member, {
      get(target, name) {
        reads += 1;
        return Reflect.get(target, name);
      },
    });
  const members = Array.from({ length: 1000 }, (_, index) => counted(index < 500 ? share(1n) : remainder()));
  const { flaws } = resolveAmounts(members, 1000n);
  assert.deepEqual(flaws, [{ index: 501, member: 'remainder', detail: 'must be the only one of its whole' }]);
  assert.ok(reads < 100 * members.length, `${reads} reads`);
});

test('amounts: a conversion is rounded down to the minor unit of its currency, and both members have the rate', () => {
  const resolve = (...members: MemberAmount[]) => {
    const { resolved, flaws } = resolveAmounts(members, null);
    assert.deepEqual(flaws, []);
    return resolved.map((each) => [each.amount, each.rate]);
  };
  assert.deepEqual(resolve(amount(10_001n, 'EUR'), conversion(0, '1.0825')), [
    [10_001n, 'EUR/USD 1.0825'],
    [10_826n, 'EUR/USD 1.0825'],
  ]);
  assert.deepEqual(resolve(amount(10_000n, 'EUR'), conversion(0, '163.2', 'JPY')), [
    [10_000n, 'EUR/JPY 163.2'],
    [16_320n, 'EUR/JPY 163.2'],
  ]);
  // Three decimals, and four.
  assert.deepEqual(resolve(amount(16_320n, 'JPY'), conversion(0, '0.001879', 'KWD'))[1], [30_665n, 'JPY/KWD 0.001879']);
  assert.deepEqual(resolve(amount(1000n, 'KWD'), conversion(0, '0.0834', 'CLF'))[1], [834n, 'KWD/CLF 0.0834']);
});

test('amounts: a fee is taken before a conversion, and another of what it comes to', () => {
  const members = [
    share(100n, null),
    { ...remainder(), currency: 'EUR' },
    conversion(1, '1.0825'),
    share(50n, 2),
    remainder(2),
  ];
  assert.deepEqual(amountsOf(members, 10_000n), [100n, 9900n, 10_716n, 53n, 10_663n]);
  const { resolved } = resolveAmounts(members, 10_000n);
  assert.deepEqual(
    resolved.map((each) => each.currency),
    ['EUR', 'EUR', 'USD', 'USD', 'USD'],
  );
});

test('amounts: a stated amount of a conversion is one that rounding leads to, from either side', () => {
  const isAccepted = (source: bigint, target: bigint, rate: string) =>
    resolveAmounts([amount(source, 'EUR'), conversion(0, rate, 'USD', target)], null).flaws.length === 0;
  assert.ok(isAccepted(10_000n, 10_825n, '1.0825'));
  assert.ok(!isAccepted(10_000n, 10_826n, '1.0825'));
  // 92.38 is the least that 100.00 cost, and 100.00 the least of 108.24.
  assert.ok(isAccepted(10_000n, 10_824n, '1.0825'));
  assert.ok(!isAccepted(10_000n, 10_823n, '1.0825'));
  assert.ok(isAccepted(9238n, 10_000n, '1.0825'));
  assert.ok(!isAccepted(9237n, 10_000n, '1.0825'));
  assert.ok(!isAccepted(9239n, 10_000n, '1.0825'));
  assert.ok(isAccepted(5n, 500n, '100'));
  assert.ok(isAccepted(5n, 499n, '100'));
  assert.ok(isAccepted(5n, 401n, '100'));
  assert.ok(!isAccepted(5n, 400n, '100'));
});

const REFUSED: readonly [what: string, members: readonly MemberAmount[], total: bigint | null, flaws: string[]][] = [
  ['a share of itself', [share(1n, 0)], null, ['0 share must be of an earlier member']],
  ['a forward reference', [share(1n, 1), amount(9n)], null, ['0 share must be of an earlier member']],
  [
    'a cycle',
    [share(1n, 1), share(1n, 0)],
    null,
    // The other direction is no flaw of its own.
    ['0 share must be of an earlier member'],
  ],
  ['a member that is not there', [amount(9n), remainder(7)], null, ['1 remainder must be of an earlier member']],
  [
    'parts of a remainder',
    [amount(9n), remainder(0), share(1n, 1), remainder(1)],
    null,
    ['2 share must not be of a remainder', '3 remainder must not be of a remainder'],
  ],
  ['a missing total', [share(1n)], null, ['0 share needs `of`, or a `total` of the group']],
  [
    'more than all basis points',
    [amount(3n), share(5000n, 0), share(5001n, 0)],
    null,
    ['2 share must not be more than 10000 basis points, together with the shares before it'],
  ],
  [
    'a fixed amount that is too much',
    [amount(100n), share(9000n, 0), share(0n, 0, 11n), remainder(0)],
    null,
    ['2 share must not exceed the whole, together with the parts before it'],
  ],
  [
    'an amount above the total',
    [amount(8n), amount(3n), remainder()],
    10n,
    ['1 amount must not exceed the whole, together with the parts before it'],
  ],
  ['two remainders', [remainder(), remainder()], 10n, ['1 remainder must be the only one of its whole']],
  ['a total that is not reached', [amount(8n), share(1000n)], 10n, ['null total must be 9, the sum of its parts']],
  ['a total without parts', [amount(8n), share(5000n, 0)], 10n, ['null total must be 8, the sum of its parts']],
  [
    'another currency',
    [amount(8n, 'EUR'), remainder(0, 'USD')],
    null,
    ['1 currency must be EUR, as that of the whole'],
  ],
  ['a conversion of a later member', [conversion(0, '2')], null, ['0 conversion must be of an earlier member']],
  [
    'a second conversion of a member',
    [amount(3n, 'EUR'), conversion(0, '2'), conversion(0, '2', 'GBP')],
    null,
    ['2 conversion must be the only one of its member'],
  ],
  [
    'a conversion of a conversion',
    [amount(3n, 'EUR'), conversion(0, '2'), conversion(1, '2', 'GBP')],
    null,
    ['2 conversion must not be of a conversion'],
  ],
  [
    'a conversion of an unknown currency',
    [amount(3n), conversion(0, '2')],
    null,
    ['0 currency is missing; a conversion needs both'],
  ],
  [
    'a conversion to an unknown currency',
    [amount(3n, 'EUR'), conversion(0, '2', null)],
    null,
    ['1 currency is missing; a conversion needs both'],
  ],
  [
    'a conversion to the same currency',
    [amount(3n, 'EUR'), conversion(0, '1', 'EUR')],
    null,
    ['1 currency must be another one than EUR'],
  ],
  [
    'a conversion that is too much',
    [amount(MONEY_MAX, 'EUR'), conversion(0, '1.1')],
    null,
    [`1 conversion must result in at most ${MONEY_MAX}`],
  ],
  [
    'an amount that is not of the rate',
    [amount(100n, 'EUR'), conversion(0, '1.5', 'USD', 151n)],
    null,
    ['1 amount must be 150 at this rate, rounded down'],
  ],
  ['a conversion to nothing', [amount(3n, 'JPY'), conversion(0, '0.001')], null, ['1 conversion must not result in 0']],
  ['a rate of zero', [amount(3n, 'JPY'), conversion(0, '0.0')], null, ['1 conversion must not result in 0']],
  ['a share of nothing', [amount(3n), share(1n, 0)], null, ['1 share must not result in 0']],
  ['an empty remainder', [share(10_000n), remainder()], 10n, ['1 remainder must not result in 0']],
];

for (const [what, members, total, expected] of REFUSED) {
  test(`amounts: ${what} is refused, with the member`, () => {
    const { flaws } = resolveAmounts(members, total);
    assert.deepEqual(
      flaws.map(({ index, member, detail }) => `${index} ${member} ${detail}`),
      expected,
    );
  });
}

const money = fc.bigInt({ min: 1n, max: MONEY_MAX });
/** Basis points that leave something to others. */
const split = fc.array(
  fc.record({ basisPoints: fc.bigInt({ min: 0n, max: 3000n }), plus: fc.bigInt({ min: 0n, max: 50n }) }),
  { maxLength: 12 },
);

test('amounts: the parts of a whole sum to it, or a part is refused', (t) => {
  const property = fc.property(money, split, fc.nat(12), fc.boolean(), (whole, parts, place, ofTotal) => {
    const of = ofTotal ? null : 0;
    const shares = parts.map(({ basisPoints, plus }) => share(basisPoints, of, plus));
    const members = [...(ofTotal ? [] : [amount(whole)]), ...shares.toSpliced(place, 0, remainder(of))];
    const { resolved, flaws } = resolveAmounts(members, ofTotal ? whole : null);
    const derived = resolved.slice(ofTotal ? 0 : 1);
    for (const { member, amount: part } of derived) {
      if (member.form !== 'share') continue;
      // Rounded down: less than one minor unit below the exact share.
      const exact = whole * member.basisPoints + member.plus * 10_000n;
      assert.ok(part * 10_000n <= exact && exact < (part + 1n) * 10_000n);
    }
    const sum = derived.reduce((before, each) => before + each.amount, 0n);
    const isTooMuch =
      parts.reduce((before, { basisPoints }) => before + basisPoints, 0n) > 10_000n ||
      derived.some((each) => each.amount < 0n);
    assert.equal(
      flaws.some(({ isZero }) => isZero !== true),
      isTooMuch,
    );
    assert.equal(sum, whole);
    if (flaws.length === 0) assert.ok(derived.every((each) => each.amount > 0n));
  });
  checkProperty(t, property, 2000);
});

test('amounts: what is not refused is positive, and no whole is exceeded', (t) => {
  const of = fc.option(fc.nat(6), { nil: null });
  const member: fc.Arbitrary<MemberAmount> = fc.oneof(
    fc.bigInt({ min: 1n, max: 5000n }).map((value) => amount(value)),
    fc.tuple(fc.bigInt({ min: 0n, max: 9000n }), of, fc.bigInt({ min: 0n, max: 30n })).map((made) => share(...made)),
    of.map((whole) => remainder(whole)),
  );
  const groups = fc.tuple(
    fc.array(member, { minLength: 1, maxLength: 8 }),
    fc.option(fc.bigInt({ min: 1n, max: 5000n }), { nil: null }),
  );
  const property = fc.property(groups, ([members, total]) => {
    const { resolved, flaws } = resolveAmounts(members, total);
    if (flaws.length > 0) return;
    const partsOf = (whole: number | null) =>
      resolved.filter((each) => (each.member.form === 'amount' ? whole === null : each.member.of === whole));
    const sumOf = (whole: number | null) => partsOf(whole).reduce((before, each) => before + each.amount, 0n);
    if (total !== null) assert.equal(sumOf(null), total);
    for (const [index, { amount: whole }] of resolved.entries()) {
      assert.ok(whole > 0n);
      const hasRemainder = partsOf(index).some((each) => each.member.form === 'remainder');
      assert.ok(hasRemainder ? sumOf(index) === whole : sumOf(index) <= whole);
    }
  });
  checkProperty(t, property, 5000);
});
