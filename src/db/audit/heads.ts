// Reads the last rows of the journals for a checkpoint, and checks what one statement shows: the hash of the last row
// follows from its fields and from the row before. Only an audit follows a whole chain.
import { hashOf, NO_HASH } from './chain.ts';
import { LINK_COLUMNS } from './journal.ts';
import type { Queryable } from '../connection/connect.ts';

export type Head = {
  /** The name of the ledger. */
  readonly ledger: string;
  /** 0 for an empty journal. */
  readonly number: bigint;
  /** In hexadecimal; 64 zeros for an empty journal. */
  readonly hash: string;
  /** RFC 3339, in UTC; null for an empty journal. */
  readonly settledAt: string | null;
  /** What is wrong with the last row; null if nothing was found. */
  readonly flaw: string | null;
};

/** Texts, as PostgreSQL renders them. The fields of a row are null if there is none. */
type HeadRow = {
  readonly ledger: string;
  readonly instant: string | null;
  /** How many heads the ledger has. */
  readonly heads: number;
  readonly number: string | null;
  readonly settled_at: string | null;
  readonly hash: string | null;
  readonly previous_hash: string | null;
  readonly transfer_count: string;
  readonly change_count: string;
  readonly digest: string;
  readonly hash_before: string | null;
};

/** The two last rows of a journal are found by their keys, however long the journal is. */
const HEADS = `
  select ledgers.name as ledger,
    to_char(last.settled_on at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as instant,
    (select count(*)::integer from journal_head where ledger_id = ledgers.id) as heads,
    last.number::text as number, last.settled_at, last.hash, last.previous_hash,
    last.transfer_count::text as transfer_count, last.change_count::text as change_count, last.digest,
    (
      select encode(journal.hash, 'hex') from journal where ledger_id = ledgers.id and journal.number = last.number - 1
    ) as hash_before
  from ledgers
  left join lateral (
    select ${LINK_COLUMNS}, settled_at as settled_on, transfer_count, change_count, encode(digest, 'hex') as digest
    from journal
    where ledger_id = ledgers.id
    order by journal.number desc
    limit 1
  ) as last on true
  where $1::integer is null or ledgers.id = $1::integer
  order by ledgers.name`;

/** The head of a ledger (by its id), or of every ledger in order of name. */
export async function readHeads(connection: Queryable, ledger: number | null): Promise<readonly Head[]> {
  const { rows } = await connection.query<HeadRow>(HEADS, [ledger]);
  return rows.map((row) => ({
    ledger: row.ledger,
    number: BigInt(row.number ?? 0),
    hash: row.hash ?? NO_HASH,
    settledAt: row.instant,
    flaw: findFlaw(row),
  }));
}

function findFlaw(row: HeadRow): string | null {
  if (row.heads !== 1) return row.heads === 0 ? 'the journal has no head' : 'the journal has two heads';
  if (row.number === null) return null;
  if (row.previous_hash !== (row.number === '1' ? NO_HASH : row.hash_before)) {
    return `row ${row.number} of the journal does not follow the row before`;
  }
  const hash = hashOf(
    {
      number: row.number,
      settledAt: row.settled_at ?? '',
      transferCount: row.transfer_count,
      changeCount: row.change_count,
      digest: row.digest,
      previousHash: row.previous_hash ?? '',
    },
    row.ledger,
  );
  return hash === row.hash ? null : `the hash of row ${row.number} of the journal does not follow from its fields`;
}
