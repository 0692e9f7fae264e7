// Goal: a conversion is exact for every rate, amount and pair of currencies. Method: properties, against rationals that are
// computed in another way. One that fails prints its seed and path: run it again with FAST_CHECK_SEED and
// FAST_CHECK_PATH set to them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { convert, isConversion, parseConversion, RATE_FORM, renderConversion } from '../../src/domain/conversion.ts';
import { minorDigitsOf } from '../../src/domain/currency.ts';
import { MONEY_MAX } from '../../src/domain/money.ts';
import { checkProperty } from '../support/property.ts';

const currency = fc.constantFrom('JPY', 'USD', 'EUR', 'KWD', 'CLF');
const rate = fc.stringMatching(RATE_FORM);
const conversion = fc
  .record({ from: currency, to: currency, rate }, { noNullPrototype: true })
  .filter(({ from, to }) => from !== to);
const money = fc.oneof(fc.bigInt({ min: 1n, max: MONEY_MAX }), fc.bigInt({ min: 1n, max: 2000n }));

/** The rate in units of 10^−12, and both amounts in units of 10^−4 of their currency, the finest that there is. */
function scaled(text: string): bigint {
  const [whole = '', decimals = ''] = text.split('.');
  return BigInt(whole) * 10n ** 12n + BigInt(decimals.padEnd(12, '0'));
}
const finest = (amount: bigint, of: string): bigint => amount * 10n ** BigInt(4 - minorDigitsOf(of));

test('conversion: the result is the largest amount that the rate covers', (t) => {
  const property = fc.property(conversion, money, (each, amount) => {
    const converted = convert(amount, each);
    const covered = finest(amount, each.from) * scaled(each.rate);
    const cost = (target: bigint) => finest(target, each.to) * 10n ** 12n;
    assert.ok(cost(converted) <= covered && covered < cost(converted + 1n));
    assert.ok(isConversion(amount, converted, each));
    assert.ok(!isConversion(amount, converted + 1n, each));
  });
  checkProperty(t, property, 5000);
});

test('conversion: an amount is accepted for the least that it costs', (t) => {
  const property = fc.property(conversion, money, (each, target) => {
    fc.pre(scaled(each.rate) > 0n);
    const cost = finest(target, each.to) * 10n ** 12n;
    const unit = finest(1n, each.from) * scaled(each.rate);
    const least = (cost + unit - 1n) / unit;
    assert.ok(isConversion(least, target, each));
    // With one unit less, the exchange would lose.
    assert.ok(least === 1n || !isConversion(least - 1n, target, each));
  });
  checkProperty(t, property, 5000);
});

test('conversion: the text of a rate is read as it was written', (t) => {
  const property = fc.property(conversion, (each) => {
    assert.deepEqual(parseConversion(renderConversion(each)), each);
  });
  checkProperty(t, property, 500);
});

test('conversion: a rate is a decimal number without a sign, an exponent or needless zeros', () => {
  for (const text of ['0', '1', '0.5', '1.0825', '1.10', '999999999.123456789012']) assert.match(text, RATE_FORM);
  for (const text of ['', '.5', '1.', '01', '-1', '+1', '1e3', '1,5', '1.1234567890123', '1234567890', 'NaN']) {
    assert.doesNotMatch(text, RATE_FORM);
  }
});
