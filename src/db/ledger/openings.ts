// The rows of the accounts that a job opens: the accounts with their keys and words, and later the changes that the journal
// covers.
import { wordsOf } from '../../domain/name-words.ts';
import type { Ledger } from '../../domain/ledger.ts';
import { journalEnd } from '../queries/journal-end.ts';
import { renderBytes, renderColumn } from '../queries/transfer-columns.ts';
import type { DecidedJob, Opened, Statement } from './decided-job.ts';
import { instantOf } from './micros.ts';
import type { ArraySource } from './settlement-distributed.ts';

const insertAccountsFrom = ({ ledgerId, beside, where }: ArraySource) => `
  insert into accounts (
    ledger_id, created_at, account_number, currency, personal_data, overdraft_limit, metadata, balance, held, entry_count
  )
  select ${ledgerId}, ${instantOf('$2::bigint')}, opened.*
  from ${beside}unnest(
    $3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::jsonb[], $8::bigint[], $9::bigint[], $10::bigint[]
  ) as opened${where}`;

const insertPersonalKeysFrom = ({ ledgerId, beside, where }: ArraySource) => `
  insert into personal_keys (ledger_id, account_number, currency, key)
  select ${ledgerId}, opened.*
  from ${beside}unnest($2::text[], $3::text[], $4::bytea[]) as opened${where}`;

const insertAccountWordsFrom = ({ ledgerId, beside, where }: ArraySource) => `
  insert into account_words (ledger_id, account_number, word)
  select ${ledgerId}, opened.*
  from ${beside}unnest($2::text[], $3::text[]) as opened${where}`;

export const openingTexts = (source: ArraySource) => ({
  insertAccounts: insertAccountsFrom(source),
  insertPersonalKeys: insertPersonalKeysFrom(source),
  insertAccountWords: insertAccountWordsFrom(source),
});
type Texts = ReturnType<typeof openingTexts>;

const INSERT_OPENINGS = `
  insert into account_changes (
    ledger_id, change_number, journal_number, account_number, currency, seal, ordered_by, approved_by
  )
  select head.ledger_id, 1, head.number, account_number, currency, seal, ordered_by, approved_by
  from ${journalEnd('$1::integer')} as head
  cross join unnest($2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[])
    as opened (account_number, currency, seal, ordered_by, approved_by)
`;

/** The statements that insert accounts, before the journal is locked: they may wait for another job that opens the same ones. */
export function insertOpened(
  ledger: Ledger,
  { jobMicros, opened }: Pick<DecidedJob, 'jobMicros' | 'opened'>,
  texts: Texts,
): Statement[] {
  if (opened.length === 0) return [];
  const values = [
    ledger.id,
    jobMicros,
    renderColumn(opened.map(({ account }) => account.accountNumber)),
    renderColumn(opened.map(({ account }) => account.currency)),
    renderBytes(opened.map(({ encrypted }) => (encrypted === '' ? null : encrypted))),
    renderColumn(opened.map(({ account }) => account.overdraftLimit)),
    renderColumn(opened.map(({ account }) => JSON.stringify(account.metadata))),
    renderColumn(opened.map(({ state }) => state.balance)),
    renderColumn(opened.map(({ state }) => state.held)),
    renderColumn(opened.map(({ state }) => state.entryCount)),
  ];
  return [
    { name: 'insert accounts', text: texts.insertAccounts, values },
    ...insertKeys(ledger, opened, texts),
    ...insertWords(ledger, opened, texts),
  ];
}

function insertKeys(ledger: Ledger, opened: readonly Opened[], texts: Texts): Statement[] {
  const keyed = opened.flatMap(({ account }) => (account.key === null ? [] : [account]));
  const values = [
    ledger.id,
    renderColumn(keyed.map(({ accountNumber }) => accountNumber)),
    renderColumn(keyed.map(({ currency }) => currency)),
    renderBytes(keyed.map(({ key }) => key)),
  ];
  return [{ name: 'insert personal keys', text: texts.insertPersonalKeys, values }];
}

function insertWords(ledger: Ledger, opened: readonly Opened[], texts: Texts): Statement[] {
  const rows = opened.flatMap(({ account: { accountNumber, personalData } }) =>
    wordsOf(personalData?.name ?? '').map((word) => ({ accountNumber, word })),
  );
  if (rows.length === 0) return [];
  const numbers = renderColumn(rows.map(({ accountNumber }) => accountNumber));
  const values = [ledger.id, numbers, renderColumn(rows.map(({ word }) => word))];
  return [{ name: 'insert account words', text: texts.insertAccountWords, values }];
}

/** The openings as changes of the accounts, behind the row of the journal that covers them. */
export function appendOpenings({ ledger, opened }: DecidedJob): Statement[] {
  if (opened.length === 0) return [];
  const values = [
    ledger.id,
    renderColumn(opened.map(({ account }) => account.accountNumber)),
    renderColumn(opened.map(({ account }) => account.currency)),
    renderBytes(opened.map(({ seal }) => seal)),
    renderColumn(opened.map(({ by }) => by.orderedBy)),
    renderColumn(opened.map(({ by }) => by.approvedBy)),
  ];
  return [{ name: 'insert openings', text: INSERT_OPENINGS, values }];
}
