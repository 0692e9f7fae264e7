// The handlers of the journal, for auditors: its rows, and the records that a row covers.
import { listJournal, loadJournalRow, loadRecords } from '../../../db/queries/journal.ts';
import { Problem } from '../../http/problem.ts';
import { renderDetail, renderJournalRow, renderRecord } from '../journal-views.ts';
import { journalRowSchema, listJournalSchema } from '../list-parameters.ts';
import { invalidCursor, PAGE_BYTES_MAX, renderItems, renderRows } from '../pages.ts';
import type { Services } from '../reads.ts';
import { defineRoute, NO_BODY, type Route } from '../route.ts';

const NUMBER_FORM = /^\d{1,15}$/;

export function journalRoutes({ lookUps, scans }: Services): Route[] {
  return [
    defineRoute({
      operationId: 'listJournal',
      tag: 'Books',
      method: 'GET',
      pattern: '/journal',
      wholeLedger: true,
      scope: 'events:read',
      summary: 'The rows of the journal, the chain of hashes that proves the ledger',
      query: listJournalSchema,
      body: NO_BODY,
      answers: { 200: 'JournalPage' },
      problems: [],
      handle: async ({ ledger, query, caller }) => {
        const { limit, after, order } = query;
        if (after !== undefined && !NUMBER_FORM.test(after)) throw invalidCursor();
        const page = {
          limit: limit + 1,
          after: after === undefined ? null : BigInt(after),
          newestFirst: order === 'newest',
        };
        const found = await lookUps.run(caller, async (pool) => await listJournal(pool, ledger, page));
        const render = (row: (typeof found)[number]) => renderJournalRow(ledger, row);
        return { status: 200, ...renderRows(found, limit, render, ({ number }) => String(number)) };
      },
    }),
    defineRoute({
      operationId: 'getJournalRow',
      tag: 'Books',
      method: 'GET',
      pattern: '/journal/:number',
      wholeLedger: true,
      scope: 'events:read',
      summary: 'One row of the journal, with the records over which its digest is made',
      query: journalRowSchema,
      body: NO_BODY,
      answers: { 200: 'JournalDetail' },
      problems: ['journal_row_not_found', 'archived'],
      handle: async ({ ledger, parameters: [text = ''], query, caller }) => {
        if (!NUMBER_FORM.test(text)) throw notFound();
        const number = BigInt(text);
        const { limit, after_record: after } = query;
        return await scans.run(caller, async (pool) => {
          const row = await loadJournalRow(pool, ledger, number);
          if (!row) throw notFound();
          // JSON has at least the bytes of the fields.
          const page = { number, after, limit: limit + 1, bytesMax: PAGE_BYTES_MAX };
          const found = await loadRecords(pool, ledger, page);
          const records = renderItems(found, limit, renderRecord);
          const next = records.length < found.length ? found[records.length - 1]?.number : undefined;
          return { status: 200, text: renderDetail(ledger, row, { records, next: next ?? null }) };
        });
      },
    }),
  ];
}

function notFound(): Problem {
  return new Problem('journal_row_not_found', 'The journal has no row with this number.');
}
