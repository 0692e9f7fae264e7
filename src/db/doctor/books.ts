// Reads how the books are kept, for the command that judges it: schema, rights, size, and what waits. Only reads.
import type { Queryable } from '../connection/connect.ts';
import { TABLE_RIGHTS } from '../ledger/grants.ts';

export type BooksFacts = {
  /** In the order in which they were applied; null: there are no books. */
  readonly migrations: readonly string[] | null;
  /** Whether the role owns the tables, or has the power of their owner. */
  readonly ownsTables: boolean;
  /** Rights of the service that the role lacks, such as `insert on transfers`. */
  readonly lacking: readonly string[];
};

export type TableFacts = {
  readonly name: string;
  readonly rows: number;
  readonly deadRows: number;
  readonly bytes: number;
  /** The age of its oldest transaction id, 1 when the server must vacuum the table whatever else it does. */
  readonly freezeAge: number;
};

/** Everything here is as of now, by the clock of the database. */
export type WaitingFacts = {
  readonly ledgers: number;
  readonly pending: number;
  /** Null: none is pending. */
  readonly oldestPendingSeconds: number | null;
  /** Leases whose holder beats, and those whose holder fell silent with transfers under them. */
  readonly liveLeases: number;
  readonly silentLeases: number;
};

export type KeyFacts = {
  readonly keys: number;
  readonly expiring: readonly { readonly id: string; readonly name: string; readonly seconds: number }[];
};

export type WebhookFacts = {
  readonly enabled: number;
  readonly failing: number;
  /** Disabled by the service, because the receiver failed for days or answered 410. */
  readonly stopped: number;
  readonly longestFailingSeconds: number | null;
  /** How many rows of its journal the slowest enabled one has not seen. */
  readonly rowsBehind: number;
};

export async function readBooks(connection: Queryable): Promise<BooksFacts> {
  const { rows } = await connection.query<{ found: boolean; migrations: boolean; owns: boolean }>(
    `select to_regclass('journal_head') is not null as found, coalesce(has_table_privilege(to_regclass('migrations'), 'select'), false) as migrations,
       coalesce((select pg_has_role(relowner, 'member') from pg_class where oid = to_regclass('journal_head')), false) as owns`,
  );
  const [facts] = rows;
  if (!facts?.found) return { migrations: null, ownsTables: false, lacking: [] };
  const applied = facts.migrations
    ? await connection.query<{ name: string }>('select name from migrations order by id')
    : { rows: [] };
  return {
    migrations: applied.rows.map(({ name }) => name),
    ownsTables: facts.owns,
    lacking: await readLacking(connection),
  };
}

/** The rights of the service that the role of the connection lacks. */
async function readLacking(connection: Queryable): Promise<readonly string[]> {
  const needed = Object.entries(TABLE_RIGHTS).flatMap(([table, { runtime }]) =>
    [...runtime.matchAll(/(\w+)(?: \(([^)]*)\))?/g)].flatMap(([, privilege = '', columns]) =>
      (columns?.split(', ') ?? [null]).map((column) => ({ table, privilege, column })),
    ),
  );
  const { rows } = await connection.query<{ lacking: string }>(
    `select distinct privilege || ' on ' || name as lacking
     from unnest($1::text[], $2::text[], $3::text[]) as needed (name, privilege, attribute)
     where to_regclass(name) is not null and not case
       when attribute is null then has_table_privilege(to_regclass(name), privilege)
       else exists (
           select from pg_attribute where attrelid = to_regclass(name) and attname = attribute and not attisdropped
         ) and has_column_privilege(to_regclass(name), attribute, privilege)
       end
     order by 1`,
    [needed.map(({ table }) => table), needed.map(({ privilege }) => privilege), needed.map(({ column }) => column)],
  );
  return rows.map(({ lacking }) => lacking);
}

/** The tables of the books, as the statistics of the server know them. */
export async function readTables(connection: Queryable): Promise<readonly TableFacts[]> {
  const { rows } = await connection.query<TableFacts>(
    `select stat.relname::text as name, n_live_tup::float8 as rows, n_dead_tup::float8 as "deadRows",
       pg_total_relation_size(relid)::float8 as bytes,
       greatest(
         age(relfrozenxid) / current_setting('autovacuum_freeze_max_age')::float8,
         mxid_age(relminmxid) / current_setting('autovacuum_multixact_freeze_max_age')::float8
       ) as "freezeAge"
     from pg_stat_user_tables as stat
     join pg_class on pg_class.oid = relid
     where relid = to_regclass(quote_ident(stat.relname)) and stat.relname = any($1::text[])`,
    [Object.keys(TABLE_RIGHTS)],
  );
  return rows;
}

export async function readWaiting(connection: Queryable, orphanedAfterMs: number): Promise<WaitingFacts> {
  // Two statements: on Citus, the heartbeats are on the coordinator, and the transfers on the nodes.
  const waiting = await connection.query<
    { leaseIds: string[] } & Pick<WaitingFacts, 'pending' | 'oldestPendingSeconds'>
  >(
    `select count(*)::integer as pending, coalesce(array_agg(distinct lease_id), '{}')::text[] as "leaseIds",
       extract(epoch from clock_timestamp() - min(created_at))::float8 as "oldestPendingSeconds"
     from pending_transfers`,
  );
  const [pending] = waiting.rows;
  if (!pending) throw new Error('The database does not say what waits.');
  const { leaseIds, ...facts } = pending;
  const { rows } = await connection.query<Pick<WaitingFacts, 'ledgers' | 'liveLeases' | 'silentLeases'>>(
    `select (select count(*)::integer from ledgers) as ledgers,
       (count(*) filter (where written_at > clock_timestamp() - bound))::integer as "liveLeases",
       (
         count(*) filter (where written_at <= clock_timestamp() - bound and lease_id = any($2::uuid[]))
       )::integer as "silentLeases"
     from heartbeats
     cross join (select $1::integer * interval '1 millisecond' as bound) as settings`,
    [orphanedAfterMs, leaseIds],
  );
  const [found] = rows;
  if (!found) throw new Error('The database does not say what waits.');
  return { ...facts, ...found };
}

/** Valid keys, and those that end within `seconds`. */
export async function readKeys(connection: Queryable, seconds: number): Promise<KeyFacts> {
  const { rows } = await connection.query<{ id: string; name: string; seconds: number | null }>(
    `select id, name, extract(epoch from expires_at - clock_timestamp())::float8 as seconds
     from api_keys
     where revoked_at is null and (expires_at is null or expires_at > clock_timestamp())
     order by expires_at nulls last`,
  );
  return {
    keys: rows.length,
    expiring: rows.flatMap((row) =>
      row.seconds !== null && row.seconds < seconds ? [{ ...row, seconds: row.seconds }] : [],
    ),
  };
}

export async function readWebhooks(connection: Queryable): Promise<WebhookFacts> {
  const { rows } = await connection.query<WebhookFacts>(
    `select count(*) filter (where enabled)::integer as enabled,
       count(*) filter (where enabled and failing_since is not null)::integer as failing,
       count(*) filter (where disabled_reason in ('failing', 'gone'))::integer as stopped,
       extract(epoch from clock_timestamp() - min(failing_since) filter (where enabled))::float8 as "longestFailingSeconds",
       coalesce(max(head.number - cursor.journal_number) filter (where enabled), 0)::float8 as "rowsBehind"
     from webhook_endpoints
     join webhook_cursors as cursor on cursor.ledger_id = webhook_endpoints.ledger_id and endpoint_id = webhook_endpoints.id
     join journal_ends as head on head.ledger_id = webhook_endpoints.ledger_id
     cross join lateral (select disabled_reason is null as enabled) as state`,
  );
  const [found] = rows;
  if (!found) throw new Error('The database does not list its webhooks.');
  return found;
}
