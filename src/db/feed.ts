// Reads the journal as a feed: settled transfers in commit order. A number is given under the lock of the journal's head,
// which is held to the commit, so a row that can be seen is never preceded by one that cannot yet: following the numbers
// misses nothing. Rows and what belongs to them never change, so the statements here need no common snapshot.
import { DamagedBooksError } from './errors.ts';
import type { Queryable } from './connect.ts';
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

/** One row of the journal, with all that it covers. */
export type FeedEvent = {
  readonly journalNumber: bigint;
  readonly settledAt: string;
  /** Lower-case hexadecimal. */
  readonly hash: string;
  readonly previousHash: string;
  /** In the order in which they were settled. */
  readonly transfers: readonly SettledTransfer[];
  readonly accountChange: AccountChangeRecord | null;
};

/** The number of the journal's last row; 0 if it has none. */
export async function loadJournalNumber(connection: Queryable): Promise<bigint> {
  const result = await connection.query<{ number: bigint }>({
    name: 'load journal number',
    text: 'select number from journal_head',
  });
  return result.rows[0]?.number ?? 0n;
}

/**
 * The events after a number: at most `rowsMax`, and no more than have `transfersMax` transfers together, but at least one
 * if there is any. Throws if a number is missing.
 */
export async function loadEvents(
  connection: Queryable,
  after: bigint,
  bounds: { rowsMax: number; transfersMax: number },
): Promise<FeedEvent[]> {
  const { rows } = await connection.query<{ number: bigint; settled_at: string; hash: string; previous_hash: string }>({
    name: 'load journal rows',
    text: `
      select number, settled_at, encode(hash, 'hex') as hash, encode(previous_hash, 'hex') as previous_hash
      from (
        select number, settled_at, hash, previous_hash,
          sum(transfer_count) over (order by number) as transfers_so_far,
          row_number() over (order by number) as position
        from (
          select number, settled_at, hash, previous_hash, transfer_count
          from journal
          where number > $1::bigint
          order by number
          limit $2::integer
        ) as following
      ) as counted
      where position = 1 or transfers_so_far <= $3::integer
      order by number`,
    values: [after, bounds.rowsMax, bounds.transfersMax],
  });
  const last = rows.at(-1);
  if (last === undefined) return [];
  if (last.number !== after + BigInt(rows.length)) {
    throw new DamagedBooksError(`The journal has a gap between ${after} and ${last.number}; run gopherpay audit.`);
  }
  const [transfers, changes] = await Promise.all([
    loadTransfersOf(connection, after, last.number),
    loadAccountChangesOf(connection, after, last.number),
  ]);
  return rows.map((row) => ({
    journalNumber: row.number,
    settledAt: row.settled_at,
    hash: row.hash,
    previousHash: row.previous_hash,
    transfers: transfers.get(row.number) ?? [],
    accountChange: changes.get(row.number) ?? null,
  }));
}

async function loadTransfersOf(
  connection: Queryable,
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
      where journal_number > $1::bigint and journal_number <= $2::bigint
      order by journal_number, journal_position`,
    values: [after, last],
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
  after: bigint,
  last: bigint,
): Promise<Map<bigint, AccountChangeRecord>> {
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
      where journal_number > $1::bigint and journal_number <= $2::bigint`,
    values: [after, last],
  });
  return new Map(
    result.rows.map((row) => [
      row.journal_number,
      { accountNumber: row.account_number, currency: row.currency, changeNumber: row.change_number },
    ]),
  );
}
