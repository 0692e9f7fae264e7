// The values of the console's pages: places in the address, amounts, times, sums and the words for failures.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainFailure, FAILURES } from '../../src/console/failures.ts';
import {
  compactMoney,
  duration,
  instantOfInput,
  localInput,
  millisBetween,
  money,
  moneyOfSum,
  parseAmount,
  plainAmount,
} from '../../src/console/format.ts';
import { hrefOf, parsePlace } from '../../src/console/place.ts';
import { monthsBetween, parseStatement } from '../../src/console/statement.ts';
import { parseTrialBalance } from '../../src/console/trial-balance.ts';
import { FAILURE_CODES } from '../../src/domain/transfer.ts';

test('place: an address leads back to the place from which it was made', () => {
  const href = hrefOf('shop', ['accounts', '@external'], { currency: 'EUR', metadata: 'a:b&c=d ?#/é', after: null });
  const { ledger, path, query } = parsePlace(href);
  assert.equal(ledger, 'shop');
  assert.deepEqual(path, ['accounts', '@external']);
  assert.deepEqual(Object.fromEntries(query), { currency: 'EUR', metadata: 'a:b&c=d ?#/é' });
});

test('place: a segment with a slash stays one segment', () => {
  assert.deepEqual(parsePlace(hrefOf('main', ['accounts', 'a/b?c#d'])).path, ['accounts', 'a/b?c#d']);
});

for (const hash of ['', '#', '#/', '#/%', '#/main/%zz?currency=%']) {
  test(`place: "${hash}" leads to the first page of the main ledger`, () => {
    const { ledger, path } = parsePlace(hash);
    assert.deepEqual([ledger, path], ['main', []]);
  });
}

test('format: an amount has the decimals of its currency', () => {
  assert.equal(money(123_456, 'USD'), '1,234.56 USD');
  assert.equal(money(-5, 'EUR'), '−0.05 EUR');
  assert.equal(money(1234, 'JPY'), '1,234 JPY');
  assert.equal(money(1234, 'TND'), '1.234 TND');
  assert.equal(money(null, 'USD'), '–');
  assert.equal(money(5, null), '–');
  assert.equal(moneyOfSum(2n ** 60n, 'JPY'), '1,152,921,504,606,846,976 JPY');
  assert.equal(compactMoney(123_456, 'USD'), '1.23K');
});

test('format: a typed amount is minor units, or refused', () => {
  for (const [text, currency, amount] of [
    ['12.5', 'USD', 1250],
    [' 12 ', 'USD', 1200],
    ['0.01', 'EUR', 1],
    ['90071992547409.91', 'USD', 9_007_199_254_740_991],
    ['7', 'JPY', 7],
    ['1.234', 'TND', 1234],
    ['0', 'USD', null],
    ['0.00', 'USD', null],
    ['1.234', 'USD', null],
    ['7.0', 'JPY', null],
    ['1,50', 'EUR', null],
    ['1,500', 'EUR', null],
    ['-1', 'EUR', null],
    ['1e3', 'EUR', null],
    ['', 'EUR', null],
    ['90071992547409.92', 'USD', null],
    ['1', 'eur', null],
  ] as const) {
    assert.equal(parseAmount(text, currency), amount, `${text} ${currency}`);
    if (amount !== null) assert.equal(parseAmount(plainAmount(amount, currency), currency), amount);
  }
});

test('format: an instant goes through an input of the local time zone', () => {
  const instant = '2026-11-26T13:28:25.000Z';
  assert.equal(instantOfInput(localInput(instant)), instant);
  assert.equal(instantOfInput(''), null);
  assert.equal(localInput('yesterday'), '');
});

test('format: durations keep microseconds', () => {
  assert.equal(millisBetween('2026-11-26T13:28:25.999999Z', '2026-11-26T13:28:26.000249Z'), 0.25);
  assert.equal(millisBetween('2026-11-26T13:28:25Z', '2026-11-26T13:28:25.1Z'), 100);
  assert.equal(duration(0.00025), '0.3 ms');
  assert.equal(duration(90), '90 s');
});

test('trial balance: sums beyond 2^53 are exact', () => {
  const positive = 2n ** 60n + 1n;
  const text = `{"object":"trial_balance","at":null,"journal_number":7,"currencies":[{"currency":"JPY","account_count":3,"positive":${positive},"negative":${-positive},"sum":0}]}`;
  assert.deepEqual(parseTrialBalance(text), [{ currency: 'JPY', accounts: 3, positive, negative: -positive, sum: 0n }]);
});

const HEAD =
  '{"object":"statement","account_number":"ANN","name":"\\",\\"entries\\":[ \\"total_in\\":7","currency":"JPY","month":"2026-11","begins":"2026-11-01T00:00:00Z","ends":"2026-12-01T00:00:00Z","final":true,"entry_count":2,"opening_balance":10';

test('statement: totals beyond 2^53 are exact, whatever the name of the account is', () => {
  const total = 2n ** 60n + 1n;
  const text = `${HEAD},"total_in":${total},"total_out":${total - 5n},"entries":[],"closing_balance":15}`;
  const { totalIn, totalOut, closing, entries, opening_balance: opening } = parseStatement(text, true);
  assert.deepEqual([totalIn, totalOut, closing, entries, opening], [total, total - 5n, 15n, [], 10]);
});

test('statement: one that was read in part has its balances and no entries', () => {
  const text = `${HEAD},"total_in":5,"total_out":0,"entries":[{"entry_number":1,"settled`;
  const { closing, entries } = parseStatement(text, false);
  assert.deepEqual([closing, entries], [15n, null]);
  assert.throws(() => parseStatement(text, true), SyntaxError);
  assert.throws(() => parseStatement(HEAD, false), SyntaxError);
});

test('statement: the months are those from the opening of the account to the present', () => {
  assert.deepEqual(monthsBetween('2025-11-30T23:59:59Z', '2026-01-01T00:00:00Z'), ['2026-01', '2025-12', '2025-11']);
  assert.deepEqual(monthsBetween('2026-11-26T00:00:00Z', '2026-11-26T00:00:01Z'), ['2026-11']);
});

test('failures: each code of the domain has words', () => {
  assert.deepEqual(Object.keys(FAILURES).toSorted(), FAILURE_CODES.toSorted());
  assert.notEqual(explainFailure('a_code_of_a_later_version'), '');
});
