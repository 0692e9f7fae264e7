// Reads the journal of a ledger as a feed: settled transfers in commit order. A number is assigned under the lock of
// the journal's head, which is held to the commit. So a visible row is never preceded by one that is not visible yet,
// and a reader that follows the numbers misses nothing. Rows and the rows they cover never change, so the statements
// here need no common snapshot.
import type { Ledger } from '../../domain/ledger.ts';
import { DamagedBooksError } from '../connection/errors.ts';
import type { Queryable } from '../connection/connect.ts';
import type { JournalColumns } from './journal.ts';
import { SETTLED_COLUMNS, type Transfer, type TransferRow, toTransfer } from './transfers.ts';

/** A transfer with the numbers of its two entries; null where it moved no money. */
export type SettledTransfer = Transfer & {
  readonly fromEntryNumber: bigint | null;
  readonly toEntryNumber: bigint | null;
};

export type AccountChangeRecord = {
  readonly accountNumber: string;
  readonly currency: string;
  readonly changeNumber: bigint;
};

/** One row of the journal, with the rows that it covers. */
export type FeedEvent = {
  /** The name of the ledger. */
  readonly ledger: string;
  readonly journalNumber: bigint;
  readonly settledAt: string;
  /** Lower-case hexadecimal, as the other two. */
  readonly hash: string;
  readonly previousHash: string;
  readonly digest: string;
  /** How many transfers the row covers. */
  readonly transferCount: number;
  /** How many account changes the row covers, or 1 if it records an administrative act. */
  readonly changeCount: number;
  /** In the order in which they were settled. */
  readonly transfers: readonly SettledTransfer[];
  /** The accounts that were opened or changed, in order of number, currency and change. */
  readonly accountChanges: readonly AccountChangeRecord[];
};

/** The number of the last journal row of a ledger; 0 if it has none. */
export async function loadJournalNumber(connection: Queryable, ledger: Ledger): Promise<bigint> {
  const numbers = await loadJournalNumbers(connection, [ledger.id]);
  return numbers.get(ledger.id) ?? 0n;
}

/** The numbers of the last journal rows of several ledgers, by the ids of the ledgers. */
export async function loadJournalNumbers(
  connection: Queryable,
  ledgerIds: readonly number[],
): Promise<ReadonlyMap<number, bigint>> {
  const result = await connection.query<{ ledger_id: number; number: bigint }>({
    name: 'load journal numbers',
    text: `
      select ledger_id, number
      from journal_ends
      where ledger_id = any($1::integer[])`,
    values: [ledgerIds],
  });
  return new Map(result.rows.map((row) => [row.ledger_id, row.number]));
}

/**
 * The events after a number: at most `rowsMax`, with at most `recordsMax` transfers and account changes together, but
 * at least one if there is any. Throws if a number is missing.
 */
export async function loadEvents(
  connection: Queryable,
  ledger: Ledger,
  after: bigint,
  bounds: { rowsMax: number; recordsMax: number },
): Promise<FeedEvent[]> {
  const { rows } = await connection.query<JournalColumns>({
    name: 'load journal rows',
    text: `
      select number, settled_at, encode(hash, 'hex') as hash, encode(previous_hash, 'hex') as previous_hash,
        encode(digest, 'hex') as digest, transfer_count, change_count
      from (
        select number, settled_at, hash, previous_hash, digest, transfer_count, change_count,
          sum(transfer_count + change_count) over (order by number) as records_so_far,
          row_number() over (order by number) as position
        from (
          select number, settled_at, hash, previous_hash, digest, transfer_count, change_count
          from journal
          where ledger_id = $4::integer and number > $1::bigint
          order by number
          limit $2::integer
        ) as following
      ) as counted
      where position = 1 or records_so_far <= $3::integer
      order by number`,
    values: [after, bounds.rowsMax, bounds.recordsMax, ledger.id],
  });
  const last = rows.at(-1);
  if (last === undefined) return [];
  if (last.number !== after + BigInt(rows.length)) {
    throw new DamagedBooksError(`The journal has a gap between ${after} and ${last.number}; run gopherpay audit.`);
  }
  const [transfers, changes] = await Promise.all([
    loadTransfersOf(connection, ledger, after, last.number),
    loadAccountChangesOf(connection, ledger, after, last.number),
  ]);
  return rows.map((row) => ({
    ledger: ledger.name,
    journalNumber: row.number,
    settledAt: row.settled_at,
    hash: row.hash,
    previousHash: row.previous_hash,
    digest: row.digest,
    transferCount: row.transfer_count,
    changeCount: row.change_count,
    transfers: transfers.get(row.number) ?? [],
    accountChanges: changes.get(row.number) ?? [],
  }));
}

async function loadTransfersOf(
  connection: Queryable,
  ledger: Ledger,
  after: bigint,
  last: bigint,
): Promise<Map<bigint | null, SettledTransfer[]>> {
  const result = await connection.query<
    TransferRow & { from_entry_number: bigint | null; to_entry_number: bigint | null }
  >({
    name: 'load transfers of journal rows',
    text: `
      select ${SETTLED_COLUMNS}, from_entry_number, to_entry_number
      from transfers
      where ledger_id = $3::integer and journal_number > $1::bigint and journal_number <= $2::bigint
      order by journal_number, journal_position`,
    values: [after, last, ledger.id],
  });
  const transfers = result.rows.map((row) => ({
    ...toTransfer(row),
    fromEntryNumber: row.from_entry_number,
    toEntryNumber: row.to_entry_number,
  }));
  return Map.groupBy(transfers, (transfer) => transfer.journalNumber);
}

async function loadAccountChangesOf(
  connection: Queryable,
  ledger: Ledger,
  after: bigint,
  last: bigint,
): Promise<Map<bigint, AccountChangeRecord[]>> {
  const result = await connection.query<{
    journal_number: bigint;
    account_number: string;
    currency: string;
    change_number: bigint;
  }>({
    name: 'load account changes of journal rows',
    text: `
      select journal_number, account_number, currency, change_number
      from account_changes
      where ledger_id = $3::integer and journal_number > $1::bigint and journal_number <= $2::bigint
      order by account_number, currency, change_number`,
    values: [after, last, ledger.id],
  });
  const changes = new Map<bigint, AccountChangeRecord[]>();
  for (const {
    journal_number: number,
    account_number: accountNumber,
    currency,
    change_number: changeNumber,
  } of result.rows) {
    const ofRow = changes.get(number) ?? [];
    ofRow.push({ accountNumber, currency, changeNumber });
    changes.set(number, ofRow);
  }
  return changes;
}
