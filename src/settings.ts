// The settings as a schema: their names, forms and defaults. config.ts reads and checks them.
import { validateHeaderName, validateHeaderValue } from 'node:http';
import { z } from 'zod';
import { isNetwork, isOrigin, mustBe } from './validation.ts';

const whole = (min: number, max: number) =>
  z
    .string()
    .refine((text) => /^\d+$/.test(text) && Number(text) >= min && Number(text) <= max, {
      error: mustBe(`a whole number from ${min} to ${max}`),
    })
    .transform(Number)
    // The text is checked above; this states the bounds in docs/SETTINGS.md.
    .pipe(z.number().min(min).max(max));

/** Signatures by a key pair. Never `none`, and no HS256: its key would have to be secret, and the issuer's are public. */
const JWT_ALGORITHMS: readonly string[] = 'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519'.split(
  ' ',
);

/** The names in a list with commas or spaces. */
export const namesOf = (list: string): string[] => list.split(/[\s,]+/).filter((name) => name !== '');
const path = () => z.string().min(1);
/** The setting NAME_FILE of a secret setting NAME. Any setting that has such a companion is treated as a secret. */
const fileOf = (name: string) => path().optional().describe(`a file that holds \`${name}\`, in its place`);
const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;
const collectorUrl = () =>
  z
    .string({ error: mustBe('an http or https URL without a user, a query or a fragment') })
    .regex(/^https?:\/\/[^\s?#@/]+(\/[^\s?#@]*)?$/)
    .refine((text) => URL.canParse(text))
    .optional();
/** Pairs as the variables of OpenTelemetry have them: `name=value,name=value`, percent-encoded. Null: another form. */
export function pairsOf(list = ''): Readonly<Record<string, string>> | null {
  const pairs = list.split(',').filter((pair) => pair.trim() !== '');
  if (!pairs.every((pair) => /^\s*[^\s=]+\s*=/.test(pair))) return null;
  try {
    return Object.fromEntries(
      pairs.map((pair) => pair.split(/=(.*)/s, 2).map((part) => decodeURIComponent(part.trim()))),
    );
  } catch {
    return null;
  }
}
function isHeader([name, value]: readonly [string, string]): boolean {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}
const databaseUrl = z.string().regex(/^postgres(ql)?:\/\//, 'must begin with postgres:// or postgresql://');

/** `npm run settings` writes docs/SETTINGS.md from this schema. A name carries its unit. */
export const environment = z.object({
  HOST: z.string().min(1).default('127.0.0.1').describe('the address to listen on'),
  PORT: whole(0, 65_535).default(8080).describe('the port to listen on; 0 picks a free one'),
  ALLOWED_HOSTS: z
    .string({ error: mustBe('host names separated by commas, without a scheme or a port') })
    .regex(/^[\sA-Za-z0-9.,_-]*$/)
    .default('')
    .describe(
      'host names by which callers address the service, separated by commas, besides `HOST`, IP addresses, names without a dot and `*.localhost`',
    ),
  CORS_ORIGINS: z
    .string()
    .refine((text) => namesOf(text).every(isOrigin), {
      error: mustBe('origins such as https://app.example.com separated by commas, in lower case and without a path'),
    })
    .default('')
    .describe(
      'origins of other sites, separated by commas, whose pages may use the service from a browser, such as `https://app.example.com`; without keys only those of this machine may',
    ),
  BASE_PATH: z
    .string({ error: mustBe('a path such as /pay, of segments of A-Z a-z 0-9 _ ~ - and without a slash at the end') })
    .regex(/^(\/[A-Za-z0-9_~-]+)*$/)
    .default('')
    .describe(
      'the prefix at which a proxy serves the service, such as `/pay`; paths are understood with and without it, and `Location` has it',
    ),
  DATABASE_URL: databaseUrl
    .optional()
    .describe(
      'PostgreSQL 15 or newer (not one on Windows), as `postgres://user:password@host:port/database`; several hosts, as `host1:port1,host2:port2`, with `?target_session_attrs=read-write` (docs/HIGH-AVAILABILITY.md); `?options=-c%20search_path%3Dpay` names another schema, and `sslmode` and `sslrootcert` are `DB_SSL_MODE` and `DB_SSL_ROOT_CERT`',
    ),
  DATABASE_URL_FILE: fileOf('DATABASE_URL'),
  DATABASE_OWNER_URL: databaseUrl
    .optional()
    .describe(
      'the same database, as the role that owns the tables: for `migrate`, and for `serve`, which then migrates at its start',
    ),
  DATABASE_OWNER_URL_FILE: fileOf('DATABASE_OWNER_URL'),
  DATABASE_READER_URL: databaseUrl
    .optional()
    .describe('the same database, as a role that only reads: for `report`, `statement` and `audit`'),
  DATABASE_READER_URL_FILE: fileOf('DATABASE_READER_URL'),
  DB_HOST: z.string().min(1).optional().describe('the host of the database, if `DATABASE_URL` does not name one'),
  DB_PORT: whole(1, 65_535).default(5432).describe('the port of the database'),
  DB_USER: z.string().min(1).default('postgres').describe('the user of the database'),
  DB_PASSWORD: z.string().optional().describe('the password of that user'),
  DB_PASSWORD_FILE: fileOf('DB_PASSWORD'),
  DB_NAME: z.string().min(1).default('gopherpay').describe('the name of the database'),
  DB_SSL_MODE: z
    .enum(['disable', 'no-verify', 'require', 'verify-ca', 'verify-full'])
    .optional()
    .describe(
      'TLS to the database: without a value `verify-full`, and on a Unix socket, `localhost` or a loopback address `disable`; `require` verifies like `verify-full`',
    ),
  DB_SSL_ROOT_CERT: path()
    .optional()
    .describe('a PEM file of the authorities that may certify the database; without it, those of Node'),
  TLS_CERT: path()
    .optional()
    .describe('a PEM file with the certificate of the service and its chain; callers then use HTTPS'),
  TLS_KEY: path().optional().describe('a PEM file with the key of that certificate; SIGHUP reads both again'),
  TLS_CLIENT_CA: path()
    .optional()
    .describe('a PEM file of the authorities that certify callers, which are then asked for a certificate'),
  TLS_CLIENT_CERT: z
    .enum(['optional', 'required'])
    .default('optional')
    .describe('whether a caller needs such a certificate to connect'),
  TRUSTED_PROXIES: z
    .string()
    .refine((text) => namesOf(text).every(isNetwork), {
      error: mustBe('addresses and networks (such as 10.0.0.0/8) separated by commas'),
    })
    .default('')
    .describe(
      'addresses and networks of proxies, separated by commas, whose `X-Forwarded-For` names the caller; others are ignored',
    ),
  DATA_DIR: z
    .string()
    .min(1)
    .default('.gopherpay')
    .describe('the folder of the embedded server, which is used if no database is named'),
  THREADS: whole(1, 64)
    .default(10)
    .describe(
      'the most threads that settle, each with its own connection; two start with the service, the others when they are needed',
    ),
  MAX_QUEUE: whole(1, 1_000_000).default(5000).describe('the most transfers that may be admitted and not yet final'),
  MAX_QUEUE_BYTES: whole(1024 * 1024, 64 * 1024 ** 3)
    .default(64 * 1024 * 1024)
    .describe('the most text that all admitted transfers together may have'),
  JOB_SIZE_MAX: whole(1, 10_000).default(2048).describe('the most transfers in one job'),
  CONNECTIONS_MAX: whole(1, 100_000)
    .default(10_000)
    .describe(
      'the most connections of callers; lowered, with a line in the log, to what the limit of open files leaves',
    ),
  CALLER_SHARE_PERCENT: whole(1, 100)
    .default(50)
    .describe(
      'the share of connections, streams and queue that one address may hold; behind a proxy, where all callers have one address, raise it (100: no limit)',
    ),
  JWT_ISSUER: z
    .string({ error: mustBe('an https URL without a query, or an http URL of this machine') })
    .regex(/^(https:\/\/[^\s?#@]+|http:\/\/(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?(\/[^\s?#@]*)?)$/)
    .optional()
    .describe('the OIDC issuer whose tokens (JWT) are accepted, exactly as in their claim `iss`'),
  JWT_AUDIENCE: z.string().min(1).optional().describe('the audience that tokens must name in their claim `aud`'),
  JWT_ALGORITHMS: z
    .string()
    .refine((text) => namesOf(text).length > 0 && namesOf(text).every((name) => JWT_ALGORITHMS.includes(name)), {
      error: mustBe(`names separated by commas, of ${JWT_ALGORITHMS.join(', ')}`),
    })
    .default('RS256,PS256,ES256,EdDSA')
    .describe('the algorithms by which tokens may be signed, separated by commas'),
  JWT_SCOPES_CLAIM: z
    .string()
    .min(1)
    .default('scope')
    .describe('the claim with the scopes of a token: a list, or a text with spaces between them'),
  JWT_LEDGER_CLAIM: z
    .string()
    .min(1)
    .default('gopherpay_ledger')
    .describe('the claim with the name of the ledger that a token gives access to, or `*` for all'),
  OPERATIONS_HOST: z.string().min(1).optional().describe('the address of the second listener; without it, `HOST`'),
  OPERATIONS_PORT: whole(0, 65_535)
    .optional()
    .describe(
      'the port of a second listener for `/healthz`, `/readyz` and `/metrics`; metrics are then served there only',
    ),
  BODY_BYTES_MAX: whole(1024, 64 * 1024 * 1024)
    .default(1024 * 1024)
    .describe('the largest body of a request'),
  BODY_BYTES_IN_FLIGHT_MAX: whole(1024, 2 ** 40)
    .default(64 * 1024 * 1024)
    .describe('all bodies that are arriving at once; at least `BODY_BYTES_MAX`'),
  ANSWER_BYTES_IN_FLIGHT_MAX: whole(1024, 2 ** 40)
    .default(64 * 1024 * 1024)
    .describe('all large answers that are being sent at once'),
  HEADERS_TIMEOUT_MS: whole(100, 600_000)
    .default(10_000)
    .describe('for the head of a request to arrive; at most `REQUEST_TIMEOUT_MS`'),
  REQUEST_TIMEOUT_MS: whole(100, 600_000).default(30_000).describe('for all of a request to arrive'),
  KEEP_ALIVE_TIMEOUT_MS: whole(100, 600_000).default(65_000).describe("for the next request on a caller's connection"),
  LINGER_TIMEOUT_MS: whole(100, 600_000)
    .default(2000)
    .describe('for a caller to close its connection after its answer is over'),
  WAIT_TIMEOUT_MS: whole(1000, 600_000)
    .default(30_000)
    .describe(
      'the longest that `Prefer: wait` may request, and that the answer to a new account waits for its opening balance',
    ),
  SHUTDOWN_DELAY_MS: whole(0, 600_000)
    .default(0)
    .describe(
      'on stopping, how long requests are still served while `/readyz` answers 503, so that a load balancer can stop sending',
    ),
  DRAIN_TIMEOUT_MS: whole(100, 600_000).default(30_000).describe('on stopping, for answers, and again for settling'),
  EVENT_STREAMS_MAX: whole(1, 10_000).default(100).describe('the most readers that follow the feed at once'),
  STATEMENT_STREAMS_MAX: whole(1, 1000).default(16).describe('the most statements that are written at once'),
  STREAM_TIMEOUT_MS: whole(100, 600_000).default(60_000).describe('how long the reader of an answer may take nothing'),
  CONSOLE: z
    .enum(['on', 'off'])
    .default('on')
    .describe('whether browsers get the console at `/`; it reads with the key that a person enters'),
  WEBHOOK_TARGETS: z
    .enum(['public', 'any'])
    .default('public')
    .describe(
      'where webhooks may be sent: `public` refuses loopback, private, link-local and metadata addresses, and HTTP without TLS; `any` is for development, or for a network whose callers are trusted',
    ),
  DB_CONNECT_TIMEOUT_MS: whole(100, 600_000).default(5000).describe('for a connection to the database'),
  DB_STATEMENT_TIMEOUT_MS: whole(100, 600_000).default(15_000).describe('for a statement'),
  DB_SCAN_TIMEOUT_MS: whole(100, 600_000)
    .default(3000)
    .describe('for a statement of a list, which may read many rows that do not match'),
  DB_LOCK_TIMEOUT_MS: whole(100, 600_000).default(5000).describe('for a lock in the database'),
  DB_IDLE_IN_TRANSACTION_TIMEOUT_MS: whole(100, 600_000)
    .default(10_000)
    .describe('the silence in a transaction after which the database ends it and releases its locks'),
  DB_ANSWER_TIMEOUT_MS: whole(200, 700_000)
    .optional()
    .describe(
      'the silence after which a connection that owes an answer counts as dead; more than `DB_STATEMENT_TIMEOUT_MS`, and without a value that plus 5000',
    ),
  DB_PROBE_TIMEOUT_MS: whole(100, 600_000)
    .default(2500)
    .describe('for a connection to the database to show that it is alive, when it is idle and after a silence'),
  DB_DISCONNECT_TIMEOUT_MS: whole(100, 600_000).default(1000).describe('for the end of a connection to the database'),
  DB_READING_TIMEOUT_MS: whole(100, 86_400_000)
    .default(600_000)
    .describe(
      'the silence in an answer after which `report`, `statement`, `audit`, `backup` and `restore` end; a large audit may be silent for minutes',
    ),
  HEARTBEAT_MS: whole(50, 60_000).default(1000).describe('how often a process writes its heartbeat'),
  ORPHANED_AFTER_MS: whole(200, 600_000)
    .default(5000)
    .describe('the silence after which another process takes over; at least three times `HEARTBEAT_MS`'),
  OTEL_EXPORTER_OTLP_ENDPOINT: collectorUrl().describe(
    'the base URL of a collector of OpenTelemetry, such as `http://localhost:4318`, which gets traces at its path `/v1/traces`; without it, and without the next setting, there are no traces',
  ),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: collectorUrl().describe('the whole URL for traces, in place of the former'),
  OTEL_EXPORTER_OTLP_HEADERS: z
    .string({ error: mustBe('pairs such as name=value separated by commas, percent-encoded, with names of headers') })
    .refine((text) => Object.entries(pairsOf(text) ?? { '': '' }).every(isHeader))
    .optional()
    .describe('headers for the collector, such as `authorization=Bearer%20…`, separated by commas'),
  OTEL_EXPORTER_OTLP_HEADERS_FILE: fileOf('OTEL_EXPORTER_OTLP_HEADERS'),
  OTEL_EXPORTER_OTLP_PROTOCOL: z
    .enum(['http/protobuf'])
    .default('http/protobuf')
    .describe('the protocol of the collector; gRPC is not supported'),
  OTEL_TRACES_EXPORTER: z.enum(['otlp', 'none']).default('otlp').describe('`none` switches traces off'),
  OTEL_SDK_DISABLED: z.enum(['true', 'false']).default('false').describe('`true` switches traces off'),
  OTEL_SERVICE_NAME: z
    .string()
    .optional()
    .describe('the name of the service in traces; without it `service.name` of the next setting, or `gopherpay`'),
  OTEL_RESOURCE_ATTRIBUTES: z
    .string({ error: mustBe('pairs such as name=value separated by commas, percent-encoded') })
    .refine((text) => pairsOf(text) !== null)
    .optional()
    .describe('attributes of all spans, such as `deployment.environment.name=test`, separated by commas'),
  OTEL_TRACES_SAMPLER: z
    .enum(SAMPLERS)
    .default('parentbased_always_on')
    .describe('which requests are traced; `parentbased_…` follows a caller that sends `traceparent`'),
  OTEL_TRACES_SAMPLER_ARG: z
    .string({ error: mustBe('a number from 0 to 1') })
    .regex(/^(0|1|0?\.\d+|1\.0+)$/)
    .default('1')
    .describe('the share of requests that `traceidratio` and `parentbased_traceidratio` trace, from 0 to 1'),
  LOG_LEVEL: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('the least severe log lines that are written; logs are JSON on standard error, colors on a terminal'),
});

/** A setting for people. `fallback`: its default, or an empty text. `bounds`: the values or the range. */
export type SettingDescription = {
  readonly name: string;
  readonly meaning: string;
  readonly unit: string;
  readonly fallback: string;
  readonly bounds: readonly string[];
};

export function describeSettings(): SettingDescription[] {
  return Object.entries(z.toJSONSchema(environment).properties ?? {}).map(([name, schema]) => {
    if (typeof schema === 'boolean') throw new Error(`The setting ${name} has no schema.`);
    const { description: meaning = '', default: fallback, minimum, maximum, enum: values = [] } = schema;
    const range = minimum === undefined ? [] : [`${minimum} to ${String(maximum)}`];
    const isShown = typeof fallback === 'number' || typeof fallback === 'string';
    const bounds = values.length > 0 ? values.map(String) : range;
    return { name, meaning, unit: unitOf(name), fallback: isShown ? String(fallback) : '', bounds };
  });
}

function unitOf(name: string): string {
  if (name.endsWith('_MS')) return 'ms';
  if (name.includes('BYTES')) return 'bytes';
  return name.endsWith('_PERCENT') ? '%' : '';
}
