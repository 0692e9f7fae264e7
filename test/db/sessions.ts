// Shared by the tests of sessions: the required settings, and functions to open and inspect a session.
import type { TestContext } from 'node:test';
import {
  connect,
  type Connection,
  type ConnectOptions,
  type DatabaseSettings,
  disconnect,
  type Queryable,
  READING_TIMEOUTS,
} from '../../src/db/connection/connect.ts';
import { onEnd } from '../support/cleanup.ts';

export const timeouts = { ...READING_TIMEOUTS, statementTimeoutMs: 60_000, idleInTransactionTimeoutMs: 70_000 };

/** The required settings, for any URL, role, database or pooler. */
const RIGHT: Readonly<Record<string, string>> = {
  timezone: 'UTC',
  datestyle: 'ISO, MDY',
  intervalstyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  array_nulls: 'on',
  transform_null_equals: 'off',
  row_security: 'off',
  gin_fuzzy_search_limit: '0',
  jit: 'off',
  synchronous_commit: 'on',
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  statement_timeout: '1min',
  lock_timeout: '10s',
  idle_in_transaction_session_timeout: '70s',
  idle_session_timeout: '0',
  enable_indexscan: 'on',
  enable_nestloop: 'on',
  client_connection_check_interval: '1s',
  standard_conforming_strings: 'on',
  client_encoding: 'UTF8',
  client_min_messages: 'warning',
};

export const FREE = { ...RIGHT, plan_cache_mode: 'auto', enable_seqscan: 'on', enable_hashjoin: 'on' };
export const KEYED = { ...RIGHT, plan_cache_mode: 'force_generic_plan', enable_seqscan: 'off', enable_hashjoin: 'off' };

/** Opens a connection with these timeouts; it is closed when the test ends. */
export async function open(
  t: TestContext,
  settings: DatabaseSettings,
  options: Partial<ConnectOptions> = {},
): Promise<Connection> {
  const connection = await connect(settings, timeouts, { applicationName: 'test', ...options });
  onEnd(t, () => disconnect(connection));
  return connection;
}

/** The settings of these names as the session has them. */
export async function shown(
  session: Queryable,
  names: Readonly<Record<string, string>>,
): Promise<Record<string, string>> {
  const result = await session.query<{ name: string; value: string }>(
    'select name, current_setting(name) as value from unnest($1::text[]) as name',
    [Object.keys(names)],
  );
  return Object.fromEntries(result.rows.map(({ name, value }) => [name, value]));
}

/** A URL with these session settings in its `options`. */
export function withOptions(url: string, settings: Readonly<Record<string, string>>): string {
  const escaped = Object.entries(settings).map(
    ([name, value]) => `-c ${name}=${value.replaceAll(/[\\\s]/g, String.raw`\$&`)}`,
  );
  const separator = url.includes('?') ? '&' : '?';
  return `${url}${separator}options=${encodeURIComponent(escaped.join(' '))}`;
}
