// The views of the journal, and their renderers.
import { z } from 'zod';
import { type JournalRecord, type JournalRow, RECORD_KINDS } from '../../db/queries/journal.ts';
import type { Ledger } from '../../domain/ledger.ts';
import { instant } from '../../render/json.ts';

export const hash = z.string().describe('SHA-256, in lower-case hexadecimal.');

const row = {
  ledger: z.string().describe('The name of the ledger.'),
  number: z.int().describe('1, 2, 3 … without gaps, in commit order.'),
  settled_at: instant,
  hash: hash.describe(
    'SHA-256, in lower-case hexadecimal, over the bytes of `previous_hash`, the text ' +
      '`ledger|number|settled_at|transfer_count|change_count`, with `settled_at` in microseconds since 1970, and the ' +
      'bytes of `digest`.',
  ),
  previous_hash: hash.describe('The `hash` of the row before; 64 zeros for the first.'),
  digest: hash.describe('SHA-256, in lower-case hexadecimal, over the records of the row.'),
  transfer_count: z.int().describe('How many transfers the row covers.'),
  change_count: z.int().describe('How many account changes the row covers, or 1 for an administrative act.'),
};

export const journalRecordView = z.object({
  kind: z.enum(RECORD_KINDS),
  fields: z
    .array(z.string())
    .describe(
      'The fields as text, in the order of the record form; absent ones are empty. The digest is made over all records ' +
        'of the row, in their order: of each its fields, joined by U+001F, and then U+001E.',
    ),
});

const journalRowView = z.object({ object: z.literal('journal_row'), ...row });

const journalDetailView = z.object({
  object: z.literal('journal_detail'),
  ...row,
  records: z.array(journalRecordView),
  next_record: z.int().nullable().describe('Send it as `after_record` for the next records; null at the end.'),
});

const journalPageView = z.object({
  object: z.literal('list'),
  items: z.array(journalRowView),
  next: z.string().nullable().describe('Send it as `after` for the next page; null at the end.'),
});

export const JOURNAL_VIEWS = {
  JournalRow: journalRowView,
  JournalPage: journalPageView,
  JournalDetail: journalDetailView,
};

export function renderJournalRow(ledger: Ledger, row: JournalRow): z.input<typeof journalRowView> {
  return {
    object: 'journal_row',
    ledger: ledger.name,
    number: Number(row.number),
    settled_at: row.settledAt,
    hash: row.hash,
    previous_hash: row.previousHash,
    digest: row.digest,
    transfer_count: row.transferCount,
    change_count: row.changeCount,
  };
}

export function renderRecord({ kind, fields }: JournalRecord): z.input<typeof journalRecordView> {
  return { kind, fields: [...fields] };
}

/** A row with some of its records, which are JSON already. */
export function renderDetail(
  ledger: Ledger,
  row: JournalRow,
  { records, next }: { records: readonly string[]; next: number | null },
): { contentType: string; text: string } {
  const facts = JSON.stringify({ ...renderJournalRow(ledger, row), object: 'journal_detail' });
  const text = `${facts.slice(0, -1)},"records":[${records.join(',')}],"next_record":${next}}`;
  return { contentType: 'application/json', text };
}
