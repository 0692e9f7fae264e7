// The personal data of imported books: made readable with its keys, or erased.
import type { Ledger } from '../../domain/ledger.ts';
import { wordsOf } from '../../domain/name-words.ts';
import type { Queryable } from '../connection/connect.ts';
import { DamagedBooksError } from '../connection/errors.ts';
import { type PersonalRow, readPersonalData } from '../queries/personal-data.ts';
import { appendToJournal } from './journal.ts';

export type PersonalKey = { readonly account_number: string; readonly currency: string; readonly key: string };

/** A key that does not decrypt the personal data of its account. */
export class WrongPersonalKeyError extends Error {}

/** Adds the keys of personal data, and the words of the names. Throws a WrongPersonalKeyError if one is wrong. */
export async function insertPersonalKeys(
  connection: Queryable,
  ledger: Ledger,
  keys: readonly PersonalKey[],
): Promise<void> {
  const added = await connection.query<{
    account_number: string;
    currency: string;
    personal_data: Buffer;
    key: Buffer;
  }>(
    `with line as (
       select account_number, currency, decode(line.key, 'hex') as key, personal_data
       from json_to_recordset($2::json) as line (account_number text, currency text, key text)
       join accounts using (account_number, currency)
       where ledger_id = $1::integer and personal_data is not null
     ), added as (
       insert into personal_keys (ledger_id, account_number, currency, key)
       select $1::integer, account_number, currency, key from line
       on conflict (ledger_id, account_number, currency) do update set key = excluded.key
     )
     select account_number, currency, personal_data, key from line`,
    [ledger.id, JSON.stringify(keys)],
  );
  const words = added.rows.flatMap((row) =>
    wordsOf(nameOf(ledger, row)).map((word) => ({ number: row.account_number, word })),
  );
  await connection.query(
    'delete from account_words where ledger_id = $1::integer and account_number = any($2::text[])',
    [ledger.id, added.rows.map((row) => row.account_number)],
  );
  await connection.query(
    `insert into account_words (ledger_id, account_number, word)
     select $1::integer, added.*
     from unnest($2::text[], $3::text[]) as added`,
    [ledger.id, words.map(({ number }) => number), words.map(({ word }) => word)],
  );
}

function nameOf(ledger: Ledger, row: PersonalRow): string {
  try {
    return readPersonalData(ledger.id, row)?.name ?? '';
  } catch (error) {
    if (!(error instanceof DamagedBooksError)) throw error;
    const { account_number: number, currency } = row;
    throw new WrongPersonalKeyError(`the key of account ${number} ${currency} does not open its personal data`, {
      cause: error,
    });
  }
}

/** How many accounts have personal data that no key can read. */
export async function countUnreadable(connection: Queryable, ledger: Ledger): Promise<number> {
  const counted = await connection.query<{ count: bigint }>(`select count(*) from accounts where ${UNREADABLE}`, [
    ledger.id,
  ]);
  return Number(counted.rows[0]?.count ?? 0);
}

const UNREADABLE = `accounts.ledger_id = $1::integer and accounts.personal_data is not null and not exists (
      select
      from personal_keys
      where personal_keys.ledger_id = $1::integer and personal_keys.account_number = accounts.account_number
        and personal_keys.currency = accounts.currency
    )`;

/** How many accounts one row of the journal erases. */
const ERASED_ROWS = 1000;

const ERASE = `
  with erased as (
    update accounts
    set personal_data = null
    where ledger_id = $1::integer and (account_number, currency) in (
      select account_number, currency from accounts where ${UNREADABLE} order by account_number, currency limit ${ERASED_ROWS}
    )
    returning account_number, currency, account_seal(accounts) as seal
  ), changed as (
    select erased.*, 1 + (
      select max(change_number)
      from account_changes
      where ledger_id = $1::integer and account_changes.account_number = erased.account_number
        and account_changes.currency = erased.currency
    ) as change_number
    from erased
  ), total as (
    select count(*)::integer as count, sha256(convert_to(
      string_agg(
        concat_ws(chr(31), account_number, currency, change_number, encode(seal, 'hex'), '', '') || chr(30),
        '' order by account_number collate "C", currency collate "C"
      ),
      'UTF8'
    )) as digest
    from changed
  ), ${appendToJournal({
    ledgerId: '$1::integer',
    ledger: '$2::text',
    instant: 'statement_timestamp()',
    transferCount: '0',
    intakeCount: '0',
    changeCount: '(select count from total)',
    digest: '(select digest from total)',
    condition: '(select count from total) > 0',
  })}
  insert into account_changes (ledger_id, change_number, journal_number, account_number, currency, seal)
  select $1::integer, changed.change_number, journaled.number, changed.account_number, changed.currency, changed.seal
  from changed
  cross join journaled`;

/**
 * Erases personal data that no key can read, and seals that in the journal, which the import has locked. Returns how many
 * accounts.
 */
export async function eraseUnreadable(connection: Queryable, ledger: Ledger): Promise<number> {
  let total = 0;
  while (true) {
    const { rowCount } = await connection.query(ERASE, [ledger.id, ledger.name]);
    total += rowCount ?? 0;
    if ((rowCount ?? 0) < ERASED_ROWS) return total;
  }
}
