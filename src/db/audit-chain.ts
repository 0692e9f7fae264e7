// Follows the journal's chain of hashes from its beginning (or from a row that was verified before) to its head.
import { createHash } from 'node:crypto';
import { type Cells, readAll, readBatches } from './audit-cursor.ts';
import { journalStatement, LINK_COLUMNS } from './audit-journal.ts';
import type { Scope } from './audit-rules.ts';
import type { Connection } from './connect.ts';

const NO_HASH = '00'.repeat(32);

/** A row of the journal as it is stored (hashes in hexadecimal), with what the rows that it covers say it ought to be. */
export type JournalRow = {
  readonly number: string;
  /** Microseconds since the Unix epoch, or the text of an instant that is not finite. */
  readonly settledAt: string;
  readonly transferCount: string;
  readonly digest: string;
  readonly previousHash: string;
  readonly hash: string;
  /** How many transfers and account changes name this row. */
  readonly transfers: string;
  readonly changes: string;
  readonly positionsInOrder: boolean;
  /** Null if nothing names this row. */
  readonly expectedDigest: string | null;
};

/** One row of the journal, as the next one refers to it. Null: not known. */
export type Link = { readonly number: bigint; readonly settledAt: string | null; readonly hash: string | null };

export type ChainFlaw = {
  readonly journal: string | null;
  readonly what: string;
  readonly expected: string;
  readonly found: string | null;
};

export type Chain = {
  /** Follows the chain: yields its flaws, and the rows (of the journal, and transfers in them) that are done. */
  follow(): AsyncGenerator<ChainFlaw | number>;
  /** Compares the head of the journal with the last row that was followed. */
  compareHead(): AsyncGenerator<ChainFlaw>;
  /** The last row that was followed; before that, where the chain begins. */
  last(): Link;
};

/** The chain of the rows in scope. A scope begins after a row, whose stored hash the first one must refer to. */
export function openChain(connection: Connection, scope: Scope): Chain {
  let last: Link = { number: 0n, settledAt: null, hash: NO_HASH };

  async function* follow(): AsyncGenerator<ChainFlaw | number> {
    if (scope.since !== null) {
      const [anchor] = await readAll(connection, `select ${LINK_COLUMNS} from journal where number = ${scope.since}`);
      if (!anchor) yield flaw(String(scope.since), 'row after which this audit begins', 'a row', 'none');
      last = { number: scope.since, settledAt: anchor?.[1] ?? null, hash: anchor?.[2] ?? null };
    }
    for await (const batch of readBatches(connection, journalStatement(scope))) {
      let done = 0;
      for (const cells of batch) {
        const row = toJournalRow(cells);
        yield* findFlaws(row, last);
        last = { number: BigInt(row.number), settledAt: row.settledAt, hash: row.hash };
        done += 1 + Number(row.transfers);
      }
      yield done;
    }
  }

  async function* compareHead(): AsyncGenerator<ChainFlaw> {
    const heads = await readAll(connection, `select ${LINK_COLUMNS}, only_row from journal_head order by number`);
    if (heads.length !== 1) yield flaw(null, 'rows of journal_head', '1', String(heads.length));
    for (const [number = null, settledAt = null, hash = null, onlyRow] of heads) {
      if (number !== String(last.number)) yield flaw(number, 'number of the head', String(last.number), number);
      if (last.hash !== null && hash !== last.hash) yield flaw(number, 'hash of the head', last.hash, hash);
      if (last.settledAt !== null && settledAt !== last.settledAt) {
        yield flaw(number, 'settled_at of the head', last.settledAt, settledAt);
      }
      if (onlyRow !== 't') yield flaw(number, 'only_row of the head', 'true', 'false');
    }
  }

  return { follow, compareHead, last: () => last };
}

/** Compares a row of the journal with the hash (hexadecimal) that was written down for it. */
export async function* compareHash(
  connection: Connection,
  expected: { readonly number: bigint; readonly hash: string },
): AsyncGenerator<ChainFlaw> {
  const [row] = await readAll(connection, `select encode(hash, 'hex') from journal where number = ${expected.number}`);
  const found = expected.number === 0n ? NO_HASH : (row?.[0] ?? null);
  if (found !== expected.hash)
    yield flaw(String(expected.number), 'hash written down', expected.hash, found ?? 'no row');
}

function toJournalRow(cells: Cells): JournalRow {
  const [number, settledAt, transferCount, digest, previousHash, hash, transfers, changes, inOrder, expected] = cells;
  return {
    number: number ?? '-1',
    settledAt: settledAt ?? '',
    transferCount: transferCount ?? '',
    digest: digest ?? '',
    previousHash: previousHash ?? '',
    hash: hash ?? '',
    transfers: transfers ?? '',
    changes: changes ?? '',
    positionsInOrder: inOrder === 't',
    expectedDigest: expected ?? null,
  };
}

function flaw(journal: string | null, what: string, expected: string, found: string | null): ChainFlaw {
  return { journal, what, expected, found };
}

/** The flaws of a row of the journal that follows `previous`. */
function findFlaws(row: JournalRow, previous: Link): ChainFlaw[] {
  const flaws: ChainFlaw[] = [];
  const equals = (what: string, expected: string, found: string) => {
    if (expected !== found) flaws.push(flaw(row.number, what, expected, found));
  };
  equals('number', String(previous.number + 1n), row.number);
  if (previous.hash !== null) equals('previous_hash', previous.hash, row.previousHash);
  if (isBefore(row.settledAt, previous.settledAt)) {
    equals('settled_at, not before that of the row before', previous.settledAt ?? '', row.settledAt);
  }
  const isChange = row.transferCount === '0';
  equals('transfers in the row', row.transferCount, row.transfers);
  equals('account changes in the row', isChange ? '1' : '0', row.changes);
  if (!row.positionsInOrder) equals('positions of the transfers', '1, 2, 3, without gaps', 'others');
  equals('digest', row.expectedDigest ?? 'none, as nothing names the row', row.digest);
  equals('hash', hashOf(row), row.hash);
  return flaws;
}

function isBefore(settledAt: string, previous: string | null): boolean {
  const finite = /^-?\d+$/;
  return previous !== null && finite.test(previous) && finite.test(settledAt) && BigInt(settledAt) < BigInt(previous);
}

function hashOf(row: JournalRow): string {
  return createHash('sha256')
    .update(Buffer.from(row.previousHash, 'hex'))
    .update(`${row.number}|${row.settledAt}|${row.transferCount}`)
    .update(Buffer.from(row.digest, 'hex'))
    .digest('hex');
}
