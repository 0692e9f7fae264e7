// A statement as a stream of text: JSON for programs, CSV for spreadsheets, and a page for people (statement-page.ts).
// The closing balance comes last, so that a reader can detect a truncated statement.
import { z } from 'zod';
import { BYTE_ORDER_MARK, type CsvStyle, neutralize, PLAIN_STYLE, renderCsv } from './csv.ts';
import type { StatementEntry, StatementSummary } from '../db/queries/statements.ts';
import { renderDecimal } from '../domain/currency.ts';
import { exactInteger, instant, minorUnits, sumOfMoney, transferKind } from './json.ts';
import { renderPageEnd, renderPageRows, renderPageStart } from './statement-page.ts';

/** The month of a statement. */
export const MONTH_FORM = /^[1-9]\d{3}-(0[1-9]|1[0-2])$/;

export const STATEMENT_FORMATS = ['json', 'csv', 'html'] as const;

export type StatementFormat = (typeof STATEMENT_FORMATS)[number];

export const STATEMENT_CONTENT_TYPES = {
  json: 'application/json',
  csv: 'text/csv; charset=utf-8; header=present',
  html: 'text/html; charset=utf-8',
} as const satisfies Record<StatementFormat, string>;

const CSV_COLUMNS = [
  'entry_number',
  'settled_at',
  'transfer_id',
  'kind',
  'counterparty',
  'description',
  'currency',
  'amount',
  'balance',
];

type Form = {
  start(summary: StatementSummary): string;
  rows(summary: StatementSummary, entries: readonly StatementEntry[], isFirst: boolean): string;
  end(summary: StatementSummary): string;
};

const FORMS: Readonly<Record<Exclude<StatementFormat, 'csv'>, Form>> = {
  json: {
    // The head without its closing brace, so that the list of entries can follow.
    start: (summary) => `${JSON.stringify(renderSummary(summary)).slice(0, -1)},"entries":[`,
    rows: (_summary, entries, isFirst) =>
      `${isFirst ? '' : ','}${entries.map((entry) => JSON.stringify(renderEntry(entry))).join(',')}`,
    end: (summary) => `],"closing_balance":${summary.closingBalance}}\n`,
  },
  html: { start: renderPageStart, rows: renderPageRows, end: renderPageEnd },
};

function csvForm({ byteOrderMark, decimals }: CsvStyle): Form {
  const money = (amount: bigint, currency: string) => (decimals ? renderDecimal(amount, currency) : String(amount));
  const boundary = (summary: StatementSummary, kind: string, at: string, balance: bigint) => [
    null,
    at,
    null,
    kind,
    null,
    null,
    summary.currency,
    null,
    money(balance, summary.currency),
  ];
  return {
    start: (summary) =>
      (byteOrderMark ? BYTE_ORDER_MARK : '') +
      renderCsv([CSV_COLUMNS, boundary(summary, 'opening_balance', summary.begins, summary.openingBalance)]),
    rows: ({ currency }, entries) =>
      renderCsv(
        entries.map((entry) => [
          String(entry.entryNumber),
          entry.settledAt,
          entry.transferId,
          entry.kind,
          neutralize(entry.counterparty),
          neutralize(entry.description),
          currency,
          money(entry.amount, currency),
          money(entry.balance, currency),
        ]),
      ),
    end: (summary) => renderCsv([boundary(summary, 'closing_balance', summary.ends, summary.closingBalance)]),
  };
}

/** Renders a statement whose entries come in batches. */
export async function* renderStatement(
  format: StatementFormat,
  summary: StatementSummary,
  batches: AsyncIterable<readonly StatementEntry[]>,
  style: CsvStyle = PLAIN_STYLE,
): AsyncGenerator<string> {
  const form = format === 'csv' ? csvForm(style) : FORMS[format];
  yield form.start(summary);
  let isFirst = true;
  for await (const batch of batches) {
    yield form.rows(summary, batch, isFirst);
    isFirst = false;
  }
  yield form.end(summary);
}

const summaryView = z.object({
  object: z.literal('statement'),
  account_number: z.string(),
  name: z.string().nullable().describe('Null: the personal data of the account was erased.'),
  currency: z.string(),
  month: z.string().describe('Such as 2026-11, in UTC.'),
  begins: instant,
  ends: instant.describe('The next month begins.'),
  final: z.boolean().describe('Whether nothing can be added any more: the journal is closed past the month.'),
  entry_count: z.int(),
  first_entry_number: z.int().nullable(),
  last_entry_number: z.int().nullable(),
  opening_balance: minorUnits.describe('The closing balance of the month before.'),
  total_in: sumOfMoney,
  total_out: sumOfMoney,
});

function renderSummary(summary: StatementSummary): z.input<typeof summaryView> {
  const { openingEntryNumber: before, closingEntryNumber: last } = summary;
  return {
    object: 'statement',
    account_number: summary.accountNumber,
    name: summary.name,
    currency: summary.currency,
    month: summary.month,
    begins: summary.begins,
    ends: summary.ends,
    final: summary.final,
    entry_count: Number(last - before),
    first_entry_number: last > before ? Number(before + 1n) : null,
    last_entry_number: last > before ? Number(last) : null,
    opening_balance: Number(summary.openingBalance),
    total_in: exactInteger(summary.totalIn),
    total_out: exactInteger(summary.totalOut),
  };
}

export const statementEntryView = z.object({
  entry_number: z.int(),
  settled_at: instant,
  transfer_id: z.uuid(),
  kind: transferKind,
  counterparty: z.string().describe("The other account's number."),
  description: z.string().nullable(),
  amount: minorUnits.describe('Negative: it left the account.'),
  balance: minorUnits.describe('The balance after this entry.'),
});

function renderEntry(entry: StatementEntry): z.input<typeof statementEntryView> {
  return {
    entry_number: Number(entry.entryNumber),
    settled_at: entry.settledAt,
    transfer_id: entry.transferId,
    kind: entry.kind,
    counterparty: entry.counterparty,
    description: entry.description,
    amount: Number(entry.amount),
    balance: Number(entry.balance),
  };
}

/** A statement as JSON. FORMS.json writes its members in this order. */
export const statementView = summaryView.extend({
  entries: z.array(statementEntryView),
  closing_balance: minorUnits.describe('Comes last: a truncated answer does not have it.'),
});
