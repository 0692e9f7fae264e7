// Reads the rows of an audit's statement through a cursor, in bounded memory, and until a deadline if there is one.
import Cursor from 'pg-cursor';
import type { Connection } from '../connection/connect.ts';
import { isCanceled, sqlStateOf } from '../connection/errors.ts';
import { readRows } from '../connection/silence.ts';

/** One cell per column, as PostgreSQL renders it. */
export type Cells = readonly (string | null)[];

const BATCH_ROWS = 1000;
const types = { getTypeParser: () => String };

/** A snapshot would have become longer than it may be. */
class OverrunError extends Error {}

/** When the snapshot of a connection has to end, by the clock of `performance.now()`. */
const deadlines = new WeakMap<Connection, number>();

/** Limits the reads on a connection until the returned function is called. */
export function limitReads(connection: Connection, deadline: number): () => void {
  deadlines.set(connection, deadline);
  return () => void deadlines.delete(connection);
}

/** Whether the error ended a snapshot that was too long, or stood in the way of the recovery of a standby. */
export function isOverrun(error: unknown): boolean {
  return error instanceof OverrunError || isCanceled(error) || sqlStateOf(error) === '40001';
}

/**
 * The rows of a statement without parameters, in batches. The connection is busy until the last row is read. An
 * abandoned cursor ends with its connection, because closing it would wait forever on a broken connection.
 */
export async function* readBatches(connection: Connection, statement: string): AsyncGenerator<readonly Cells[]> {
  const deadline = deadlines.get(connection);
  if (deadline !== undefined) {
    // The server ends the statement: it would not notice in time that this process has lost interest.
    await connection.query(`select set_config('statement_timeout', $1::text, true)`, [String(remaining(deadline))]);
  }
  const cursor = connection.query(new Cursor<Cells>(statement, [], { rowMode: 'array', types }));
  while (true) {
    const rows = await readRows(connection, cursor, BATCH_ROWS);
    if (rows.length === 0) return;
    yield rows;
  }
}

/** In milliseconds, at least one. */
function remaining(deadline: number): number {
  const left = Math.floor(deadline - performance.now());
  if (left < 1) throw new OverrunError('The snapshot took too long.');
  return left;
}

/** All rows of a statement that returns few. */
export async function readAll(connection: Connection, statement: string): Promise<readonly Cells[]> {
  const all: Cells[] = [];
  for await (const batch of readBatches(connection, statement)) all.push(...batch);
  return all;
}
