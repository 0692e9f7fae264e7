// Tampers with a ledger as an owner of the database might: on a connection that no trigger stops, in a transaction that is rolled
// back, dropping every constraint that refuses the change.
import type { Client, QueryResult } from 'pg';
import { z } from 'zod';
import { sqlStateOf } from '../../src/db/connection/errors.ts';

type Connection = Pick<Client, 'query'>;

/** Runs `statements` and then `inspect`, and rolls back. Null: the statements changed no row. */
export async function withTampering<Result>(
  connection: Connection,
  statements: readonly string[],
  inspect: () => Promise<Result>,
): Promise<Result | null> {
  await connection.query('begin');
  try {
    await connection.query('set local session_replication_role = replica');
    let rows = 0;
    for (const statement of statements) rows += (await force(connection, statement)).rowCount ?? 0;
    return rows === 0 ? null : await inspect();
  } finally {
    await connection.query('rollback');
  }
}

/** Runs a statement, and drops every constraint, index or not-null that refuses it. */
async function force(connection: Connection, statement: string): Promise<QueryResult> {
  for (;;) {
    await connection.query('savepoint untouched');
    try {
      return await connection.query(statement);
    } catch (error) {
      await connection.query('rollback to savepoint untouched');
      const obstacle = obstacleOf(error);
      if (obstacle === null) throw error;
      await connection.query(obstacle);
    }
  }
}

const obstacleSchema = z.object({
  table: z.string().optional(),
  dataType: z.string().optional(),
  constraint: z.string().optional(),
  column: z.string().optional(),
});

/** The statement that removes what refused another one; null if that was nothing of the sort. */
function obstacleOf(error: unknown): string | null {
  const refusal = obstacleSchema.safeParse(error);
  if (!refusal.success) return null;
  const { table, dataType, constraint, column } = refusal.data;
  switch (sqlStateOf(error)) {
    case '23502':
      // The columns of a primary key cannot be null while it is there.
      return `
        alter table ${table} drop constraint if exists ${table}_pkey;
        alter table ${table} alter column ${column} drop not null`;
    case '22008':
      // Before release 17, infinity cannot be subtracted from, which this index does. A second refusal finds no index, and is thrown.
      return 'drop index transfers_untimely';
    case '23514':
      // The constraint of a column's type is the type's.
      return table === undefined
        ? `alter domain ${dataType} drop constraint ${constraint}`
        : `alter table ${table} drop constraint ${constraint}`;
    case '23505':
      return `
        alter table ${table} drop constraint if exists ${constraint};
        drop index if exists ${constraint}`;
    default:
      return null;
  }
}
