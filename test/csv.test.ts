import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stringify } from 'csv-stringify/sync';
import * as fc from 'fast-check';
import { isPlain, neutralise, renderCsv } from '../src/csv.ts';

const cell = fc.option(
  fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: fc.constantFrom('a', ',', '"', '\n', '\r', ' ', '') })),
);

test('csv: rows look as csv-stringify renders them, whatever is in them', () => {
  fc.assert(
    fc.property(fc.array(fc.array(cell, { maxLength: 6 })), (rows) => {
      assert.equal(renderCsv(rows), stringify(rows));
    }),
  );
});

test('csv: a plain cell is one that neither a spreadsheet nor csv-stringify sees anything in', () => {
  const beginning = fc.constantFrom('', '=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠', "'");
  fc.assert(
    fc.property(beginning, cell, (first, rest) => {
      const text = rest === null ? null : `${first}${rest}`;
      assert.equal(isPlain(text), stringify([[text, 'x']]) === `${text ?? ''},x\n` && neutralise(text) === text);
    }),
  );
});
