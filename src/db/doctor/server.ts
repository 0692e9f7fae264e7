// Reads what a database server says about itself, for the command that judges it. Only reads, and no table of the books.
import type { Queryable } from '../connection/connect.ts';

export type ServerFacts = {
  readonly database: string;
  readonly role: string;
  readonly version: string;
  /** What a new session would have: the settings of this one are those of the service. */
  readonly settings: Readonly<Record<string, string>>;
  readonly inRecovery: boolean;
  /** How many connections the database, and the role, may have; null: no limit of their own. */
  readonly databaseConnectionsMax: number | null;
  readonly roleConnectionsMax: number | null;
  /** Connections of clients, without this one. */
  readonly connections: number;
  /** How old the oldest transaction id of the database is, in transactions; the server stops at 2^31. */
  readonly oldestTransaction: number;
  readonly databaseBytes: number;
};

/** What keeps the server from removing rows that are no longer needed. */
export type Holder = {
  readonly kind: 'session' | 'prepared transaction' | 'replication slot';
  /** Its process id, or its name. */
  readonly name: string;
  /** Its role and application. */
  readonly owner: string;
  /** Null: the role may not see it. */
  readonly seconds: number | null;
  /** How many transactions have begun since; null for a slot that keeps only the write-ahead log. */
  readonly transactions: number | null;
  /** The write-ahead log that it keeps; null: none. */
  readonly bytes: number | null;
  readonly idle: boolean;
};

const SETTINGS = [
  'autovacuum',
  'data_checksums',
  'default_transaction_read_only',
  'fsync',
  'full_page_writes',
  'jit',
  'max_connections',
  'max_wal_size',
  'reserved_connections',
  'session_replication_role',
  'shared_buffers',
  'ssl',
  'superuser_reserved_connections',
  'synchronous_commit',
  'track_counts',
  'wal_level',
];

export async function readServer(connection: Queryable): Promise<ServerFacts> {
  const { rows: settings } = await connection.query<{ name: string; value: string }>(
    `select name,
       case when unit is null then reset_val else pg_size_bytes(current_setting(name))::text end as value
     from pg_settings
     where name = any($1::text[])`,
    [SETTINGS],
  );
  const { rows } = await connection.query<Omit<ServerFacts, 'settings'>>(
    `select current_database()::text as database, current_user::text as role,
       split_part(current_setting('server_version'), ' ', 1) as version, pg_is_in_recovery() as "inRecovery",
       nullif(datconnlimit, -1) as "databaseConnectionsMax",
       (select nullif(rolconnlimit, -1) from pg_roles where rolname = current_user) as "roleConnectionsMax",
       (
         select count(*)::integer from pg_stat_activity
         where backend_type = 'client backend' and pid <> pg_backend_pid()
       ) as connections,
       age(datfrozenxid) as "oldestTransaction", pg_database_size(oid)::float8 as "databaseBytes"
     from pg_database
     where datname = current_database()`,
  );
  const [facts] = rows;
  if (!facts) throw new Error('The server does not list its database.');
  return { ...facts, settings: Object.fromEntries(settings.map(({ name, value }) => [name, value])) };
}

/** Sessions, prepared transactions and replication slots that hold back pruning, the oldest first. */
export async function readHolders(connection: Queryable): Promise<readonly Holder[]> {
  const { rows } = await connection.query<Holder>(
    `select *
     from (
       select 'session' as kind, pid::text as name, concat_ws(', ', usename, nullif(application_name, '')) as owner,
         extract(epoch from clock_timestamp() - xact_start)::float8 as seconds, age(backend_xmin) as transactions,
         null::float8 as bytes, coalesce(state like 'idle in transaction%', false) as idle
       from pg_stat_activity
       where pid <> pg_backend_pid() and backend_type <> 'autovacuum worker'
         and (backend_xmin is not null or xact_start is not null)
       union all
       select 'prepared transaction', gid, owner, extract(epoch from clock_timestamp() - prepared)::float8,
         age(transaction), null, true
       from pg_prepared_xacts
       union all
       select 'replication slot', slot_name::text, coalesce(plugin, slot_type), null, age(coalesce(xmin, catalog_xmin)),
         pg_wal_lsn_diff(
           case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end, restart_lsn
         )::float8,
         not active
       from pg_replication_slots
     ) as holders
     order by transactions desc nulls last`,
  );
  return rows;
}

/** The clock of the server, in ms, and how long it took to answer. */
export async function readClock(connection: Queryable): Promise<{ readonly at: number; readonly tookMs: number }> {
  const startedAt = performance.now();
  const { rows } = await connection.query<{ at: number }>(
    `select (extract(epoch from clock_timestamp()) * 1000)::float8 as at`,
  );
  return { at: rows[0]?.at ?? 0, tookMs: performance.now() - startedAt };
}
