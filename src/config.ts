// The settings: the only place that reads the environment. Each has a default; a wrong value stops the start.
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { DatabaseSettings, DatabaseTimeouts } from './db/connect.ts';
import { parseEnvFile, refuseMisspelt } from './env-file.ts';

const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d+$/, 'must be a whole number')
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be from ${min} to ${max}`);

const environment = z.object({
  HOST: z.string().min(1).default('127.0.0.1'),
  PORT: whole(0, 65_535).default(8080),
  ALLOWED_HOSTS: z
    .string()
    .regex(/^[\sA-Za-z0-9.,_-]*$/, 'must be host names separated by commas, without a scheme or a port')
    .default(''),
  DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'must begin with postgres:// or postgresql://')
    .optional(),
  DB_HOST: z.string().min(1).optional(),
  DB_PORT: whole(1, 65_535).default(5432),
  DB_USER: z.string().min(1).default('postgres'),
  DB_PASSWORD: z.string().optional(),
  DB_NAME: z.string().min(1).default('gopherpay'),
  DATA_DIR: z.string().min(1).default('.gopherpay'),
  THREADS: whole(1, 64).default(10),
  MAX_QUEUE: whole(1, 1_000_000).default(5000),
  MAX_QUEUE_BYTES: whole(1024 * 1024, 64 * 1024 ** 3).default(64 * 1024 * 1024),
  JOB_SIZE_MAX: whole(1, 10_000).default(2048),
  CONNECTIONS_MAX: whole(1, 100_000).default(10_000),
  CALLER_SHARE_PERCENT: whole(1, 100).default(50),
  OPERATIONS_HOST: z.string().min(1).optional(),
  OPERATIONS_PORT: whole(0, 65_535).optional(),
  BODY_BYTES_MAX: whole(1024, 64 * 1024 * 1024).default(1024 * 1024),
  BODY_BYTES_IN_FLIGHT_MAX: whole(1024, 2 ** 40).default(64 * 1024 * 1024),
  ANSWER_BYTES_IN_FLIGHT_MAX: whole(1024, 2 ** 40).default(64 * 1024 * 1024),
  HEADERS_TIMEOUT_MS: whole(100, 600_000).default(10_000),
  REQUEST_TIMEOUT_MS: whole(100, 600_000).default(30_000),
  KEEP_ALIVE_TIMEOUT_MS: whole(100, 600_000).default(65_000),
  LINGER_TIMEOUT_MS: whole(100, 600_000).default(2000),
  WAIT_TIMEOUT_MS: whole(1000, 600_000).default(30_000),
  SHUTDOWN_DELAY_MS: whole(0, 600_000).default(0),
  DRAIN_TIMEOUT_MS: whole(100, 600_000).default(30_000),
  EVENT_STREAMS_MAX: whole(1, 10_000).default(100),
  STATEMENT_STREAMS_MAX: whole(1, 1000).default(16),
  STREAM_TIMEOUT_MS: whole(100, 600_000).default(60_000),
  DB_CONNECT_TIMEOUT_MS: whole(100, 600_000).default(5000),
  DB_STATEMENT_TIMEOUT_MS: whole(100, 600_000).default(15_000),
  DB_SCAN_TIMEOUT_MS: whole(100, 600_000).default(3000),
  DB_LOCK_TIMEOUT_MS: whole(100, 600_000).default(5000),
  DB_IDLE_IN_TRANSACTION_TIMEOUT_MS: whole(100, 600_000).default(10_000),
  DB_ANSWER_TIMEOUT_MS: whole(200, 700_000).optional(),
  DB_PROOF_TIMEOUT_MS: whole(100, 600_000).default(2500),
  DB_GOODBYE_TIMEOUT_MS: whole(100, 600_000).default(1000),
  DB_READING_TIMEOUT_MS: whole(100, 86_400_000).default(600_000),
  HEARTBEAT_MS: whole(50, 60_000).default(1000),
  ORPHANED_AFTER_MS: whole(200, 600_000).default(5000),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
});

/** The names of all settings. */
export const SETTING_NAMES: readonly string[] = Object.keys(environment.shape);

/** The settings that select the books. */
const NAMES_OF_BOOKS = ['DATABASE_URL', 'DB_HOST', 'DB_NAME', 'DATA_DIR'] as const;

/** What a server gets beyond its own bound of a statement to say that it was reached. */
const ANSWER_MARGIN_MS = 5000;

export type LogLevel = z.infer<typeof environment>['LOG_LEVEL'];

export type Config = {
  readonly host: string;
  readonly port: number;
  /** Host names by which callers may address the service, besides IP addresses and names without a dot. */
  readonly allowedHosts: readonly string[];
  /** Null: the service keeps a PostgreSQL of its own in `dataDir`. */
  readonly database: DatabaseSettings | null;
  readonly dataDir: string;
  readonly threads: number;
  /** How many transfers may be admitted and not yet final. */
  readonly maxQueue: number;
  /** How many bytes of text all admitted transfers together may have. */
  readonly maxQueueBytes: number;
  readonly jobSizeMax: number;
  readonly connectionsMax: number;
  /** The percentage of connections, streams and queue that one caller may hold while others compete; 100: no limit. */
  readonly callerSharePercent: number;
  /** A second listener for probes and metrics; metrics are then served there only. Null: none. */
  readonly operations: { readonly host: string; readonly port: number } | null;
  readonly bodyBytesMax: number;
  /** How many bytes of arriving bodies, and of answers being sent, the process may hold at once. */
  readonly bodyBytesInFlightMax: number;
  readonly answerBytesInFlightMax: number;
  /** How long the head of a request may take to arrive, and how long all of it. */
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** How long a caller's connection may be idle between two requests. */
  readonly keepAliveTimeoutMs: number;
  /** How long a caller whose answer is over may hold up the end of its connection. */
  readonly lingerTimeoutMs: number;
  /** How long an answer waits for the end of a transfer at the most, however long `Prefer: wait` may ask for. */
  readonly waitTimeoutMs: number;
  /** How long requests are still served after a signal to stop, while `/readyz` says 503. */
  readonly shutdownDelayMs: number;
  readonly drainTimeoutMs: number;
  /** How many may follow the feed at once, and how many statements may be written at once. */
  readonly eventStreamsMax: number;
  readonly statementStreamsMax: number;
  /** How long the reader of a streamed answer may take nothing of it. */
  readonly streamTimeoutMs: number;
  readonly databaseTimeouts: DatabaseTimeouts;
  /** How long a statement of a list may take. */
  readonly scanTimeoutMs: number;
  /** After what silence in an answer a command that reads gives up. */
  readonly readingTimeoutMs: number;
  readonly heartbeatMs: number;
  /** How old a heartbeat must be for its intake to count as stopped. */
  readonly orphanedAfterMs: number;
  readonly logLevel: LogLevel;
};

/** Parses the environment. Throws an error of one sentence that names the setting. */
export function parseConfig(env: Readonly<Record<string, string | undefined>>): Config {
  for (const name of Object.keys(env)) refuseMisspelt(name, SETTING_NAMES, 'the environment');
  // The default would select other books than the intended ones.
  const empty = NAMES_OF_BOOKS.find((name) => env[name] === '');
  if (empty !== undefined) throw new Error(`The setting ${empty} is empty: give it a value, or remove it.`);
  // Any other empty value comes from `NAME=` in a file, and counts as not set.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = environment.safeParse(given);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const name = String(issue?.path[0]);
    // The value of a secret must not end up in a terminal or a log.
    const shown = name === 'DATABASE_URL' || name === 'DB_PASSWORD' ? '' : ` "${given[name]}"`;
    throw new Error(`The setting ${name}${shown} is wrong: ${issue?.message}.`);
  }
  const values = parsed.data;
  if (values.DATABASE_URL !== undefined && values.DB_HOST !== undefined) {
    throw new Error('The settings DATABASE_URL and DB_HOST both name a database: leave one of them out.');
  }
  const part = (['DB_PORT', 'DB_USER', 'DB_PASSWORD', 'DB_NAME'] as const).find((name) => given[name] !== undefined);
  if (part !== undefined && values.DB_HOST === undefined && values.DATABASE_URL === undefined) {
    throw new Error(
      `The setting ${part} needs DB_HOST, without which the embedded database is used: add it, or leave ${part} out.`,
    );
  }
  if (values.ORPHANED_AFTER_MS < 3 * values.HEARTBEAT_MS) {
    throw new Error('The setting ORPHANED_AFTER_MS is wrong: it must be at least three times HEARTBEAT_MS.');
  }
  const answerTimeoutMs = values.DB_ANSWER_TIMEOUT_MS ?? values.DB_STATEMENT_TIMEOUT_MS + ANSWER_MARGIN_MS;
  if (answerTimeoutMs <= values.DB_STATEMENT_TIMEOUT_MS) {
    throw new Error('The setting DB_ANSWER_TIMEOUT_MS is wrong: it must be more than DB_STATEMENT_TIMEOUT_MS.');
  }
  return {
    host: values.HOST,
    port: values.PORT,
    allowedHosts: values.ALLOWED_HOSTS.toLowerCase()
      .split(/[\s,]+/)
      .filter((name) => name !== ''),
    database: databaseOf(values),
    dataDir: values.DATA_DIR,
    threads: values.THREADS,
    maxQueue: values.MAX_QUEUE,
    maxQueueBytes: values.MAX_QUEUE_BYTES,
    jobSizeMax: values.JOB_SIZE_MAX,
    connectionsMax: values.CONNECTIONS_MAX,
    callerSharePercent: values.CALLER_SHARE_PERCENT,
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
    databaseTimeouts: {
      connectTimeoutMs: values.DB_CONNECT_TIMEOUT_MS,
      statementTimeoutMs: values.DB_STATEMENT_TIMEOUT_MS,
      lockTimeoutMs: values.DB_LOCK_TIMEOUT_MS,
      idleInTransactionTimeoutMs: values.DB_IDLE_IN_TRANSACTION_TIMEOUT_MS,
      answerTimeoutMs,
      proofTimeoutMs: values.DB_PROOF_TIMEOUT_MS,
      goodbyeTimeoutMs: values.DB_GOODBYE_TIMEOUT_MS,
    },
    scanTimeoutMs: values.DB_SCAN_TIMEOUT_MS,
    readingTimeoutMs: values.DB_READING_TIMEOUT_MS,
    heartbeatMs: values.HEARTBEAT_MS,
    orphanedAfterMs: values.ORPHANED_AFTER_MS,
    logLevel: values.LOG_LEVEL,
  };
}

/** The settings of this process, from its environment and from `.env`; the environment takes precedence. */
export function readConfig(): Config {
  return parseConfig({ ...readEnvFile(), ...process.env });
}

function readEnvFile(): Record<string, string> {
  try {
    return parseEnvFile(readFileSync('.env'), SETTING_NAMES);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    if (error.code === 'ENOENT') return {};
    throw new Error(`The file .env cannot be read (${String(error.code)}): correct that, or remove it.`, {
      cause: error,
    });
  }
}

function databaseOf(values: z.infer<typeof environment>): DatabaseSettings | null {
  if (values.DATABASE_URL !== undefined) return { connectionString: values.DATABASE_URL };
  if (values.DB_HOST === undefined) return null;
  return {
    host: values.DB_HOST,
    port: values.DB_PORT,
    user: values.DB_USER,
    database: values.DB_NAME,
    ...(values.DB_PASSWORD === undefined ? {} : { password: values.DB_PASSWORD }),
  };
}
