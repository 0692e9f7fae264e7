// The statements about accounts, except those of settlement, which alone moves money.
import type { AccountStatus, PersonalData } from '../../domain/account.ts';
import type { Ledger } from '../../domain/ledger.ts';
import { wordsOf } from '../../domain/name-words.ts';
import type { Orderer } from '../../domain/transfer.ts';
import type { Queryable } from '../connection/connect.ts';
import { isDistributed } from '../connection/distributed.ts';
import { beginsWith, deleteWords, namedAccounts, replaceWords } from './account-words.ts';
import { appendToJournal, lockJournal } from './journal.ts';
import { sealDistributed } from './records-distributed.ts';
import { type MetadataFilter, metadataCondition } from '../queries/metadata.ts';
import { encryptPersonalData, personalKey, type PersonalRow, readPersonalData } from '../queries/personal-data.ts';

/** An account without its personal data. */
export type AccountRecord = {
  readonly accountNumber: string;
  readonly currency: string;
  readonly status: AccountStatus;
  readonly balance: bigint;
  readonly held: bigint;
  readonly overdraftLimit: bigint;
  readonly entryCount: bigint;
  readonly metadata: Readonly<Record<string, string>>;
  readonly createdAt: string;
};

/** An account with its personal data; null if that was erased. */
export type PersonalAccount = AccountRecord & { readonly personalData: PersonalData | null };

/** An account as `loadPersonalAccounts` reads it, with the number of its last change. */
export type VersionedAccount = PersonalAccount & { readonly changeNumber: bigint };

/** The fields that may be changed; an absent field keeps its value. */
export type AccountChange = {
  readonly [Field in 'overdraftLimit' | 'metadata' | 'status']?: AccountRecord[Field] | undefined;
} & { readonly personalData: { readonly [Field in keyof PersonalData]?: PersonalData[Field] | undefined } };

const COLUMNS = 'account_number, currency, status, balance, held, overdraft_limit, entry_count, metadata, created_at';

type AccountRow = {
  account_number: string;
  currency: string;
  status: AccountStatus;
  balance: bigint;
  held: bigint;
  overdraft_limit: bigint;
  entry_count: bigint;
  metadata: Record<string, string>;
  created_at: string;
};

/**
 * Writes the current state of an account to the journal. It is the last statement of every transaction that opens or
 * changes an account, because it takes the lock of the journal's head.
 */
export async function sealAccount(
  connection: Queryable,
  ledger: Ledger,
  account: { accountNumber: string; currency: string },
  { orderedBy, approvedBy }: Orderer,
): Promise<void> {
  if (isDistributed(connection)) return await sealDistributed(connection, ledger, account, [orderedBy, approvedBy]);
  await lockJournal(connection, ledger);
  await connection.query({
    name: 'seal account',
    text: `
      with sealed as (
        select account_number, currency, account_seal(accounts) as seal,
          1 + (
            select coalesce(max(change_number), 0)
            from account_changes
            where ledger_id = $3::integer and account_number = $1::text and currency = $2::text
          ) as change_number
        from accounts
        where ledger_id = $3::integer and account_number = $1::text and currency = $2::text
      ), change as (
        select sealed.*,
          sha256(convert_to(
            concat_ws(
              chr(31), account_number, currency, change_number, encode(seal, 'hex'), coalesce($5::text, ''),
              coalesce($6::text, '')
            ) || chr(30),
            'UTF8'
          )) as digest
        from sealed
      ), ${appendToJournal({
        ledgerId: '$3::integer',
        ledger: '$4::text',
        instant: 'statement_timestamp()',
        transferCount: '0',
        intakeCount: '0',
        changeCount: '1',
        digest: '(select digest from change)',
      })}
      insert into account_changes (
        ledger_id, change_number, journal_number, account_number, currency, seal, ordered_by, approved_by
      )
      select $3::integer, change.change_number, journaled.number, change.account_number, change.currency, change.seal,
        $5::text, $6::text
      from change
      cross join journaled`,
    values: [account.accountNumber, account.currency, ledger.id, ledger.name, orderedBy, approvedBy],
  });
}

/** The accounts of this number: one, none, or for @external one per currency, in order of currency. */
export async function loadAccounts(
  connection: Queryable,
  ledger: Ledger,
  accountNumber: string,
): Promise<AccountRecord[]> {
  const result = await connection.query<AccountRow>({
    name: 'load accounts',
    text: `
      select ${COLUMNS}
      from accounts
      where ledger_id = $2::integer and account_number = $1::text
      order by currency`,
    values: [accountNumber, ledger.id],
  });
  return result.rows.map(toAccount);
}

/** The accounts of these numbers with their personal data, in no order; unknown numbers are omitted. */
export async function loadPersonalAccounts(
  connection: Queryable,
  ledger: Ledger,
  accountNumbers: readonly string[],
): Promise<VersionedAccount[]> {
  return (await loadPersonalRows(connection, ledger, accountNumbers)).map((row) => toVersionedAccount(ledger, row));
}

/** The keys of the personal data of these accounts, by their numbers. Those of erased accounts are gone. */
export async function loadPersonalKeys(
  connection: Queryable,
  ledger: Ledger,
  accountNumbers: readonly string[],
): Promise<Map<string, Buffer>> {
  const rows = await loadPersonalRows(connection, ledger, accountNumbers);
  return new Map(rows.flatMap(({ account_number: number, key }) => (key === null ? [] : [[number, key]])));
}

type VersionedRow = AccountRow & PersonalRow & { readonly change_number: bigint };

async function loadPersonalRows(
  connection: Queryable,
  ledger: Ledger,
  accountNumbers: readonly string[],
): Promise<VersionedRow[]> {
  const result = await connection.query<VersionedRow>({
    name: 'load personal accounts',
    text: `
      select ${COLUMNS}, personal_data, ${personalKey('$1::integer', 'accounts')} as key, (
        select coalesce(max(change_number), 0)
        from account_changes
        where ledger_id = $1::integer and account_number = accounts.account_number and currency = accounts.currency
      ) as change_number
      from accounts
      where ledger_id = $1::integer and account_number = any($2::text[])`,
    values: [ledger.id, accountNumbers],
  });
  return result.rows;
}

/** An answer may hold half of this: metadata takes fewer bytes in it than in the text of the database. */
const PAGE_METADATA_BYTES_MAX = 2 * 1024 * 1024;

/** Which accounts to list; null: all. */
export type AccountFilter = {
  /** Only accounts whose number begins with this text. */
  readonly prefix: string | null;
  readonly status: AccountStatus | null;
  readonly currency: string | null;
  readonly metadata: MetadataFilter | null;
  /** Only accounts whose name has words that begin with these, as `wordsOf` makes them. */
  readonly words: readonly string[];
};

type AccountPage = {
  readonly limit: number;
  readonly after: { readonly accountNumber: string; readonly currency: string } | null;
  readonly ascending: boolean;
};

/**
 * At most `limit` accounts that match the filter, in order of number, then currency, after the named one. There are
 * fewer if their metadata does not fit into a page, but the first that does not fit is included.
 */
export async function listAccounts(
  connection: Queryable,
  ledger: Ledger,
  filter: AccountFilter,
  page: AccountPage,
): Promise<PersonalAccount[]> {
  const values: unknown[] = [page.limit, ledger.id];
  const bind = (value: unknown) => `$${values.push(value)}`;
  const [comparison, direction] = page.ascending ? ['>', 'asc'] : ['<', 'desc'];
  const order = `account_number ${direction}, currency ${direction}`;
  const named = namedAccounts(filter, page, bind);
  const conditions = [
    'ledger_id = $2::integer',
    ...(named === null ? [] : ['account_number = named.number']),
    ...(page.after === null
      ? []
      : [
          `(account_number, currency) ${comparison} (${bind(page.after.accountNumber)}::text, ${bind(page.after.currency)}::text)`,
        ]),
    ...conditionsOf(filter, bind),
  ].join(' and ');
  const result = await connection.query<AccountRow & PersonalRow>(
    `select ${COLUMNS}, personal_data, ${personalKey('$2::integer', 'sized')} as key
     from (
       select ${COLUMNS}, personal_data,
         sum(octet_length(metadata::text)) over (order by ${order}) as bytes,
         row_number() over (order by ${order}) as place
       from (
         select ${COLUMNS}, personal_data
         from ${named === null ? `accounts where ${conditions}` : `${named} cross join lateral (select * from accounts where ${conditions} offset 0) as accounts`}
         order by ${order}
         limit $1::integer
       ) as page
     ) as sized
     where place <= 2 or bytes - octet_length(metadata::text) <= ${PAGE_METADATA_BYTES_MAX}
     order by ${order}`,
    values,
  );
  return result.rows.map((row) => toPersonalAccount(ledger, row));
}

function conditionsOf(
  { prefix, status, currency, metadata, words }: AccountFilter,
  bind: (value: unknown) => string,
): string[] {
  return [
    ...(prefix === null ? [] : [beginsWith('account_number', prefix, bind)]),
    ...(words.length < 2 ? [] : words).map(
      (word) => `exists (
             select
             from account_words as other
             where other.ledger_id = $2::integer and other.account_number = accounts.account_number
               and ${beginsWith('other.word', word, bind)}
           )`,
    ),
    // One of a few known words, not a parameter: the planner must see that the index, which has no open accounts, has it.
    ...(status === null ? [] : [`status = '${status}'`]),
    ...(currency === null ? [] : [`currency = ${bind(currency)}::text`]),
    // The index has only accounts with metadata. The planner cannot infer that from the second condition alone.
    ...(metadata === null ? [] : [`metadata <> '{}' and ${metadataCondition(metadata, bind)}`]),
  ];
}

/**
 * Changes the named fields of an account that is not closed, and whose personal data was not erased if the change
 * names some. A limit below the drawn amount violates accounts_no_overdraft. The change must be sealed in the same
 * transaction.
 */
export async function updateAccount(
  connection: Queryable,
  ledger: Ledger,
  accountNumber: string,
  change: AccountChange,
): Promise<VersionedAccount | 'closed' | 'erased'> {
  const values: unknown[] = [accountNumber, ledger.id];
  // Locked and then read: a statement that waits for a lock would see the key as it was before.
  await lockAccount(connection, ledger, accountNumber);
  const [row] = await loadPersonalRows(connection, ledger, [accountNumber]);
  if (!row || row.status === 'closed') return 'closed';
  const before = toVersionedAccount(ledger, row);
  const named = Object.entries(change.personalData).filter(([, value]) => value !== undefined);
  if (named.length > 0 && before.personalData === null) return 'erased';
  const personalData = before.personalData && { ...before.personalData, ...Object.fromEntries(named) };
  const assignments: string[] = [];
  const assign = (column: string, type: string, value: unknown) => {
    if (value !== undefined) assignments.push(`${column} = $${values.push(value)}::${type}`);
  };
  if (named.length > 0 && personalData && row.key)
    assign('personal_data', 'bytea', encryptPersonalData({ ...before, ledgerId: ledger.id }, personalData, row.key));
  if (change.personalData.name !== undefined) {
    await replaceWords(connection, ledger, accountNumber, wordsOf(change.personalData.name));
  }
  assign('overdraft_limit', 'bigint', change.overdraftLimit);
  assign('status', 'text', change.status);
  assign('metadata', 'jsonb', change.metadata && JSON.stringify(change.metadata));
  if (assignments.length === 0) assignments.push('status = status');
  const updated = await connection.query<AccountRow>(
    `update accounts
     set ${assignments.join(', ')}
     where ledger_id = $2::integer and account_number = $1::text
     returning ${COLUMNS}`,
    values,
  );
  return { ...(updated.rows.map(toAccount)[0] ?? before), personalData, changeNumber: before.changeNumber + 1n };
}

/** Locks an account for the rest of a transaction. Returns the number of its last change. */
export async function lockChangeNumber(connection: Queryable, ledger: Ledger, accountNumber: string): Promise<bigint> {
  await lockAccount(connection, ledger, accountNumber);
  const result = await connection.query<{ number: bigint }>({
    name: 'load change number',
    text: `
      select coalesce(max(change_number), 0) as number
      from account_changes
      where ledger_id = $2::integer and account_number = $1::text`,
    values: [accountNumber, ledger.id],
  });
  return result.rows[0]?.number ?? 0n;
}

async function lockAccount(connection: Queryable, ledger: Ledger, accountNumber: string): Promise<void> {
  await connection.query({
    name: 'lock account',
    text: 'select from accounts where ledger_id = $2::integer and account_number = $1::text for update',
    values: [accountNumber, ledger.id],
  });
}

/**
 * Erases the personal data of an account, closed or not: what is left of it anywhere was made with the deleted key.
 * Returns whether there was any. The change must be sealed in the same transaction.
 */
export async function erasePersonalData(
  connection: Queryable,
  ledger: Ledger,
  accountNumber: string,
): Promise<boolean> {
  const values = [accountNumber, ledger.id];
  const erased = await connection.query(
    `update accounts
     set personal_data = null
     where ledger_id = $2::integer and account_number = $1::text and personal_data is not null`,
    values,
  );
  await connection.query(
    'delete from personal_keys where ledger_id = $2::integer and account_number = $1::text',
    values,
  );
  await deleteWords(connection, ledger, accountNumber);
  return erased.rowCount === 1;
}

/** Closes an empty account. Returns whether it did. The change must be sealed in the same transaction. */
export async function closeAccount(connection: Queryable, ledger: Ledger, accountNumber: string): Promise<boolean> {
  const closed = await connection.query(
    `update accounts
     set status = 'closed'
     where ledger_id = $2::integer and account_number = $1::text
       and status <> 'closed' and balance = 0 and held = 0`,
    [accountNumber, ledger.id],
  );
  return closed.rowCount === 1;
}

function toAccount(row: AccountRow): AccountRecord {
  return {
    accountNumber: row.account_number,
    currency: row.currency,
    status: row.status,
    balance: row.balance,
    held: row.held,
    overdraftLimit: row.overdraft_limit,
    entryCount: row.entry_count,
    metadata: row.metadata,
    createdAt: row.created_at,
  };
}

function toPersonalAccount(ledger: Ledger, row: AccountRow & PersonalRow): PersonalAccount {
  return { ...toAccount(row), personalData: readPersonalData(ledger.id, row) };
}

function toVersionedAccount(ledger: Ledger, row: VersionedRow): VersionedAccount {
  return { ...toPersonalAccount(ledger, row), changeNumber: row.change_number };
}
