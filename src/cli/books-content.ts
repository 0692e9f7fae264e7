// The content of portable books for their writer, as it is read from a database.
import { type Content, UnprovenError, type Written } from '../books/write.ts';
import type { BooksSource } from '../db/queries/portable-books.ts';
import { VERSION } from '../version.ts';
import { CommandError, EXIT } from './command.ts';

/** `ledger` and `since`: those of the range with which the books were opened. */
export function contentOf(books: BooksSource, { ledger, since }: { ledger: string; since: bigint }): Content {
  const { head } = books;
  return {
    ledger,
    since,
    // A row that is missing has no hash, and then no chain can be proved from it.
    about: {
      ...head,
      previousHash: head.previousHash ?? '',
      closedUntil: head.until === head.last ? head.closedUntil : null,
    },
    madeAt: new Date().toISOString(),
    software: `gopherpay ${VERSION}`,
    rows: books.rows,
    keys: books.keys,
    accounts: books.accounts,
  };
}

export function newCounts(): Written {
  return { rows: 0, transfers: 0, changes: 0, acts: 0, keys: 0, accounts: 0 };
}

/** The error of books that are not whole, as the end of a command; any other error as it is. */
export function refuseUnproven(error: unknown, ledger: string): unknown {
  if (!(error instanceof UnprovenError)) return error;
  return new CommandError(
    EXIT.discrepancy,
    `The ledger ${ledger} is not exported, because its books are not whole: ${error.message}. Run gopherpay audit, which shows all that is wrong.`,
    { cause: error },
  );
}
