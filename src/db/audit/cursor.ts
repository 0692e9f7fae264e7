// Reads the rows of an audit's statement through a cursor, in bounded memory.
import Cursor from 'pg-cursor';
import { type Connection, readRows } from '../connection/connect.ts';

/** One cell per column, as PostgreSQL renders it. */
export type Cells = readonly (string | null)[];

const BATCH_ROWS = 1000;
const types = { getTypeParser: () => String };

/**
 * The rows of a statement without parameters, in batches. The connection is busy until the last row is read. An
 * abandoned cursor ends with its connection, because closing it would wait forever on a broken connection.
 */
export async function* readBatches(connection: Connection, statement: string): AsyncGenerator<readonly Cells[]> {
  const cursor = connection.query(new Cursor<Cells>(statement, [], { rowMode: 'array', types }));
  while (true) {
    const rows = await readRows(connection, cursor, BATCH_ROWS);
    if (rows.length === 0) return;
    yield rows;
  }
}

/** All rows of a statement that returns few. */
export async function readAll(connection: Connection, statement: string): Promise<readonly Cells[]> {
  const all: Cells[] = [];
  for await (const batch of readBatches(connection, statement)) all.push(...batch);
  return all;
}
