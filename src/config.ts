// The settings: the only place that reads the environment. Each has a default; a wrong value stops the start.
import type { z } from 'zod';
import type { DatabaseSettings, DatabaseTimeouts } from './db/connection/connect.ts';
import { readEnvFile, refuseMisspelled } from './env-file.ts';
import { readSecrets } from './secret-file.ts';
import { describeSettings, environment, namesOf, pairsOf } from './settings.ts';

/** The names of all settings. */
export const SETTING_NAMES: readonly string[] = Object.keys(environment.shape);

/** The settings that may hold a secret. Each may be given in a file. */
const SECRETS = SETTING_NAMES.filter((name) => SETTING_NAMES.includes(`${name}_FILE`));

/** The settings that select the database. */
const NAMES_OF_BOOKS = [
  'DATABASE_URL',
  'DATABASE_URL_FILE',
  'DATABASE_OWNER_URL',
  'DATABASE_OWNER_URL_FILE',
  'DATABASE_READER_URL',
  'DATABASE_READER_URL_FILE',
  'DB_HOST',
  'DB_NAME',
  'DATA_DIR',
] as const;

/** Settings that need a named database. */
const PARTS_OF_DATABASE = ['DB_PORT', 'DB_USER', 'DB_PASSWORD', 'DB_NAME', 'DB_SSL_MODE', 'DB_SSL_ROOT_CERT'] as const;
/** Settings of TLS, each with the one that it needs. */
const NEEDED_BY_TLS = [
  ['TLS_CERT', 'TLS_KEY'],
  ['TLS_KEY', 'TLS_CERT'],
  ['TLS_CLIENT_CA', 'TLS_CERT'],
  ['TLS_CLIENT_CERT', 'TLS_CLIENT_CA'],
] as const;

/** How long an answer may take beyond the statement timeout, so that the server can report the timeout itself. */
const ANSWER_MARGIN_MS = 5000;

export type LogLevel = z.infer<typeof environment>['LOG_LEVEL'];

/** Where traces are sent, and which requests are traced. */
export type TraceSettings = {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly serviceName: string | null;
  readonly resourceAttributes: Readonly<Record<string, string>>;
  readonly sampler: z.infer<typeof environment>['OTEL_TRACES_SAMPLER'];
  readonly ratio: number;
};

export type Config = {
  readonly host: string;
  readonly port: number;
  /** Host names by which callers may address the service, besides IP addresses and names without a dot. */
  readonly allowedHosts: readonly string[];
  /** Other origins whose pages may use the service from a browser. */
  readonly corsOrigins: readonly string[];
  /** The prefix of all paths at the proxy before the service; empty: none. */
  readonly basePath: string;
  /** As the role of the service. Null: the service keeps a PostgreSQL of its own in `dataDir`. */
  readonly database: DatabaseSettings | null;
  /** The same database as the owner of the tables, and as a role that only reads. Null: as `database`. */
  readonly ownerDatabase: DatabaseSettings | null;
  readonly readerDatabase: DatabaseSettings | null;
  readonly dataDir: string;
  /** The files of TLS to callers; null: HTTP without TLS. */
  readonly tls: {
    readonly cert: string;
    readonly key: string;
    /** The authorities of callers; null: callers are not asked for a certificate. */
    readonly clientCa: string | null;
    readonly clientCertificates: 'optional' | 'required';
  } | null;
  /** Addresses and networks of proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
  readonly threads: number;
  /** How many transfers may be admitted and not yet final. */
  readonly maxQueue: number;
  /** How many bytes of text all admitted transfers together may have. */
  readonly maxQueueBytes: number;
  readonly jobSizeMax: number;
  readonly connectionsMax: number;
  /** The percentage of connections, streams and queue that one caller may hold while others compete; 100: no limit. */
  readonly callerSharePercent: number;
  /** The issuer whose tokens are accepted, and where their claims name scopes and ledger. Null: none. */
  readonly jwt: {
    readonly issuer: string;
    readonly audience: string;
    readonly algorithms: readonly string[];
    readonly scopesClaim: string;
    readonly ledgerClaim: string;
  } | null;
  /** A second listener for probes and metrics; metrics are then served there only. Null: none. */
  readonly operations: { readonly host: string; readonly port: number } | null;
  readonly bodyBytesMax: number;
  /** How many bytes of request bodies, and of answers, the process may hold at once. */
  readonly bodyBytesInFlightMax: number;
  readonly answerBytesInFlightMax: number;
  /** How long the head of a request, and the whole request, may take to arrive. */
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** How long a caller's connection may be idle between two requests. */
  readonly keepAliveTimeoutMs: number;
  /** How long a caller may delay the close of its connection after its answer was sent. */
  readonly lingerTimeoutMs: number;
  /** The longest wait for the outcome of a transfer; `Prefer: wait` may ask for less. */
  readonly waitTimeoutMs: number;
  /** How long requests are still served after a signal to stop, while `/readyz` answers 503. */
  readonly shutdownDelayMs: number;
  readonly drainTimeoutMs: number;
  /** How many followers the feed may have, and how many statements may be streamed at once. */
  readonly eventStreamsMax: number;
  readonly statementStreamsMax: number;
  /** How long the reader of a streamed answer may stall. */
  readonly streamTimeoutMs: number;
  /** Whether webhooks may be sent to private addresses, and without TLS. */
  readonly webhooksAllowPrivate: boolean;
  /** Whether browsers get the console. */
  readonly console: boolean;
  readonly databaseTimeouts: DatabaseTimeouts;
  /** The statement timeout of lists. */
  readonly scanTimeoutMs: number;
  /** How long the database may be silent before a command that reads gives up. */
  readonly readingTimeoutMs: number;
  readonly heartbeatMs: number;
  /** How old a heartbeat must be for its lease to count as orphaned. */
  readonly orphanedAfterMs: number;
  /** Null: nothing is traced. */
  readonly traces: TraceSettings | null;
  readonly logLevel: LogLevel;
};

type Settings = z.infer<typeof environment>;

/** Parses the environment. Throws an error of one sentence that names the setting. */
export function parseConfig(env: Readonly<Record<string, string | undefined>>): Config {
  return toConfig(parseSettings(env));
}

/** The checked settings. `DB_ANSWER_TIMEOUT_MS` has its default, which depends on another one. */
function parseSettings(
  env: Readonly<Record<string, string | undefined>>,
): Settings & { readonly DB_ANSWER_TIMEOUT_MS: number } {
  for (const name of Object.keys(env)) refuseMisspelled(name, SETTING_NAMES, 'the environment');
  // The default would select another database than the intended one.
  const empty = NAMES_OF_BOOKS.find((name) => env[name] === '');
  if (empty !== undefined) throw new Error(`The setting ${empty} is empty: give it a value, or remove it.`);
  // Any other empty value comes from `NAME=` in a file, and counts as not set.
  const received = readSecrets(SECRETS, Object.fromEntries(Object.entries(env).filter(([, value]) => value !== '')));
  const parsed = environment.safeParse(received);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const name = String(issue?.path[0]);
    // A secret must not appear in a terminal or a log.
    const shown = SECRETS.includes(name) ? '' : ` "${received[name]}"`;
    throw new Error(`The setting ${name}${shown} is wrong: it ${issue?.message}.`);
  }
  const values = parsed.data;
  if (values.DATABASE_URL !== undefined && values.DB_HOST !== undefined) {
    throw new Error('The settings DATABASE_URL and DB_HOST both name a database: remove one of them.');
  }
  const part = PARTS_OF_DATABASE.find((name) => received[name] !== undefined);
  if (part !== undefined && values.DB_HOST === undefined && values.DATABASE_URL === undefined) {
    throw new Error(
      `The setting ${part} needs DB_HOST, without which the embedded database is used: add it, or remove ${part}.`,
    );
  }
  const detail = SETTING_NAMES.find((name) => name.startsWith('JWT_') && received[name] !== undefined);
  if (detail !== undefined && values.JWT_ISSUER === undefined) {
    throw new Error(`The setting ${detail} needs JWT_ISSUER: add it, or remove ${detail}.`);
  }
  if (values.JWT_ISSUER !== undefined && values.JWT_AUDIENCE === undefined) {
    throw new Error('The setting JWT_ISSUER needs JWT_AUDIENCE, which keeps out tokens for other services: add it.');
  }
  const lacking = NEEDED_BY_TLS.find(
    ([name, needed]) => received[name] !== undefined && received[needed] === undefined,
  );
  if (lacking) throw new Error(`The setting ${lacking[0]} needs ${lacking[1]}: add it, or remove ${lacking[0]}.`);
  if (values.ORPHANED_AFTER_MS < 3 * values.HEARTBEAT_MS) {
    throw new Error('The setting ORPHANED_AFTER_MS is wrong: it must be at least three times HEARTBEAT_MS.');
  }
  const answerTimeoutMs = values.DB_ANSWER_TIMEOUT_MS ?? values.DB_STATEMENT_TIMEOUT_MS + ANSWER_MARGIN_MS;
  if (answerTimeoutMs <= values.DB_STATEMENT_TIMEOUT_MS) {
    throw new Error('The setting DB_ANSWER_TIMEOUT_MS is wrong: it must be more than DB_STATEMENT_TIMEOUT_MS.');
  }
  return { ...values, DB_ANSWER_TIMEOUT_MS: answerTimeoutMs };
}

function toConfig(values: Settings & { readonly DB_ANSWER_TIMEOUT_MS: number }): Config {
  return {
    host: values.HOST,
    port: values.PORT,
    allowedHosts: namesOf(values.ALLOWED_HOSTS.toLowerCase()),
    corsOrigins: namesOf(values.CORS_ORIGINS),
    basePath: values.BASE_PATH,
    database: databaseOf(values),
    ownerDatabase: urlOf(values.DATABASE_OWNER_URL, values),
    readerDatabase: urlOf(values.DATABASE_READER_URL, values),
    dataDir: values.DATA_DIR,
    tls: tlsOf(values),
    trustedProxies: namesOf(values.TRUSTED_PROXIES),
    threads: values.THREADS,
    maxQueue: values.MAX_QUEUE,
    maxQueueBytes: values.MAX_QUEUE_BYTES,
    jobSizeMax: values.JOB_SIZE_MAX,
    connectionsMax: values.CONNECTIONS_MAX,
    callerSharePercent: values.CALLER_SHARE_PERCENT,
    jwt: jwtOf(values),
    operations:
      values.OPERATIONS_PORT === undefined
        ? null
        : { host: values.OPERATIONS_HOST ?? values.HOST, port: values.OPERATIONS_PORT },
    bodyBytesMax: values.BODY_BYTES_MAX,
    // One body must fit.
    bodyBytesInFlightMax: Math.max(values.BODY_BYTES_IN_FLIGHT_MAX, values.BODY_BYTES_MAX),
    answerBytesInFlightMax: values.ANSWER_BYTES_IN_FLIGHT_MAX,
    // The head is a part of the request.
    headersTimeoutMs: Math.min(values.HEADERS_TIMEOUT_MS, values.REQUEST_TIMEOUT_MS),
    requestTimeoutMs: values.REQUEST_TIMEOUT_MS,
    keepAliveTimeoutMs: values.KEEP_ALIVE_TIMEOUT_MS,
    lingerTimeoutMs: values.LINGER_TIMEOUT_MS,
    waitTimeoutMs: values.WAIT_TIMEOUT_MS,
    shutdownDelayMs: values.SHUTDOWN_DELAY_MS,
    drainTimeoutMs: values.DRAIN_TIMEOUT_MS,
    eventStreamsMax: values.EVENT_STREAMS_MAX,
    statementStreamsMax: values.STATEMENT_STREAMS_MAX,
    streamTimeoutMs: values.STREAM_TIMEOUT_MS,
    webhooksAllowPrivate: values.WEBHOOK_TARGETS === 'any',
    console: values.CONSOLE === 'on',
    databaseTimeouts: {
      connectTimeoutMs: values.DB_CONNECT_TIMEOUT_MS,
      statementTimeoutMs: values.DB_STATEMENT_TIMEOUT_MS,
      lockTimeoutMs: values.DB_LOCK_TIMEOUT_MS,
      idleInTransactionTimeoutMs: values.DB_IDLE_IN_TRANSACTION_TIMEOUT_MS,
      answerTimeoutMs: values.DB_ANSWER_TIMEOUT_MS,
      probeTimeoutMs: values.DB_PROBE_TIMEOUT_MS,
      disconnectTimeoutMs: values.DB_DISCONNECT_TIMEOUT_MS,
    },
    scanTimeoutMs: values.DB_SCAN_TIMEOUT_MS,
    readingTimeoutMs: values.DB_READING_TIMEOUT_MS,
    heartbeatMs: values.HEARTBEAT_MS,
    orphanedAfterMs: values.ORPHANED_AFTER_MS,
    traces: tracesOf(values),
    logLevel: values.LOG_LEVEL,
  };
}

/** The settings of this process that differ from their defaults, as they were given. A secret is not shown. */
export function readChangedSettings(): Record<string, string> {
  return changedSettings({ ...readEnvFile(SETTING_NAMES, SECRETS), ...process.env });
}

export function changedSettings(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const changed = describeSettings().flatMap(({ name, fallback }) => {
    const value = env[name] ?? '';
    if (value === '' || value === fallback) return [];
    return [[name, SECRETS.includes(name) ? '(secret)' : value]];
  });
  return Object.fromEntries(changed);
}

/** What the environment says about the service that a command calls. An empty value counts as not set. */
export type ClientEnvironment = {
  readonly url: string | undefined;
  readonly ledger: string | undefined;
  readonly key: string | undefined;
};

/** Only from the environment: `.env` belongs to the service, which needs no key of its callers. */
export function readClientEnvironment(): ClientEnvironment {
  const read = (name: string) => process.env[name] || undefined;
  return { url: read('GOPHERPAY_URL'), ledger: read('GOPHERPAY_LEDGER'), key: read('GOPHERPAY_KEY') };
}

/** The settings of this process, from its environment and from `.env`; the environment takes precedence. */
export function readConfig(): Config {
  return parseConfig({ ...readEnvFile(SETTING_NAMES, SECRETS), ...process.env });
}

function databaseOf(values: Settings): DatabaseSettings | null {
  const tls = tlsToDatabase(values);
  if (values.DB_HOST === undefined) return urlOf(values.DATABASE_URL, values);
  return {
    host: values.DB_HOST,
    port: values.DB_PORT,
    user: values.DB_USER,
    database: values.DB_NAME,
    ...(values.DB_PASSWORD === undefined ? {} : { password: values.DB_PASSWORD }),
    ...tls,
  };
}

function jwtOf(values: Settings): Config['jwt'] {
  if (values.JWT_ISSUER === undefined || values.JWT_AUDIENCE === undefined) return null;
  return {
    issuer: values.JWT_ISSUER,
    audience: values.JWT_AUDIENCE,
    algorithms: namesOf(values.JWT_ALGORITHMS),
    scopesClaim: values.JWT_SCOPES_CLAIM,
    ledgerClaim: values.JWT_LEDGER_CLAIM,
  };
}

function tracesOf(values: Settings): TraceSettings | null {
  const base = values.OTEL_EXPORTER_OTLP_ENDPOINT?.replace(/\/$/, '');
  const url = values.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? (base === undefined ? null : `${base}/v1/traces`);
  if (url === null || values.OTEL_SDK_DISABLED === 'true' || values.OTEL_TRACES_EXPORTER === 'none') return null;
  return {
    url,
    headers: pairsOf(values.OTEL_EXPORTER_OTLP_HEADERS) ?? {},
    serviceName: values.OTEL_SERVICE_NAME ?? null,
    resourceAttributes: pairsOf(values.OTEL_RESOURCE_ATTRIBUTES) ?? {},
    sampler: values.OTEL_TRACES_SAMPLER,
    ratio: Number(values.OTEL_TRACES_SAMPLER_ARG),
  };
}

function tlsOf(values: Settings): Config['tls'] {
  const { TLS_CERT: cert, TLS_KEY: key } = values;
  if (cert === undefined || key === undefined) return null;
  return { cert, key, clientCa: values.TLS_CLIENT_CA ?? null, clientCertificates: values.TLS_CLIENT_CERT };
}

function urlOf(connectionString: string | undefined, values: Settings): DatabaseSettings | null {
  return connectionString === undefined ? null : { connectionString, ...tlsToDatabase(values) };
}

function tlsToDatabase(values: Settings): Pick<DatabaseSettings, 'tls'> {
  const isSet = values.DB_SSL_MODE !== undefined || values.DB_SSL_ROOT_CERT !== undefined;
  return isSet ? { tls: { mode: values.DB_SSL_MODE, rootCert: values.DB_SSL_ROOT_CERT } } : {};
}
