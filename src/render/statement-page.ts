// A statement as an HTML page for screens and printers. It has no script and loads nothing, and every text of a caller
// is escaped, so that it is safe to open.
import { renderMoney } from '../domain/currency.ts';
import type { StatementEntry, StatementSummary } from '../db/queries/statements.ts';

/** The page may load or run nothing except its own style. No other page may frame it. */
export const PAGE_SECURITY_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

// The table's head is repeated on every printed page, and no entry is split between two pages. On a phone, five columns
// would push amount and balance off the screen, so each entry is a small grid there.
const STYLE = `
:root { color-scheme: light; --ink: #1b1f24; --faint: #667085; --line: #d0d5dd; --band: #f5f6f8; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem; max-width: 62rem; color: var(--ink); background: #fff;
  font: 15px/1.45 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
header { display: flex; flex-wrap: wrap; gap: 0.5rem 2rem; justify-content: space-between; align-items: baseline; }
h1 { margin: 0; font-size: 1.6rem; }
header p { margin: 0; color: var(--faint); }
.holder { margin: 0.75rem 0 1.5rem; overflow-wrap: anywhere; }
.notice { margin: 0 0 1.5rem; padding: 0.5rem 0.75rem; border: 1px solid #b54708; color: #93370d; border-radius: 4px; }
dl { display: grid; grid-template-columns: repeat(4, 1fr); margin: 0 0 2rem; border: 1px solid var(--line); border-radius: 6px; }
dl div { padding: 0.75rem; }
dl div + div { border-left: 1px solid var(--line); }
dt { color: var(--faint); font-size: 0.85em; }
dd { margin: 0; font-size: 1.05em; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; }
thead { display: table-header-group; }
th { text-align: left; font-size: 0.85em; color: var(--faint); border-bottom: 2px solid var(--ink); }
th, td { padding: 0.45rem 0.6rem; vertical-align: top; }
td { border-bottom: 1px solid var(--line); }
tr { break-inside: avoid; }
.boundary td { background: var(--band); font-weight: 600; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.time { white-space: nowrap; }
.text { overflow-wrap: anywhere; }
small { display: block; color: var(--faint); overflow-wrap: anywhere; }
footer { margin-top: 1.5rem; color: var(--faint); font-size: 0.85em; }
@media screen and (max-width: 40rem) {
  body { padding: 1.25rem 1rem; }
  dl { display: block; }
  dl div { display: flex; justify-content: space-between; align-items: baseline; gap: 0.75rem; padding: 0.5rem 0.75rem; }
  dl div + div { border-left: 0; border-top: 1px solid var(--line); }
  table, tbody { display: block; }
  thead { position: absolute; clip-path: inset(50%); }
  tr { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0 0.75rem; padding: 0.6rem 0; border-bottom: 1px solid var(--line); }
  td { padding: 0; border: 0; }
  td:nth-child(1) { grid-area: 3 / 1; text-align: left; color: var(--faint); font-size: 0.85em; }
  td:nth-child(1)::before { content: "No. "; }
  td:nth-child(2) { grid-area: 2 / 1; white-space: normal; color: var(--faint); font-size: 0.85em; }
  td:nth-child(3) { grid-area: 1 / 1; }
  td:nth-child(4) { grid-area: 1 / 2; font-weight: 600; }
  td:nth-child(5) { grid-area: 2 / 2; }
  td:nth-child(5)::before { content: "Balance "; color: var(--faint); font-size: 0.85em; font-weight: 400; }
  .boundary { padding: 0.6rem; background: var(--band); }
  .boundary td:empty, .boundary td::before { display: none; }
  .boundary td:nth-child(5) { grid-area: 1 / 2; }
}
@page { size: A4; margin: 16mm 14mm 18mm; @bottom-right { content: counter(page) " / " counter(pages); font: 9pt sans-serif; } }
@media print {
  body { max-width: none; padding: 0; font-size: 9.5pt; }
  dl { break-inside: avoid; }
  dd { font-size: 1em; }
  .boundary td { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  footer { break-before: avoid; }
}`;

export function renderPageStart(summary: StatementSummary): string {
  const { currency } = summary;
  const title = `Statement ${titleOf(summary.month)}`;
  // The personal data of the account may be erased.
  const holder = summary.name === null ? '' : `<strong>${isolate(summary.name)}</strong><br>`;
  const figure = (name: string, amount: bigint) =>
    `<div><dt>${name}</dt><dd>${renderMoney(amount, currency)}</dd></div>`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="referrer" content="no-referrer">
<title>${title}, ${escapeText(summary.accountNumber)}</title>
<style>${STYLE}
</style>
</head>
<body>
<header><h1>${title}</h1><p>Amounts in ${escapeText(currency)}, times in UTC</p></header>
<p class="holder">${holder}Account ${isolate(summary.accountNumber)}</p>
${summary.final ? '' : '<p class="notice">This month is not closed yet: entries may still be added.</p>\n'}<dl>
${figure('Opening balance', summary.openingBalance)}
${figure('Money in', summary.totalIn)}
${figure('Money out', -summary.totalOut)}
${figure(summary.final ? 'Closing balance' : 'Balance so far', summary.closingBalance)}
</dl>
<table>
<thead><tr><th class="number">No.</th><th>Settled</th><th>What</th><th class="number">Amount</th><th class="number">Balance</th></tr></thead>
<tbody>
${renderBoundary('Opening balance', summary.openingBalance, currency)}`;
}

export function renderPageRows(summary: StatementSummary, entries: readonly StatementEntry[]): string {
  return entries.map((entry) => renderPageRow(summary, entry)).join('');
}

export function renderPageEnd(summary: StatementSummary): string {
  const { openingEntryNumber: before, closingEntryNumber: last, currency } = summary;
  const range = last > before ? `Entries ${before + 1n} to ${last} of this account.` : 'No entries in this month.';
  const name = summary.final ? 'Closing balance' : 'Balance so far';
  return `${renderBoundary(name, summary.closingBalance, currency)}</tbody>
</table>
<footer>${range}</footer>
</body>
</html>
`;
}

function renderPageRow({ currency }: StatementSummary, entry: StatementEntry): string {
  const direction = entry.amount < 0n ? 'to' : 'from';
  const what = `${escapeText(titled(entry.kind))} ${direction} ${isolate(entry.counterparty)}`;
  const described = entry.description === null ? '' : `${isolate(entry.description)}<br>`;
  const time = `${entry.settledAt.slice(0, 10)} ${entry.settledAt.slice(11, 19)}`;
  return (
    `<tr><td class="number">${entry.entryNumber}</td>` +
    `<td class="time"><time datetime="${escapeText(entry.settledAt)}">${escapeText(time)}</time></td>` +
    `<td class="text">${described}${what}<small>${escapeText(entry.transferId)}</small></td>` +
    `<td class="number">${renderMoney(entry.amount, currency)}</td>` +
    `<td class="number">${renderMoney(entry.balance, currency)}</td></tr>\n`
  );
}

function renderBoundary(name: string, balance: bigint, currency: string): string {
  return (
    `<tr class="boundary"><td></td><td></td><td>${name}</td><td></td>` +
    `<td class="number">${renderMoney(balance, currency)}</td></tr>\n`
  );
}

/** Such as November 2026. */
function titleOf(month: string): string {
  return `${MONTHS[Number(month.slice(5)) - 1]} ${month.slice(0, 4)}`;
}

function titled(word: string): string {
  return `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** A caller's text. It may run from right to left, so it is isolated from the text around it. */
export function isolate(text: string): string {
  return `<bdi>${escapeText(text)}</bdi>`;
}

export function escapeText(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ESCAPES[character] ?? '');
}
