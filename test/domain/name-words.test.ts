// The words by which accounts are found by name.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wordsOf } from '../../src/domain/name-words.ts';

for (const [name, words] of [
  ['Ann Smith', ['ANN', 'SMITH']],
  ["  O'Brien-Jones, Dr. ", ['O', 'BRIEN', 'JONES', 'DR']],
  ['Ångström & Söhne 🧀', ['ANGSTROM', 'SOHNE']],
  ['Straße STRASSE', ['STRASSE']],
  ['Σίσυφος ΣΙΣΥΦΟΣ', ['ΣΙΣΥΦΟΣ']],
  ['İstanbul ıstanbul', ['ISTANBUL']],
  ['ﬁnance ＡＢＣ ①', ['FINANCE', 'ABC', '1']],
  ['王小明', ['王小明']],
  ['Ann ann ANN', ['ANN']],
  ['%_*\\ 🧀', []],
  ['\u0301', []],
] as const) {
  test(`name words: ${name}`, () => {
    assert.deepEqual(wordsOf(name), words);
  });
}

test('name words: composed and decomposed text has the same words', () => {
  assert.deepEqual(wordsOf('Ångström'.normalize('NFD')), wordsOf('Ångström'.normalize('NFC')));
});

test('name words: their number and their length are bounded, also where a character has a long form', () => {
  const letters = Array.from({ length: 26 }, (_, index) => String.fromCodePoint(65 + index));
  assert.deepEqual(wordsOf(letters.join(' ')), letters.slice(0, 10));
  assert.deepEqual(wordsOf('𝔸'.repeat(200)), ['A'.repeat(40)]);
  assert.deepEqual(wordsOf('𐐀'.repeat(200)), ['𐐀'.repeat(40)]);
  const longest = wordsOf('\uFDFA'.repeat(200));
  assert.ok(longest.length <= 10 && longest.every((word) => word.length <= 40));
});
