import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stringify } from 'csv-stringify/sync';
import * as fc from 'fast-check';
import { isPlain, neutralize, renderCsv } from '../src/render/csv.ts';

const cell = fc.option(
  fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: fc.constantFrom('a', ',', '"', '\n', '\r', ' ', '') })),
);

test('csv: every row is rendered as csv-stringify renders it', () => {
  fc.assert(
    fc.property(fc.array(fc.array(cell, { maxLength: 6 })), (rows) => {
      assert.equal(renderCsv(rows), stringify(rows));
    }),
  );
});

test('csv: a plain cell has no meaning for a spreadsheet and needs no quotes', () => {
  const beginning = fc.constantFrom(
    '',
    '=',
    '+',
    '-',
    '@',
    '\t',
    '\r',
    '\n',
    '＝',
    '＋',
    '－',
    '＠',
    "'",
    ';=',
    ' -',
    '\t=',
    '; +',
  );
  fc.assert(
    fc.property(beginning, cell, (first, rest) => {
      const text = rest === null ? null : `${first}${rest}`;
      assert.equal(isPlain(text), stringify([[text, 'x']]) === `${text ?? ''},x\n` && neutralize(text) === text);
    }),
  );
});

/** The cells of a text as a spreadsheet reads it that separates them at `delimiter`, and rows at line breaks, quotes or not. */
function splitCells(csv: string, delimiter: string): string[] {
  return csv.split(/[\r\n]/).flatMap((row) => row.split(delimiter));
}

test('csv: no cell is a formula, for any separator of the reader', () => {
  const piece = fc.constantFrom(
    '=',
    '+',
    '-',
    '@',
    '＝',
    ';',
    ',',
    '\t',
    '\r',
    '\n',
    '"',
    ' ',
    "'",
    'a',
    '1',
    '@external',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('');
      if (text === '@external') return;
      const csv = renderCsv([['x', neutralize(text), 'x']]);
      for (const delimiter of [';', '\t']) {
        for (const cell of splitCells(csv, delimiter))
          assert.doesNotMatch(cell, /^[\s"]*[=+\-@＝]/, JSON.stringify(csv));
      }
      // A reader that splits at commas honors the quotes.
      assert.doesNotMatch(neutralize(text) ?? '', /^\s*[=+\-@＝]/);
    }),
  );
});

test('csv: an apostrophe precedes exactly the signs that could start a formula', () => {
  const cases: [text: string, cell: string][] = [
    ['=1+1', "'=1+1"],
    ['rent;=1+1;+2;@SUM(A1)', "rent;'=1+1;'+2;'@SUM(A1)"],
    ['rent; -2', "rent; '-2"],
    ['a,=1', "a,'=1"],
    ['a\t=1\n=2', "a\t'=1\n'=2"],
    ['x;"=1"', `x;"'=1"`],
    [' =1', " '=1"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['@external', '@external'],
    ['@externals', "'@externals"],
    ['2=1+1; a-b, c@d', '2=1+1; a-b, c@d'],
  ];
  for (const [text, cell] of cases) assert.equal(neutralize(text), cell);
  assert.equal(neutralize(null), null);
});
