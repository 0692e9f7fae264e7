// The settings of every session. They are made after connecting and read back, because poolers refuse or drop settings
// in the startup packet. A role, a database or a URL may also have settings of its own.
import type { ClientBase } from 'pg';
import { SessionError, sqlStateOf, toError } from './errors.ts';
import type { Target } from './hosts.ts';

/**
 * The bounds of every wait on the database, in milliseconds; 0 is none. The server enforces those of statements, locks
 * and idle transactions. This process enforces that of answers, for a server that has fallen silent.
 */
export type DatabaseTimeouts = {
  connectTimeoutMs: number;
  statementTimeoutMs: number;
  lockTimeoutMs: number;
  idleInTransactionTimeoutMs: number;
  /**
   * How long a connection may be silent while an answer is due; longer than a statement may take. Then it counts as
   * dead.
   */
  answerTimeoutMs: number;
  /** How often an idle connection is probed, and how long a probe may take, also after a silence. */
  probeTimeoutMs: number;
  /** How long a server may take to close a connection that this process has ended. */
  disconnectTimeoutMs: number;
};

export type SessionOptions = {
  /** Every statement is a look-up by key. */
  keyed?: boolean;
  /** The session only reads, so that a standby or a read-only database is accepted. */
  readOnly?: boolean;
  /** What is wanted of the server; by default any. */
  target?: Target;
  /** Another server may be the primary, so that the timeline of this one matters. */
  several?: boolean;
};

export type PreparedSession = {
  /** Of the server's side. */
  readonly processId: number;
  /** The timeline on which the server writes; null: it is a standby, or it was not asked. */
  readonly timeline: number | null;
  /** The run of a server whose commits wait for a synchronous standby: since when it runs. Null: they wait for none. */
  readonly replicatedRun: string | null;
  /** Whether Citus distributes the tables. */
  readonly hasCitus: boolean;
};

type Settings = Readonly<Record<string, string>>;

const SERVER_VERSION_MIN = 15;

/** The settings that the code needs in every session. */
const FIXED: Settings = {
  // How values are written and read.
  client_encoding: 'UTF8',
  timezone: 'UTC',
  timezone_abbreviations: 'Default',
  datestyle: 'ISO, MDY',
  intervalstyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  standard_conforming_strings: 'on',
  array_nulls: 'on',
  transform_null_equals: 'off',
  quote_all_identifiers: 'off',
  // A statement sees all rows: a policy that would hide rows is an error, and searches return every match.
  row_security: 'off',
  gin_fuzzy_search_limit: '0',
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  exit_on_error: 'off',
  // A warning is all that tells of a commit that a synchronous standby has not confirmed.
  client_min_messages: 'warning',
  // The sessions of threads and pools are idle between two uses.
  idle_session_timeout: '0',
  transaction_timeout: '0',
  // With Debian's jit=on, the settling statement is compiled for every job: 848 of 849 ms.
  jit: 'off',
};

const FREE_PLANS: Settings = {
  plan_cache_mode: 'auto',
  enable_indexscan: 'on',
  enable_nestloop: 'on',
  enable_seqscan: 'on',
  enable_bitmapscan: 'on',
  enable_hashjoin: 'on',
  enable_mergejoin: 'on',
};

// The threads and intake run only look-ups by key. A generic plan saves planning each time. Without these settings, a
// plan made on empty tables would read them whole once they are filled.
const KEYED_PLANS: Settings = {
  ...FREE_PLANS,
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
};

/** How often the server checks, in the middle of a statement, whether its caller is still connected. */
const CALLER_CHECK_MS = 1000;
/** How long a caller may fail to confirm data before the server abandons it, if the caller states no bound. */
const CALLER_SILENT_MS = 20_000;

/**
 * These settings let the server detect that this process has disappeared, and release its locks. Unconfirmed bytes and
 * unanswered probes close the server's side of the connection. The check of the caller then ends the statement; it
 * alone matters over a Unix socket.
 */
function vanishingOf({ statementTimeoutMs, answerTimeoutMs }: DatabaseTimeouts): Settings {
  // Without a bound on statements, the bound on answers is far longer than a live caller is silent.
  const silentMs = statementTimeoutMs === 0 ? CALLER_SILENT_MS : answerTimeoutMs || CALLER_SILENT_MS;
  const probeSeconds = String(Math.max(1, Math.round(silentMs / 4000)));
  return {
    client_connection_check_interval: String(CALLER_CHECK_MS),
    tcp_user_timeout: String(silentMs),
    tcp_keepalives_idle: probeSeconds,
    tcp_keepalives_interval: probeSeconds,
    tcp_keepalives_count: '3',
  };
}

/** On Citus, a forced generic plan ends the server: it must choose the shard by the value of a parameter. */
function settingsOf(
  timeouts: DatabaseTimeouts,
  { keyed, readOnly }: SessionOptions,
  { has_citus: hasCitus }: Facts,
): Settings {
  return {
    ...FIXED,
    ...(keyed && !hasCitus ? KEYED_PLANS : FREE_PLANS),
    ...vanishingOf(timeouts),
    statement_timeout: String(timeouts.statementTimeoutMs),
    lock_timeout: String(timeouts.lockTimeoutMs),
    idle_in_transaction_session_timeout: String(timeouts.idleInTransactionTimeoutMs),
    // Sessions that write do not switch it off: an operator may have made the database read-only before moving it.
    ...(readOnly ? { default_transaction_read_only: 'on' } : {}),
  };
}

type Facts = {
  number: number;
  text: string;
  encoding: string;
  pid: number;
  commit: string;
  standby: boolean;
  replicated_run: string | null;
  read_only: boolean;
  has_citus: boolean;
};

// It has no parameters, and the version is checked first: an old server must be able to answer.
const FACTS = `
  select current_setting('server_version_num')::integer as number, current_setting('server_version') as text,
    current_setting('server_encoding') as encoding, pg_backend_pid() as pid, current_setting('synchronous_commit') as commit,
    pg_is_in_recovery() as standby,
    case when current_setting('synchronous_standby_names') <> '' then pg_postmaster_start_time()::text end as replicated_run,
    current_setting('transaction_read_only') = 'on' as read_only,
    exists (select from pg_extension where extname = 'citus') as has_citus`;

// The name of a segment of the write-ahead log begins with its timeline. The functions work on a primary only.
const TIMELINE = `
  select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer as timeline
  where not pg_is_in_recovery()`;

// A setting of a newer version of PostgreSQL is skipped on an older one; a setting that the URL names is not.
const SET = `
  select name, set_config(name, value, false) as value
  from unnest($1::text[], $2::text[], $3::boolean[]) as setting (name, value, own)
  where own or current_setting(name, true) is not null`;

const READ_BACK = `
  select pg_backend_pid() as pid, current_setting('transaction_read_only') = 'on' as read_only,
    current_setting('session_replication_role') = 'replica' as without_triggers,
    array(
      select name from unnest($1::text[], $2::text[]) as setting (name, value)
      where current_setting(name, true) is distinct from value
    ) as lost`;

/**
 * Applies the settings that the code needs, and those that the URL names (`own`), to a new session. Reads them back in
 * another transaction. Throws a SessionError that states the remedy.
 */
export async function prepareSession(
  client: ClientBase,
  timeouts: DatabaseTimeouts,
  options: SessionOptions,
  own: Settings,
): Promise<PreparedSession> {
  const facts = await client.query<Facts>(FACTS);
  const [server] = facts.rows;
  if (server === undefined) throw new SessionError('The server does not report its version: name a PostgreSQL server.');
  refuseServer(server);
  refuseTarget(server, options.target ?? 'any');
  const strictest = [server.commit, own['synchronous_commit']].includes('remote_apply') ? 'remote_apply' : 'on';
  const settings = { ...own, ...settingsOf(timeouts, options, server), synchronous_commit: strictest };
  const made = await setAll(client, settings, own);
  const { rows } = await client.query<{ pid: number; read_only: boolean; without_triggers: boolean; lost: string[] }>(
    READ_BACK,
    [made.map(({ name }) => name), made.map(({ value }) => value)],
  );
  const [found] = rows;
  if (found === undefined || found.pid !== server.pid || found.lost.length > 0) throw sharedServers(found?.lost);
  if (!options.readOnly && found.read_only) throw new SessionError(READ_ONLY);
  if (!options.readOnly && found.without_triggers) throw new SessionError(WITHOUT_TRIGGERS);
  return {
    processId: server.pid,
    timeline: options.several ? await readTimeline(client) : null,
    replicatedRun: server.replicated_run,
    hasCitus: server.has_citus,
  };
}

/** The timeline on which a server writes; null: it is a standby. */
export async function readTimeline(client: ClientBase): Promise<number | null> {
  const { rows } = await client.query<{ timeline: number }>(TIMELINE);
  return rows[0]?.timeline ?? null;
}

/** Sessions that write are refused by a server that is read-only in any case. */
function refuseTarget({ standby, read_only: readOnly }: Facts, target: Target): void {
  const isMet: Readonly<Record<Target, boolean>> = {
    any: true,
    'read-write': !readOnly,
    primary: !standby,
    'read-only': readOnly,
    standby,
    'prefer-standby': true,
  };
  if (isMet[target]) return;
  const found = standby ? 'is a standby' : readOnly ? 'is read-only' : 'is a primary';
  throw new SessionError(`The server ${found}, and the setting of its URL is target_session_attrs=${target}.`);
}

async function setAll(
  client: ClientBase,
  settings: Settings,
  own: Settings,
): Promise<{ name: string; value: string }[]> {
  const names = Object.keys(settings);
  try {
    const result = await client.query<{ name: string; value: string }>(SET, [
      names,
      names.map((name) => settings[name]),
      names.map((name) => name in own),
    ]);
    return result.rows;
  } catch (error) {
    // Unknown names, wrong values, missing rights, and settings that can only be made at the server's start.
    if (!/^(22|42|55P02)/.test(sqlStateOf(error) ?? '')) throw error;
    throw new SessionError(
      `The server refuses a setting of the session (${toError(error).message}): correct the options of DATABASE_URL, or let the role set it.`,
      { cause: error },
    );
  }
}

function refuseServer({ number, text, encoding }: Facts): void {
  if (number < SERVER_VERSION_MIN * 10_000) {
    throw new SessionError(
      `The server is PostgreSQL ${text}, and GopherPay needs ${SERVER_VERSION_MIN} or newer: upgrade it, or name another with DATABASE_URL.`,
    );
  }
  if (encoding !== 'UTF8') {
    throw new SessionError(
      `The database stores text as ${encoding}, and GopherPay needs UTF8: recreate it with "create database … encoding 'UTF8' template template0", or name another.`,
    );
  }
}

const READ_ONLY =
  'The database is read-only (a standby, or default_transaction_read_only is on): name the primary with DATABASE_URL, or let it be written again.';
const WITHOUT_TRIGGERS =
  'The session runs without the triggers that keep the books append-only: take session_replication_role=replica from the role or the database.';

/**
 * The error for a connection whose transactions run in different sessions. `lost` names settings that were not kept.
 */
export function sharedServers(lost: readonly string[] = []): SessionError {
  const which = lost.length === 0 ? '' : ` (lost: ${lost.join(', ')})`;
  return new SessionError(
    `A pooler in front of the database assigns its servers by transaction${which}: set pool_mode=session for this database in PgBouncer, or name the server itself in DATABASE_URL.`,
  );
}
