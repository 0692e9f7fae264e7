// Reads the lines of portable books, from a file or from a folder of tables.
import { stat } from 'node:fs/promises';
import type { Findings } from './findings.ts';
import { type Lines, readLines } from './read-lines.ts';
import { readTables } from './read-tables.ts';

/** Reads books to their end. `findings`: of what is not in the lines. Throws a FormError if they cannot be books. */
export async function* readBooks(
  path: string,
  signal: AbortSignal,
  findings: Findings | null = null,
): AsyncGenerator<Lines> {
  const isFolder = (await stat(path)).isDirectory();
  yield* isFolder ? readTables(path, signal, findings) : readLines(path, signal);
}
