// Counts what took effect in a window of time, in SQL that every version of the schema understands. Instants are milliseconds
// since 1970; those in the tables are the database's, taken in the transaction that made the row, just before its commit.
import type { Connection } from '../src/db/connection/connect.ts';

export type Count = (connection: Connection, from: number, to: number) => Promise<number>;

/** Transfers that became completed. */
export const countCompleted = counting('transfers', 'completed_at', "status = 'completed'");
/** Accounts that were opened. */
export const countOpened = counting('accounts', 'created_at', 'true');
/** Jobs, which are the rows of the journal that cover transfers. */
export const countJobs = counting('journal', 'settled_at', 'transfer_count > 0');

function counting(table: string, instant: string, condition: string): Count {
  const text = `
    select count(*)::integer as count
    from ${table}
    where ${instant} >= to_timestamp($1::float8 / 1000) and ${instant} < to_timestamp($2::float8 / 1000) and ${condition}`;
  return async (connection, from, to) => {
    const { rows } = await connection.query<{ count: number }>(text, [from, to]);
    return rows[0]?.count ?? 0;
  };
}
