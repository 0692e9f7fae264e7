// The words of names, by which accounts are found. They are deleted with the key of the account's personal data.
import type { Ledger } from '../../domain/ledger.ts';
import type { Queryable } from '../connection/connect.ts';

/** The account is locked, so that two changes of its name do not both add their words. */
export async function replaceWords(
  connection: Queryable,
  ledger: Ledger,
  accountNumber: string,
  words: readonly string[],
): Promise<void> {
  await deleteWords(connection, ledger, accountNumber);
  await connection.query(
    `insert into account_words (ledger_id, account_number, word)
     select ledger_id, $1::text, word
     from journal_head
     cross join unnest($3::text[]) as word
     where ledger_id = $2::integer`,
    [accountNumber, ledger.id, words],
  );
}

export async function deleteWords(connection: Queryable, ledger: Ledger, accountNumber: string): Promise<void> {
  await connection.query('delete from account_words where ledger_id = $2::integer and account_number = $1::text', [
    accountNumber,
    ledger.id,
  ]);
}

/**
 * The numbers of accounts whose name has a word that begins with the longest of the filter, in the order of the page; null
 * if the filter has none. A sub-select that keeps its plan: the planner has no statistics of words.
 */
export function namedAccounts(
  { prefix, words }: { readonly prefix: string | null; readonly words: readonly string[] },
  { after, ascending }: { readonly after: { readonly accountNumber: string } | null; readonly ascending: boolean },
  bind: (value: unknown) => string,
): string | null {
  const [longest] = words.toSorted((one, other) => other.length - one.length);
  if (longest === undefined) return null;
  const conditions = [
    'ledger_id = $2::integer',
    beginsWith('word', longest, bind),
    ...(prefix === null ? [] : [beginsWith('account_number', prefix, bind)]),
    ...(after === null ? [] : [`account_number ${ascending ? '>=' : '<='} ${bind(after.accountNumber)}::text`]),
  ].join(' and ');
  return `(
           select distinct account_number as number
           from account_words
           where ${conditions}
           order by account_number ${ascending ? 'asc' : 'desc'}
           offset 0
         ) as named`;
}

/** The range of an index that has the prefix: U+10FFFF sorts after every other character. */
export function beginsWith(column: string, prefix: string, bind: (value: unknown) => string): string {
  return `${column} >= ${bind(prefix)}::text and ${column} < ${bind(`${prefix}\u{10FFFF}`)}::text`;
}
