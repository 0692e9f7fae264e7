// The statements about accounts, except those of settlement, which alone moves money.
import type { AccountStatus } from '../../domain/account.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { Orderer } from '../../domain/transfer.ts';
import type { Queryable } from '../connection/connect.ts';
import { lastEntryUpTo, lastJournalNumber } from '../queries/history.ts';
import { roundDown } from '../queries/instants.ts';
import { appendToJournal } from './journal.ts';
import { type MetadataFilter, metadataCondition } from '../queries/metadata.ts';

export type AccountRecord = {
  readonly accountNumber: string;
  readonly currency: string;
  readonly status: AccountStatus;
  readonly name: string;
  readonly email: string | null;
  readonly phone: string | null;
  readonly dateOfBirth: string | null;
  readonly balance: bigint;
  readonly held: bigint;
  readonly overdraftLimit: bigint;
  readonly entryCount: bigint;
  readonly metadata: Readonly<Record<string, string>>;
  readonly createdAt: string;
};

/** The fields that may be changed; an absent field keeps its value. */
export type AccountChange = {
  readonly [Field in 'name' | 'email' | 'phone' | 'dateOfBirth' | 'overdraftLimit' | 'metadata' | 'status']?:
    | AccountRecord[Field]
    | undefined;
};

export type Entry = {
  readonly entryNumber: bigint;
  readonly transferId: string;
  readonly amount: bigint;
  readonly balance: bigint;
  readonly journalNumber: bigint;
  readonly settledAt: string;
};

const COLUMNS = `
  account_number, currency, status, name, email, phone, date_of_birth, balance, held, overdraft_limit, entry_count,
  metadata, created_at`;

type AccountRow = {
  account_number: string;
  currency: string;
  status: AccountStatus;
  name: string;
  email: string | null;
  phone: string | null;
  date_of_birth: string | null;
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

/** The accounts of these numbers, in no order; unknown numbers are omitted. */
export async function loadAccountsOf(
  connection: Queryable,
  ledger: Ledger,
  accountNumbers: readonly string[],
): Promise<AccountRecord[]> {
  const result = await connection.query<AccountRow>({
    name: 'load accounts of',
    text: `
      select ${COLUMNS}
      from accounts
      where ledger_id = $1::integer and account_number = any($2::text[])`,
    values: [ledger.id, accountNumbers],
  });
  return result.rows.map(toAccount);
}

/** An answer may hold half of this: metadata takes fewer bytes in it than in the text of the database. */
const PAGE_METADATA_BYTES_MAX = 2 * 1024 * 1024;

/**
 * At most `limit` accounts with this metadata, in order of number, then currency, after the named one. There are fewer
 * if their metadata does not fit into a page, but the first that does not fit is included.
 */
export async function listAccounts(
  connection: Queryable,
  ledger: Ledger,
  page: {
    limit: number;
    after: { accountNumber: string; currency: string } | null;
    /** Only accounts whose number begins with this text; null: all. */
    prefix: string | null;
    metadata: MetadataFilter | null;
  },
): Promise<AccountRecord[]> {
  const values: unknown[] = [page.after?.accountNumber ?? '', page.after?.currency ?? '', page.limit, ledger.id];
  // The index has only accounts with metadata. The planner cannot infer that from the second condition alone.
  const matches = page.metadata
    ? `and metadata <> '{}' and ${metadataCondition(page.metadata, (value) => `$${values.push(value)}`)}`
    : '';
  // The range of the primary key that has the prefix: U+10FFFF sorts after every character of a number.
  const within =
    page.prefix === null
      ? ''
      : `and account_number >= $${values.push(page.prefix)}::text and account_number < $${values.push(`${page.prefix}\u{10FFFF}`)}::text`;
  const result = await connection.query<AccountRow>(
    `select ${COLUMNS}
     from (
       select ${COLUMNS}, sum(octet_length(metadata::text)) over (order by account_number, currency) as bytes,
         row_number() over (order by account_number, currency) as place
       from (
         select ${COLUMNS}
         from accounts
         where ledger_id = $4::integer and (account_number, currency) > ($1::text, $2::text) ${within} ${matches}
         order by account_number, currency
         limit $3::integer
       ) as page
     ) as sized
     where place <= 2 or bytes - octet_length(metadata::text) <= ${PAGE_METADATA_BYTES_MAX}
     order by account_number, currency`,
    values,
  );
  return result.rows.map(toAccount);
}

/**
 * Changes the named fields of an account that is not closed. Returns null if there is none. A limit below the drawn
 * amount violates accounts_no_overdraft. The change must be sealed in the same transaction.
 */
export async function updateAccount(
  connection: Queryable,
  ledger: Ledger,
  accountNumber: string,
  change: AccountChange,
): Promise<AccountRecord | null> {
  const values: unknown[] = [accountNumber, ledger.id];
  const assignments: string[] = [];
  const assign = (column: string, type: string, value: unknown) => {
    if (value !== undefined) assignments.push(`${column} = $${values.push(value)}::${type}`);
  };
  assign('name', 'text', change.name);
  assign('email', 'text', change.email);
  assign('phone', 'text', change.phone);
  assign('date_of_birth', 'date', change.dateOfBirth);
  assign('overdraft_limit', 'bigint', change.overdraftLimit);
  assign('status', 'text', change.status);
  assign('metadata', 'jsonb', change.metadata && JSON.stringify(change.metadata));
  if (assignments.length === 0) assignments.push('name = name');
  const updated = await connection.query<AccountRow>(
    `update accounts
     set ${assignments.join(', ')}
     where ledger_id = $2::integer and account_number = $1::text and status <> 'closed'
     returning ${COLUMNS}`,
    values,
  );
  return updated.rows.map(toAccount)[0] ?? null;
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

/** At most `limit` entries of an account, from the one after `after` on, newest or oldest first. */
export async function listEntries(
  connection: Queryable,
  ledger: Ledger,
  account: { accountNumber: string; currency: string },
  page: { limit: number; after: bigint | null; newestFirst: boolean },
): Promise<Entry[]> {
  const [comparison, direction] = page.newestFirst ? ['<', 'desc'] : ['>', 'asc'];
  const start = page.newestFirst ? 2n ** 63n - 1n : 0n;
  const result = await connection.query<{
    entry_number: bigint;
    transfer_id: string;
    amount: bigint;
    balance: bigint;
    journal_number: bigint;
    settled_at: string;
  }>(
    `select entry_number, transfer_id, amount, balance, journal_number, settled_at
     from entries
     join journal on journal.ledger_id = $5::integer and journal.number = entries.journal_number
     where entries.ledger_id = $5::integer and account_number = $1::text and currency = $2::text and entry_number ${comparison} $3::bigint
     order by entry_number ${direction}
     limit $4::integer`,
    [account.accountNumber, account.currency, page.after ?? start, page.limit, ledger.id],
  );
  return result.rows.map((row) => ({
    entryNumber: row.entry_number,
    transferId: row.transfer_id,
    amount: row.amount,
    balance: row.balance,
    journalNumber: row.journal_number,
    settledAt: row.settled_at,
  }));
}

const BALANCE_AT = `
  with instant as materialized (
    select ${lastJournalNumber('$4::integer', '<=', '$3::timestamptz')} as journal_number
  )
  select last.balance, last.entry_number
  from accounts
  cross join instant
  cross join ${lastEntryUpTo('$4::integer', 'instant.journal_number')} as last
  where ledger_id = $4::integer and account_number = $1::text and currency = $2::text`;

/**
 * The balance at an instant (RFC 3339), and the number of the last entry up to it (0: none). It is final if the
 * instant was closed before.
 */
export async function loadBalanceAt(
  connection: Queryable,
  ledger: Ledger,
  account: { accountNumber: string; currency: string },
  at: string,
): Promise<{ balance: bigint; entryNumber: bigint }> {
  const result = await connection.query<{ balance: bigint; entry_number: bigint }>({
    name: 'load balance at',
    text: BALANCE_AT,
    values: [account.accountNumber, account.currency, roundDown(at), ledger.id],
  });
  const row = result.rows[0];
  return { balance: row?.balance ?? 0n, entryNumber: row?.entry_number ?? 0n };
}

function toAccount(row: AccountRow): AccountRecord {
  return {
    accountNumber: row.account_number,
    currency: row.currency,
    status: row.status,
    name: row.name,
    email: row.email,
    phone: row.phone,
    dateOfBirth: row.date_of_birth,
    balance: row.balance,
    held: row.held,
    overdraftLimit: row.overdraft_limit,
    entryCount: row.entry_count,
    metadata: row.metadata,
    createdAt: row.created_at,
  };
}
