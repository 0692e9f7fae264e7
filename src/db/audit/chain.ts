// Follows the chain of hashes of each ledger's journal from its beginning (or from a row that was verified before) to
// its head.
import { createHash } from 'node:crypto';
import { type Cells, readAll, readBatches } from './cursor.ts';
import { journalStatement, LINK_COLUMNS } from './journal.ts';
import { rowsIn, type Scope } from './rules.ts';
import type { Connection } from '../connection/connect.ts';

/** What the first row of a journal has as the hash of the row before. */
export const NO_HASH = '00'.repeat(32);

/** A stored row of the journal (hashes in hexadecimal), with the values that the covered rows imply. */
export type JournalRow = {
  readonly ledger: number;
  readonly number: string;
  /** Microseconds since the Unix epoch, or the text of an instant that is not finite. */
  readonly settledAt: string;
  readonly transferCount: string;
  readonly changeCount: string;
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

/** One row of a journal, as the next row and the head refer to it. Null: unknown. */
export type Link = {
  readonly number: bigint;
  readonly settledAt: string | null;
  readonly hash: string | null;
  readonly previousHash: string | null;
};

/** The ledgers in scope: their names by their ids. */
export type LedgerNames = ReadonlyMap<number, string>;

/** A row of a ledger's journal, and the hash (hexadecimal) that an auditor recorded for it. */
export type Checkpoint = { readonly ledger: string; readonly number: bigint; readonly hash: string };

export type ChainFlaw = {
  /** The id of the ledger; null if the ledger does not exist. */
  readonly ledger: number | null;
  readonly journal: string | null;
  readonly what: string;
  readonly expected: string;
  readonly found: string | null;
};

export type Chain = {
  /** Follows the chains: yields flaws, and how many rows (of the journal, and transfers in them) are done. */
  follow(): AsyncGenerator<ChainFlaw | number>;
  /** Each ledger has one head, which jobs lock. */
  compareHeads(): AsyncGenerator<ChainFlaw>;
  /** The last row of a ledger that was followed; before the first, the row where its chain begins. */
  lastOf(ledger: number): Link;
};

export const BEGINNING: Link = { number: 0n, settledAt: null, hash: NO_HASH, previousHash: NO_HASH };

/**
 * The chains of the rows in scope. The first row of a scope must refer to the stored hash of the row before the scope.
 * `links`: by ledgers, where the slice before ended; its last row must still be there.
 */
export function openChain(
  connection: Connection,
  scope: Scope,
  names: LedgerNames,
  links = new Map<number, Link>(),
): Chain {
  const lastOf = (ledger: number): Link => links.get(ledger) ?? BEGINNING;

  async function* follow(): AsyncGenerator<ChainFlaw | number> {
    if (scope.since !== null && scope.since !== 0n) {
      const [anchor] = await readAll(
        connection,
        `select ${LINK_COLUMNS} from ${rowsIn(scope, 'journal')} as journal where number = ${scope.since}`,
      );
      if (!anchor) yield flaw(scope.ledger, String(scope.since), 'row after which this audit begins', 'a row', 'none');
      const [, settledAt = null, hash = null, previousHash = null] = anchor ?? [];
      const before = links.get(scope.ledger)?.hash ?? null;
      if (anchor && before !== null && hash !== before) {
        yield flaw(scope.ledger, String(scope.since), 'hash, as it was read before', before, hash);
      }
      links.set(scope.ledger, { number: scope.since, settledAt, hash, previousHash });
    }
    for await (const batch of readBatches(connection, journalStatement(scope))) {
      let done = 0;
      for (const cells of batch) {
        const row = toJournalRow(cells);
        yield* findFlaws(row, lastOf(row.ledger), names.get(row.ledger) ?? '');
        const { settledAt, hash, previousHash } = row;
        links.set(row.ledger, { number: BigInt(row.number), settledAt, hash, previousHash });
        done += 1 + Number(row.transfers);
      }
      yield done;
    }
  }

  return { follow, compareHeads: () => countHeads(connection, scope, names), lastOf };
}

/** Each ledger has one head, which jobs lock. */
export async function* countHeads(connection: Connection, scope: Scope, names: LedgerNames): AsyncGenerator<ChainFlaw> {
  const heads = await readAll(
    connection,
    `select ledger_id, count(*) from ${rowsIn(scope, 'journal_head')} as journal_head group by ledger_id order by ledger_id`,
  );
  const counts = new Map(heads.map(([id, count]) => [Number(id ?? -1), Number(count)]));
  for (const ledger of new Set([...names.keys(), ...counts.keys()])) {
    const count = counts.get(ledger) ?? 0;
    const expected = names.has(ledger) ? 1 : 0;
    if (count !== expected) yield flaw(ledger, null, 'rows of journal_head', String(expected), String(count));
  }
}

/** The last row of a journal, with the id of its ledger. */
export type End = Omit<Link, 'number'> & { readonly ledger: number; readonly number: string };

/** Compares the last rows, as they were read before, with those that slices ended with. */
export function* compareEnds(ends: readonly End[], lastOf: Chain['lastOf']): Generator<ChainFlaw> {
  for (const { ledger, number, settledAt, hash, previousHash } of ends) {
    const last = lastOf(ledger);
    if (number !== String(last.number)) {
      yield flaw(ledger, number, 'last row of the journal', String(last.number), number);
    }
    if (last.hash !== null && hash !== last.hash) yield flaw(ledger, number, 'hash of the last row', last.hash, hash);
    if (last.previousHash !== null && previousHash !== last.previousHash) {
      yield flaw(ledger, number, 'previous_hash of the last row', last.previousHash, previousHash);
    }
    if (last.settledAt !== null && settledAt !== last.settledAt) {
      yield flaw(ledger, number, 'settled_at of the last row', last.settledAt, settledAt);
    }
  }
}

/** Compares rows of the journal with the hashes that an auditor recorded for them. */
export async function* compareHashes(
  connection: Connection,
  expected: readonly Checkpoint[],
  names: LedgerNames,
): AsyncGenerator<ChainFlaw | number> {
  const ids = new Map([...names].map(([id, name]) => [name, id]));
  for (const { ledger: name, number, hash } of expected) {
    const ledger = ids.get(name) ?? null;
    if (ledger === null) {
      yield flaw(null, String(number), `ledger ${name}, of which a hash was written down`, 'a ledger', 'none');
      continue;
    }
    const [row] = await readAll(
      connection,
      `select encode(hash, 'hex') from journal where ledger_id = ${ledger} and number = ${number}`,
    );
    const found = number === 0n ? NO_HASH : (row?.[0] ?? null);
    if (found !== hash) yield flaw(ledger, String(number), 'hash written down', hash, found ?? 'no row');
    yield 1;
  }
}

function toJournalRow(cells: Cells): JournalRow {
  const [ledger, number, settledAt, transferCount, changeCount, digest, previousHash, hash, ...covered] = cells;
  const [transfers, changes, inOrder, expected] = covered;
  return {
    ledger: Number(ledger ?? -1),
    number: number ?? '-1',
    settledAt: settledAt ?? '',
    transferCount: transferCount ?? '',
    changeCount: changeCount ?? '',
    digest: digest ?? '',
    previousHash: previousHash ?? '',
    hash: hash ?? '',
    transfers: transfers ?? '',
    changes: changes ?? '',
    positionsInOrder: inOrder === 't',
    expectedDigest: expected ?? null,
  };
}

function flaw(
  ledger: number | null,
  journal: string | null,
  what: string,
  expected: string,
  found: string | null,
): ChainFlaw {
  return { ledger, journal, what, expected, found };
}

/** The flaws of a row of the journal that follows `previous`. */
function findFlaws(row: JournalRow, previous: Link, name: string): ChainFlaw[] {
  const flaws: ChainFlaw[] = [];
  const equals = (what: string, expected: string, found: string) => {
    if (expected !== found) flaws.push(flaw(row.ledger, row.number, what, expected, found));
  };
  equals('number', String(previous.number + 1n), row.number);
  if (previous.hash !== null) equals('previous_hash', previous.hash, row.previousHash);
  if (isBefore(row.settledAt, previous.settledAt)) {
    equals('settled_at, not before that of the row before', previous.settledAt ?? '', row.settledAt);
  }
  equals('transfers in the row', row.transferCount, row.transfers);
  equals('account changes in the row', row.changeCount, row.changes);
  if (!row.positionsInOrder) equals('positions of the transfers', '1, 2, 3, without gaps', 'others');
  equals('digest', row.expectedDigest ?? 'none, as nothing names the row', row.digest);
  equals('hash', hashOf(row, name), row.hash);
  return flaws;
}

function isBefore(settledAt: string, previous: string | null): boolean {
  const finite = /^-?\d+$/;
  return previous !== null && finite.test(previous) && finite.test(settledAt) && BigInt(settledAt) < BigInt(previous);
}

type HashedFields = 'number' | 'settledAt' | 'transferCount' | 'changeCount' | 'digest' | 'previousHash';

/** `name`: the name of the row's ledger. */
export function hashOf(row: Pick<JournalRow, HashedFields>, name: string): string {
  return createHash('sha256')
    .update(Buffer.from(row.previousHash, 'hex'))
    .update(`${name}|${row.number}|${row.settledAt}|${row.transferCount}|${row.changeCount}`)
    .update(Buffer.from(row.digest, 'hex'))
    .digest('hex');
}
