// Answers for people: a table for a list, and a line for each member of a single object. Names are those of the API.
import { stripVTControlCharacters, styleText } from 'node:util';
import Table from 'cli-table3';
import { renderDecimal } from '../../domain/currency.ts';
import { plain } from './text.ts';

export type Item = Readonly<Record<string, unknown>>;

/** What a table shows. `more`: columns that are left out, from the right, where the terminal is too narrow. */
export type Columns = { readonly columns: readonly string[]; readonly more?: readonly string[] };

const MONEY = new Set(
  'amount balance held available overdraft_limit captured released remaining positive negative sum'.split(' '),
);
const NO_BORDERS = Object.fromEntries(
  'top top-mid top-left top-right bottom bottom-mid bottom-left bottom-right left left-mid mid mid-mid right right-mid'
    .split(' ')
    .map((name) => [name, '']),
);

/** A table with a head. `currency`: of items that do not name theirs. */
export function renderTable(
  items: readonly Item[],
  { columns, more = [] }: Columns,
  { currency = null, width }: { currency?: string | null; width: number },
): string {
  for (let count = more.length; ; count -= 1) {
    const shown = [...columns, ...more.slice(0, count)];
    const head = shown.map((name) => styleText('bold', name));
    const rows = items.map((item) => shown.map((name) => shorten(name, renderCell(name, item, currency))));
    const text = draw([head, ...rows], {
      colAligns: shown.map((name) => (isNumber(name, items) ? 'right' : 'left')),
    });
    if (count === 0 || widthOf(text) <= width) return text;
  }
}

/** The members of an object that have a value, one in a line. */
export function renderDetails(item: Item): string {
  const isShown = (name: string) => name !== 'object' && item[name] !== null && JSON.stringify(item[name]) !== '{}';
  const members = Object.keys(item).filter(isShown);
  return draw(
    members.map((name) => [styleText('bold', plain(name)), renderCell(name, item, null)]),
    {},
  );
}

function draw(rows: readonly string[][], options: { colAligns?: ('left' | 'right')[] }): string {
  const style = { border: [], head: [], 'padding-left': 0, 'padding-right': 0, compact: true };
  const table = new Table({ ...options, chars: { ...NO_BORDERS, middle: '  ' }, style });
  table.push(...rows);
  const lines = table.toString().split('\n');
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

function renderCell(name: string, item: Item, currency: string | null): string {
  const value = item[name];
  if (value === null || value === undefined) return '-';
  if (typeof value === 'number' && MONEY.has(name)) return renderAmount(value, item['currency'] ?? currency);
  return plain(typeof value === 'string' ? value : JSON.stringify(value));
}

/** An amount without a currency stays in minor units. */
function renderAmount(amount: number, currency: unknown): string {
  if (typeof currency !== 'string' || !Number.isSafeInteger(amount)) return String(amount);
  return `${renderDecimal(BigInt(amount), currency)} ${plain(currency)}`;
}

/** A table has instants to the second. */
function shorten(name: string, text: string): string {
  return name.endsWith('_at') ? text.replace(/\.\d+Z$/, 'Z') : text;
}

function isNumber(name: string, items: readonly Item[]): boolean {
  return items.some((item) => typeof item[name] === 'number');
}

function widthOf(text: string): number {
  return Math.max(...text.split('\n').map((line) => stripVTControlCharacters(line).length));
}
