// Money as people read it: the digits of ISO 4217, and the points and commas.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { minorDigitsOf, parseDecimal, renderDecimal, renderMoney } from '../../src/domain/currency.ts';

test('currency: has the minor-unit digits of ISO 4217, which are not those of Intl', () => {
  const expected = {
    USD: 2,
    EUR: 2,
    JPY: 0,
    KRW: 0,
    CLP: 0,
    BHD: 3,
    KWD: 3,
    TND: 3,
    CLF: 4,
    UYW: 4,
    XAU: 0,
    MGA: 2,
    MRU: 2,
  };
  for (const [currency, digits] of Object.entries(expected)) assert.equal(minorDigitsOf(currency), digits, currency);
  for (const currency of ['HUF', 'IDR', 'COP', 'PKR', 'IQD']) {
    const { maximumFractionDigits } = new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions();
    assert.equal(maximumFractionDigits, 0, `Intl now has digits for ${currency}: then this comparison is of no use.`);
    assert.equal(minorDigitsOf(currency), currency === 'IQD' ? 3 : 2, currency);
  }
});

test('currency: an amount is rendered with all its digits, grouped by three', () => {
  const cases: [bigint, string, string][] = [
    [0n, 'USD', '0.00'],
    [5n, 'USD', '0.05'],
    [-5n, 'USD', '−0.05'],
    [99n, 'USD', '0.99'],
    [100n, 'USD', '1.00'],
    [123_456n, 'USD', '1,234.56'],
    [-100_000n, 'USD', '−1,000.00'],
    [99_999n, 'USD', '999.99'],
    [9_007_199_254_740_991n, 'USD', '90,071,992,547,409.91'],
    [0n, 'JPY', '0'],
    [-1_234_567n, 'JPY', '−1,234,567'],
    [100n, 'JPY', '100'],
    [1n, 'KWD', '0.001'],
    [1_000_000n, 'KWD', '1,000.000'],
    [12_345n, 'CLF', '1.2345'],
    [10n ** 20n, 'EUR', '1,000,000,000,000,000,000.00'],
  ];
  for (const [amount, currency, text] of cases) assert.equal(renderMoney(amount, currency), text);
});

test('currency: an amount for programs has a point and a minus sign, and no grouping', () => {
  const cases: [bigint, string, string][] = [
    [0n, 'USD', '0.00'],
    [-5n, 'USD', '-0.05'],
    [-123_456n, 'USD', '-1234.56'],
    [-1_234_567n, 'JPY', '-1234567'],
    [100n, 'HUF', '1.00'],
    [1n, 'KWD', '0.001'],
    [9_007_199_254_740_991n, 'EUR', '90071992547409.91'],
  ];
  for (const [amount, currency, text] of cases) assert.equal(renderDecimal(amount, currency), text);
});

test('currency: a decimal amount is parsed as it is rendered, and refused with other decimals', () => {
  for (const [amount, currency] of [
    [0n, 'USD'],
    [2500n, 'USD'],
    [2500n, 'JPY'],
    [1234n, 'KWD'],
  ] as const) {
    assert.equal(parseDecimal(renderDecimal(amount, currency), currency), amount);
  }
  for (const text of ['25', '25.0', '25.000', '.25', '-25.00', '1,000.00', ''])
    assert.equal(parseDecimal(text, 'USD'), null);
  assert.equal(parseDecimal('25.00', 'JPY'), null);
});
