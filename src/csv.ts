// CSV as people open it: with a spreadsheet, which must not take a caller's text for a formula.
import { stringify } from 'csv-stringify/sync';

/** What a spreadsheet would take for the beginning of a formula (OWASP, CSV injection); some read the full-width signs alike. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;

/** A cell with a caller's text: what looks like a formula gets an apostrophe, which spreadsheets do not show. */
export function neutralise(text: string | null): string | null {
  return text !== null && FORMULA.test(text) ? `'${text}` : text;
}

/** Renders rows as lines of CSV; null is an empty cell. */
export function renderCsv(rows: readonly (readonly (string | null)[])[]): string {
  return stringify([...rows]);
}
