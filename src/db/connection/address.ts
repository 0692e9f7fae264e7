// The address of the database, and the session settings of its URL. Only the settings of the service count. pg would
// fill gaps from PG* variables and ~/.pgpass, so every value that pg looks up there is stated.
import { userInfo } from 'node:os';
import type { ClientConfig } from 'pg';
import { parse, toClientConfig } from 'pg-connection-string';
import { SessionError } from './errors.ts';
import { splitHosts, type Target } from './hosts.ts';
import { splitTls, tlsOptionsOf, type TlsSettings } from './tls.ts';

/** How to reach a database: plain data, so that it can be passed to a worker thread. */
export type DatabaseSettings = (
  | { connectionString: string }
  | { host: string; port: number; user: string; database: string; password?: string }
) & { tls?: TlsSettings };

/** How to connect to one host. */
export type HostAddress = ClientConfig & { host: string; port: number; user: string; database: string };

export type Address = {
  /** In the order of the URL. The user, the password and the database are the same. */
  readonly hosts: readonly [HostAddress, ...HostAddress[]];
  /** What the URL wants of the host of a session. */
  readonly target: Target;
  /** Session settings that the URL names (`options=-c name=value`), by their names in lower case. */
  readonly own: Readonly<Record<string, string>>;
  /** The other words of the URL's `options`, which the server or a proxy may understand. */
  readonly startupOptions: string | null;
};

/**
 * Parameters by which other clients name the search path in a URL. Ignoring one would begin new, empty books in another
 * schema.
 */
const SCHEMA_PARAMETERS = ['schema', 'currentSchema', 'search_path'];
/** A path with `@` after a host without a user: `/` or `#` of a password was not written as %2F or %23. */
const PASSWORD_IN_PATH = /^[^/]*\/\/[^/?#@]*[/#][^?]*@/;

/**
 * Reads a URL or the single settings. Parameters of a URL that concern neither the address nor the session are ignored.
 * Throws a SessionError for a parameter that names a schema and would have no effect.
 */
export function readAddress(settings: DatabaseSettings): Address {
  const { tls: own = {} } = settings;
  if (!('connectionString' in settings)) {
    const client = clientOf(settings);
    const ssl = tlsOptionsOf(client.host, { own, url: {}, clientOptions: false });
    return { hosts: [{ ...client, ssl }], target: 'any', own: {}, startupOptions: null };
  }
  // A part of the password would appear in errors as the name of a host or a database.
  if (PASSWORD_IN_PATH.test(settings.connectionString)) {
    throw new SessionError(
      'The setting DATABASE_URL is wrong: write special characters of its password as %2F (for /) and %23 (for #).',
    );
  }
  const { rest: withoutTls, tls } = splitTls(settings.connectionString);
  const { urls, target } = splitHosts(withoutTls);
  const [{ host, options }, ...others] = [
    readUrl(urls[0], own, tls),
    ...urls.slice(1).map((url) => readUrl(url, own, tls)),
  ];
  const { own: ownSettings, rest } = splitOptions(options);
  return {
    hosts: [host, ...others.map((other) => other.host)],
    target,
    own: ownSettings,
    startupOptions: rest === '' ? null : rest,
  };
}

/** Reads a URL with one host. */
function readUrl(text: string, own: TlsSettings, tls: TlsSettings): { host: HostAddress; options: string } {
  const url = parse(text);
  const inVain = SCHEMA_PARAMETERS.find((name) => name in url);
  if (inVain !== undefined) {
    throw new SessionError(
      `The setting DATABASE_URL is wrong: its parameter "${inVain}" is not one of PostgreSQL's; name the schema with options=-c%20search_path%3Dname.`,
    );
  }
  const { host, port, user, database, password, ssl: given, sslnegotiation } = toClientConfig(url);
  const client = clientOf({ host, port, user, database, password });
  // A certificate of the client, or the negotiation `direct`.
  const clientOptions = given !== undefined && given !== false;
  const ssl = tlsOptionsOf(client.host, { own, url: tls, clientOptions });
  return {
    host: {
      ...client,
      ssl: ssl && typeof given === 'object' ? { ...given, ...ssl } : ssl,
      sslnegotiation: sslnegotiation ?? 'postgres',
    },
    options: url.options ?? '',
  };
}

/** The name of the role as which these settings connect. */
export function roleOf(settings: DatabaseSettings): string {
  return readAddress(settings).hosts[0].user;
}

/** A host for people, without the user and the password. */
export function nameOfHost({ host, port }: Pick<HostAddress, 'host' | 'port'>): string {
  if (host.startsWith('/')) return host;
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function clientOf(config: Pick<ClientConfig, 'host' | 'port' | 'user' | 'database' | 'password'>): HostAddress {
  // Without a user, the user of this process, as in every other client of PostgreSQL.
  const user = config.user || userInfo().username;
  const { password } = config;
  return {
    host: config.host || 'localhost',
    port: config.port || 5432,
    user,
    database: config.database || user,
    // A function, because pg looks for any other password that is missing in PGPASSWORD and ~/.pgpass.
    password: typeof password === 'string' && password !== '' ? () => password : refuseWithoutPassword,
    ssl: false,
    sslnegotiation: 'postgres',
    client_encoding: 'UTF8',
  };
}

function refuseWithoutPassword(): never {
  throw new SessionError(
    'The database asks for a password and the settings have none: add it to DATABASE_URL, or set DB_PASSWORD.',
  );
}

/**
 * Splits the `options` of a URL as the server does: words between white space, where a backslash takes the next
 * character as it is. `-c name=value`, `-cname=value` and `--name=value` are session settings.
 */
function splitOptions(text: string): { own: Record<string, string>; rest: string } {
  const own: Record<string, string> = {};
  const rest: string[] = [];
  const words = text.match(/(?:\\[^]|\S)+/g) ?? [];
  for (let index = 0; index < words.length; index += 1) {
    const separated = words[index] === '-c';
    const word = words[separated ? (index += 1) : index] ?? '';
    const [, name, value] = /^(?:-c|--)?([\w.-]+)=([^]*)$/.exec(word) ?? [];
    const isSetting = name !== undefined && value !== undefined && (separated || word.startsWith('-'));
    if (isSetting) own[name.toLowerCase().replaceAll('-', '_')] = value.replaceAll(/\\([^])/g, '$1');
    else rest.push(separated ? `-c ${word}` : word);
  }
  return { own, rest: rest.join(' ') };
}
