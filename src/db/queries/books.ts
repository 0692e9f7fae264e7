// What the start of the service says about its database.
import type { Queryable } from '../connection/connect.ts';

export type BooksSummary = { readonly serverVersion: string; readonly ledgers: number };

/** The version of the server, such as 18.4, and the number of ledgers. */
export async function summarizeBooks(connection: Queryable): Promise<BooksSummary> {
  const { rows } = await connection.query<{ version: string; ledgers: number }>(
    `select split_part(current_setting('server_version'), ' ', 1) as version, count(*)::integer as ledgers
     from ledgers`,
  );
  return { serverVersion: rows[0]?.version ?? '', ledgers: rows[0]?.ledgers ?? 0 };
}
