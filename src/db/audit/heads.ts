// Reads the heads of the journals for a checkpoint, and checks what one statement shows: a head repeats the last row of
// its journal, and that row's hash follows from its fields and from the row before. Only an audit follows a whole chain.
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
  /** What is wrong with the head; null if nothing was found. */
  readonly flaw: string | null;
};

/** Texts, as PostgreSQL renders them. The fields of a head are null if there is none, those of a row too. */
type HeadRow = {
  readonly ledger: string;
  readonly instant: string | null;
  readonly head_number: string | null;
  readonly head_settled_at: string | null;
  readonly head_hash: string | null;
  readonly head_previous_hash: string | null;
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
    head.number::text as head_number, head.settled_at as head_settled_at, head.hash as head_hash,
    head.previous_hash as head_previous_hash,
    last.number::text as number, last.settled_at, last.hash, last.previous_hash,
    last.transfer_count::text as transfer_count, last.change_count::text as change_count, last.digest,
    (
      select encode(journal.hash, 'hex') from journal where ledger_id = ledgers.id and journal.number = last.number - 1
    ) as hash_before
  from ledgers
  left join (select ledger_id, ${LINK_COLUMNS} from journal_head) as head on head.ledger_id = ledgers.id
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
  return rows.map((row, index) => ({
    ledger: row.ledger,
    number: BigInt(row.number ?? 0),
    hash: row.hash ?? NO_HASH,
    settledAt: row.instant,
    flaw: rows[index - 1]?.ledger === row.ledger ? 'the journal has two heads' : findFlaw(row),
  }));
}

function findFlaw(row: HeadRow): string | null {
  if (row.head_number === null) return 'the journal has no head';
  if (row.number === null) {
    const isEmpty = row.head_number === '0' && row.head_hash === NO_HASH && row.head_previous_hash === NO_HASH;
    return isEmpty ? null : `the head is at row ${row.head_number}, and the journal is empty`;
  }
  if (row.head_number !== row.number) {
    return `the head is at row ${row.head_number}, and the last row of the journal is ${row.number}`;
  }
  const isRepeated =
    row.head_hash === row.hash &&
    row.head_previous_hash === row.previous_hash &&
    row.head_settled_at === row.settled_at;
  if (!isRepeated) return `the head differs from row ${row.number} of the journal`;
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
