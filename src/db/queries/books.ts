// What the start of the service says about its database.
import type { Queryable } from '../connection/connect.ts';

export type BooksSummary = {
  readonly serverVersion: string;
  readonly ledgers: number;
  /** As the statistics of the database know them. */
  readonly accounts: number;
  readonly transfers: number;
  /** Enabled ones. */
  readonly webhooks: number;
};

/** Counting millions of rows would delay the start. A table that was never analyzed has a few. */
const countOf = (table: string) =>
  `(
    select case when reltuples >= 0 then reltuples else (select count(*) from ${table}) end::float8
    from pg_class where oid = to_regclass('${table}')
  )`;

export async function summarizeBooks(connection: Queryable): Promise<BooksSummary> {
  const { rows } = await connection.query<BooksSummary>(
    `select split_part(current_setting('server_version'), ' ', 1) as "serverVersion",
       (select count(*)::integer from ledgers) as ledgers, ${countOf('accounts')} as accounts,
       ${countOf('transfers')} as transfers,
       (select count(*)::integer from webhook_endpoints where disabled_reason is null) as webhooks`,
  );
  const [found] = rows;
  if (!found) throw new Error('The database does not summarize its books.');
  return found;
}
