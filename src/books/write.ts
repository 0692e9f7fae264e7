// Writes portable books: the lines of a file, from the header to the trailer. While it writes, it recomputes the digests and
// the chain, so that books that are damaged are noticed when they are exported, and not when they are needed.
import { createHash } from 'node:crypto';
import { parseLine, renderLine } from './form.ts';
import { fieldsOf, hashOf } from './record.ts';

type Cells = readonly (string | null)[];

/** The content of the books. The cells are those of the line's members, in their order. */
export type Content = {
  readonly ledger: string;
  readonly since: bigint;
  /** Of the header, after the ledger. */
  readonly about: {
    readonly ledgerId: string;
    readonly createdAt: string;
    readonly clockStart: string | null;
    readonly approvalAbove: string | null;
    readonly currencies: readonly string[];
    readonly until: bigint;
    readonly hash: string;
    readonly previousHash: string;
    readonly closedUntil: string | null;
  };
  readonly madeAt: string;
  readonly software: string;
  readonly rows: () => AsyncIterable<
    readonly {
      readonly number: bigint;
      readonly cells: Cells;
      readonly changes: readonly string[];
      readonly acts: readonly string[];
      readonly transfers: readonly string[];
    }[]
  >;
  readonly keys: () => AsyncIterable<readonly Cells[]>;
  readonly accounts: () => AsyncIterable<readonly Cells[]>;
};

/** How many lines were written. */
export type Written = {
  rows: number;
  transfers: number;
  changes: number;
  acts: number;
  keys: number;
  accounts: number;
};

/** The books do not prove themselves. Its message names the row. */
export class UnprovenError extends Error {}

/** The texts of the file, in chunks of lines. Counts in `written`; throws an UnprovenError at a row that is not proved. */
export async function* writeBooks(content: Content, written: Written): AsyncGenerator<string> {
  const { about } = content;
  const hash = createHash('sha256');
  const hashed = (text: string): string => {
    hash.update(text);
    return text;
  };
  yield hashed(headerOf(content));
  let last = { number: content.since, hash: about.previousHash };
  for await (const page of content.rows()) {
    const texts: string[] = [];
    for (const row of page) {
      const digest = createHash('sha256');
      for (const type of ['change', 'act', 'transfer'] as const) {
        for (const record of row[`${type}s`]) {
          digest.update(record);
          texts.push(renderLine(type, fieldsOf(record)));
        }
        written[`${type}s`] += row[`${type}s`].length;
      }
      const text = renderLine('journal', row.cells);
      last = prove(text, { before: last, digest: digest.digest('hex'), ledger: content.ledger });
      texts.push(text);
      written.rows += 1;
    }
    yield hashed(texts.join(''));
  }
  if (last.number !== about.until || last.hash !== about.hash) {
    throw new UnprovenError(`the journal ends with row ${last.number}, and its head is at row ${about.until}`);
  }
  for (const type of ['key', 'account'] as const) {
    for await (const batch of content[`${type}s`]()) {
      written[`${type}s`] += batch.length;
      yield hashed(batch.map((cells) => renderLine(type, cells)).join(''));
    }
  }
  yield renderLine('trailer', [
    ...Object.values(written).map(String),
    String(last.number),
    last.hash,
    hash.digest('hex'),
  ]);
}

function headerOf({ ledger, since, about, madeAt, software }: Content): string {
  const members = {
    type: 'header',
    format: 'gopherpay-books',
    version: 1,
    ledger,
    ledger_id: Number(about.ledgerId),
    ledger_created_at: Number(about.createdAt),
    clock_start: about.clockStart === null ? undefined : Number(about.clockStart),
    approval_above: about.approvalAbove === null ? undefined : Number(about.approvalAbove),
    closed_until: about.closedUntil === null ? undefined : Number(about.closedUntil),
    currencies: about.currencies,
    since: Number(since),
    until: Number(about.until),
    previous_hash: about.previousHash,
    hash: about.hash,
    made_at: madeAt,
    software,
  };
  return `${JSON.stringify(members)}\n`;
}

type Link = { readonly number: bigint; readonly hash: string };

/** A row of the journal must follow from the row before and from its records. */
function prove(text: string, { before, digest, ledger }: { before: Link; digest: string; ledger: string }): Link {
  const line = parseLine(text.slice(0, -1));
  if (line.type !== 'journal') throw new TypeError('Not a row of the journal.');
  const number = before.number + 1n;
  const follows = BigInt(line.number) === number && line.previous_hash === before.hash;
  if (!follows) throw new UnprovenError(`row ${number} of the journal does not follow the row before`);
  if (line.digest !== digest) throw new UnprovenError(`the digest of row ${number} is not that of its records`);
  if (hashOf(line, ledger) !== line.hash) throw new UnprovenError(`the hash of row ${number} does not follow from it`);
  return { number, hash: line.hash };
}
