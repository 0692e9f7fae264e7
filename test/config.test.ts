// The settings: their defaults, and one sentence for each that is wrong.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changedSettings, parseConfig, SETTING_NAMES } from '../src/config.ts';
import { parseEnvFile } from '../src/env-file.ts';
import { readSettingsPage, renderSettingsPage } from './support/settings-page.ts';

test('config: every setting has a default', () => {
  assert.deepEqual(parseConfig({}), {
    host: '127.0.0.1',
    port: 8080,
    allowedHosts: [],
    corsOrigins: [],
    basePath: '',
    database: null,
    ownerDatabase: null,
    readerDatabase: null,
    dataDir: '.gopherpay',
    tls: null,
    trustedProxies: [],
    threads: 10,
    maxQueue: 5000,
    maxQueueBytes: 67_108_864,
    jobSizeMax: 2048,
    connectionsMax: 10_000,
    callerSharePercent: 50,
    jwt: null,
    operations: null,
    bodyBytesMax: 1_048_576,
    bodyBytesInFlightMax: 67_108_864,
    answerBytesInFlightMax: 67_108_864,
    headersTimeoutMs: 10_000,
    requestTimeoutMs: 30_000,
    keepAliveTimeoutMs: 65_000,
    lingerTimeoutMs: 2000,
    waitTimeoutMs: 30_000,
    shutdownDelayMs: 0,
    drainTimeoutMs: 30_000,
    databaseTimeouts: {
      connectTimeoutMs: 5000,
      statementTimeoutMs: 15_000,
      lockTimeoutMs: 5000,
      idleInTransactionTimeoutMs: 10_000,
      answerTimeoutMs: 20_000,
      probeTimeoutMs: 2500,
      disconnectTimeoutMs: 1000,
    },
    scanTimeoutMs: 3000,
    readingTimeoutMs: 600_000,
    heartbeatMs: 1000,
    orphanedAfterMs: 5000,
    eventStreamsMax: 100,
    statementStreamsMax: 16,
    streamTimeoutMs: 60_000,
    webhooksAllowPrivate: false,
    console: true,
    traces: null,
    logLevel: 'info',
  });
});

test('config: every setting is taken from the environment', () => {
  const config = parseConfig({
    HOST: '::1',
    PORT: '0',
    ALLOWED_HOSTS: 'Pay.example.com, pay.internal,',
    CORS_ORIGINS: 'https://app.example.com, http://localhost:3000',
    BASE_PATH: '/pay/v1',
    DATABASE_URL: 'postgres://someone@db/books',
    DB_SSL_MODE: 'verify-ca',
    DB_SSL_ROOT_CERT: '/etc/ca.pem',
    TLS_CERT: '/etc/pay.pem',
    TLS_KEY: '/etc/pay-key.pem',
    TLS_CLIENT_CA: '/etc/callers.pem',
    TLS_CLIENT_CERT: 'required',
    TRUSTED_PROXIES: '10.0.0.1, fd00::/8',
    DATABASE_OWNER_URL: 'postgres://owner@db/books',
    DATABASE_READER_URL: 'postgres://reader@db/books',
    DATA_DIR: '/srv/pay',
    THREADS: '64',
    MAX_QUEUE: '50',
    MAX_QUEUE_BYTES: '1048577',
    JOB_SIZE_MAX: '1',
    CONNECTIONS_MAX: '7',
    CALLER_SHARE_PERCENT: '80',
    JWT_ISSUER: 'https://login.example.com/bank',
    JWT_AUDIENCE: 'pay',
    JWT_ALGORITHMS: 'ES256, EdDSA',
    JWT_SCOPES_CLAIM: 'scp',
    JWT_LEDGER_CLAIM: 'https://example.com/ledger',
    OPERATIONS_HOST: '::2',
    OPERATIONS_PORT: '9090',
    DB_SCAN_TIMEOUT_MS: '115',
    BODY_BYTES_MAX: '1024',
    BODY_BYTES_IN_FLIGHT_MAX: '2048',
    ANSWER_BYTES_IN_FLIGHT_MAX: '4096',
    HEADERS_TIMEOUT_MS: '100',
    REQUEST_TIMEOUT_MS: '107',
    KEEP_ALIVE_TIMEOUT_MS: '109',
    WAIT_TIMEOUT_MS: '1010',
    SHUTDOWN_DELAY_MS: '115',
    DRAIN_TIMEOUT_MS: '101',
    DB_CONNECT_TIMEOUT_MS: '102',
    DB_STATEMENT_TIMEOUT_MS: '103',
    DB_LOCK_TIMEOUT_MS: '104',
    DB_IDLE_IN_TRANSACTION_TIMEOUT_MS: '105',
    DB_ANSWER_TIMEOUT_MS: '208',
    DB_PROBE_TIMEOUT_MS: '111',
    DB_DISCONNECT_TIMEOUT_MS: '112',
    LINGER_TIMEOUT_MS: '113',
    DB_READING_TIMEOUT_MS: '114',
    HEARTBEAT_MS: '100',
    ORPHANED_AFTER_MS: '300',
    EVENT_STREAMS_MAX: '8',
    STATEMENT_STREAMS_MAX: '9',
    STREAM_TIMEOUT_MS: '106',
    WEBHOOK_TARGETS: 'any',
    CONSOLE: 'off',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'https://collector:4318/',
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20abc, x-tenant = one',
    OTEL_SERVICE_NAME: 'payments',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test%20bed,a=b=c',
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0.25',
    LOG_LEVEL: 'silent',
    // The environment has unrelated variables.
    PATH: '/bin',
  });
  assert.deepEqual(config, {
    host: '::1',
    port: 0,
    allowedHosts: ['pay.example.com', 'pay.internal'],
    corsOrigins: ['https://app.example.com', 'http://localhost:3000'],
    basePath: '/pay/v1',
    database: {
      connectionString: 'postgres://someone@db/books',
      tls: { mode: 'verify-ca', rootCert: '/etc/ca.pem' },
    },
    ownerDatabase: {
      connectionString: 'postgres://owner@db/books',
      tls: { mode: 'verify-ca', rootCert: '/etc/ca.pem' },
    },
    readerDatabase: {
      connectionString: 'postgres://reader@db/books',
      tls: { mode: 'verify-ca', rootCert: '/etc/ca.pem' },
    },
    dataDir: '/srv/pay',
    tls: {
      cert: '/etc/pay.pem',
      key: '/etc/pay-key.pem',
      clientCa: '/etc/callers.pem',
      clientCertificates: 'required',
    },
    trustedProxies: ['10.0.0.1', 'fd00::/8'],
    threads: 64,
    maxQueue: 50,
    maxQueueBytes: 1_048_577,
    jobSizeMax: 1,
    connectionsMax: 7,
    callerSharePercent: 80,
    jwt: {
      issuer: 'https://login.example.com/bank',
      audience: 'pay',
      algorithms: ['ES256', 'EdDSA'],
      scopesClaim: 'scp',
      ledgerClaim: 'https://example.com/ledger',
    },
    operations: { host: '::2', port: 9090 },
    bodyBytesMax: 1024,
    bodyBytesInFlightMax: 2048,
    answerBytesInFlightMax: 4096,
    headersTimeoutMs: 100,
    requestTimeoutMs: 107,
    keepAliveTimeoutMs: 109,
    lingerTimeoutMs: 113,
    waitTimeoutMs: 1010,
    shutdownDelayMs: 115,
    drainTimeoutMs: 101,
    databaseTimeouts: {
      connectTimeoutMs: 102,
      statementTimeoutMs: 103,
      lockTimeoutMs: 104,
      idleInTransactionTimeoutMs: 105,
      answerTimeoutMs: 208,
      probeTimeoutMs: 111,
      disconnectTimeoutMs: 112,
    },
    scanTimeoutMs: 115,
    readingTimeoutMs: 114,
    heartbeatMs: 100,
    orphanedAfterMs: 300,
    eventStreamsMax: 8,
    statementStreamsMax: 9,
    streamTimeoutMs: 106,
    webhooksAllowPrivate: true,
    console: false,
    traces: {
      url: 'https://collector:4318/v1/traces',
      headers: { authorization: 'Bearer abc', 'x-tenant': 'one' },
      serviceName: 'payments',
      resourceAttributes: { 'deployment.environment.name': 'test bed', a: 'b=c' },
      sampler: 'parentbased_traceidratio',
      ratio: 0.25,
    },
    logLevel: 'silent',
  });
});

test('config: DB_HOST and its parts name a database', () => {
  assert.deepEqual(parseConfig({ DB_HOST: 'db' }).database, {
    host: 'db',
    port: 5432,
    user: 'postgres',
    database: 'gopherpay',
  });
  const parts = { DB_HOST: 'db', DB_PORT: '6543', DB_USER: 'pay', DB_PASSWORD: 'hidden', DB_NAME: 'books' };
  assert.deepEqual(parseConfig(parts).database, {
    host: 'db',
    port: 6543,
    user: 'pay',
    password: 'hidden',
    database: 'books',
  });
});

test('config: an empty setting counts as not set', () => {
  assert.deepEqual(parseConfig({ HOST: '', PORT: '', DB_PASSWORD: '', LOG_LEVEL: '' }), parseConfig({}));
});

const WRONG: { name: string; value: string; message: RegExp }[] = [
  ...['PORT', 'DB_PORT'].flatMap((name) => [
    { name, value: '65536', message: /"65536" is wrong: it must be a whole number from [01] to 65535\.$/ },
    { name, value: 'http', message: /"http" is wrong: it must be a whole number from [01] to 65535\.$/ },
  ]),
  { name: 'DB_PORT', value: '0', message: /it must be a whole number from 1 to 65535\.$/ },
  { name: 'PORT', value: '-1', message: /"-1" is wrong: it must be a whole number from 0 to 65535\.$/ },
  { name: 'PORT', value: '80.5', message: /must be a whole number from 0 to 65535\.$/ },
  { name: 'PORT', value: '1e3', message: /must be a whole number from 0 to 65535\.$/ },
  { name: 'PORT', value: '0x50', message: /must be a whole number from 0 to 65535\.$/ },
  { name: 'PORT', value: ' 80', message: /must be a whole number from 0 to 65535\.$/ },
  { name: 'THREADS', value: '0', message: /it must be a whole number from 1 to 64\.$/ },
  { name: 'THREADS', value: '65', message: /it must be a whole number from 1 to 64\.$/ },
  { name: 'MAX_QUEUE', value: '0', message: /it must be a whole number from 1 to 1000000\.$/ },
  { name: 'MAX_QUEUE', value: '1000001', message: /it must be a whole number from 1 to 1000000\.$/ },
  { name: 'JOB_SIZE_MAX', value: '10001', message: /it must be a whole number from 1 to 10000\.$/ },
  { name: 'CONNECTIONS_MAX', value: '0', message: /it must be a whole number from 1 to 100000\.$/ },
  { name: 'CALLER_SHARE_PERCENT', value: '101', message: /it must be a whole number from 1 to 100\.$/ },
  { name: 'BODY_BYTES_MAX', value: '1023', message: /it must be a whole number from 1024 to 67108864\.$/ },
  {
    name: 'BODY_BYTES_MAX',
    value: '99999999999999999999',
    message: /it must be a whole number from 1024 to 67108864\.$/,
  },
  ...[
    'HEADERS_TIMEOUT_MS',
    'REQUEST_TIMEOUT_MS',
    'KEEP_ALIVE_TIMEOUT_MS',
    'DRAIN_TIMEOUT_MS',
    'DB_CONNECT_TIMEOUT_MS',
    'DB_STATEMENT_TIMEOUT_MS',
    'DB_SCAN_TIMEOUT_MS',
    'DB_LOCK_TIMEOUT_MS',
    'DB_IDLE_IN_TRANSACTION_TIMEOUT_MS',
    'DB_PROBE_TIMEOUT_MS',
    'DB_DISCONNECT_TIMEOUT_MS',
    'LINGER_TIMEOUT_MS',
  ].flatMap((name) =>
    ['99', '600001'].map((value) => ({ name, value, message: /it must be a whole number from 100 to 600000\.$/ })),
  ),
  { name: 'WAIT_TIMEOUT_MS', value: '999', message: /it must be a whole number from 1000 to 600000\.$/ },
  { name: 'DB_ANSWER_TIMEOUT_MS', value: '199', message: /it must be a whole number from 200 to 700000\.$/ },
  { name: 'DB_READING_TIMEOUT_MS', value: '99', message: /it must be a whole number from 100 to 86400000\.$/ },
  { name: 'HEARTBEAT_MS', value: '49', message: /it must be a whole number from 50 to 60000\.$/ },
  { name: 'ORPHANED_AFTER_MS', value: '199', message: /it must be a whole number from 200 to 600000\.$/ },
  ...['http://pay.example.com', 'pay.example.com:80', '*'].map((value) => ({
    name: 'ALLOWED_HOSTS',
    value,
    message: /is wrong: it must be host names separated by commas, without a scheme or a port\.$/,
  })),
  ...[
    'http://login.example.com',
    'login.example.com',
    'https://login.example.com?a=1',
    'http://127.0.0.1.evil.com',
  ].map((value) => ({
    name: 'JWT_ISSUER',
    value,
    message: /is wrong: it must be an https URL without a query, or an http URL of this machine\.$/,
  })),
  ...['none', 'HS256', 'RS256,HS256', ','].map((value) => ({
    name: 'JWT_ALGORITHMS',
    value,
    message: /is wrong: it must be names separated by commas, of RS256, .*EdDSA, Ed25519\.$/,
  })),
  ...['10.0.0.0/33', '10.0.0.0/', 'fd00::/129', '10.0.0.1/8/8', 'proxy.internal', '*'].map((value) => ({
    name: 'TRUSTED_PROXIES',
    value,
    message: /is wrong: it must be addresses and networks \(such as 10\.0\.0\.0\/8\) separated by commas\.$/,
  })),
  ...[
    '/',
    'pay',
    '/pay/',
    '//pay',
    '/pay//v1',
    '/a.b',
    '/..',
    '/p%61y',
    '/pay?x',
    '/pay#x',
    'https://example.com/pay',
  ].map((value) => ({
    name: 'BASE_PATH',
    value,
    message: /is wrong: it must be a path such as \/pay, .* without a slash at the end\.$/,
  })),
  ...[
    '*',
    'null',
    'app.example.com',
    'https://app.example.com/',
    'https://App.example.com',
    'https://app.example.com:443',
    'https://*.example.com',
    'https://app.example.com/pay',
    'ftp://app.example.com',
  ].map((value) => ({
    name: 'CORS_ORIGINS',
    value,
    message:
      /is wrong: it must be origins such as https:\/\/app\.example\.com separated by commas, .* without a path\.$/,
  })),
  ...['localhost:4318', 'grpc://collector:4317', 'http://user:hidden@collector', 'http://collector/?key=hidden'].map(
    (value) => ({
      name: 'OTEL_EXPORTER_OTLP_ENDPOINT',
      value,
      message: /is wrong: it must be an http or https URL without a user, a query or a fragment\.$/,
    }),
  ),
  ...['authorization', '=Bearer', 'a b=c', 'a=%0a', 'a=%zz'].map((value) => ({
    name: 'OTEL_EXPORTER_OTLP_HEADERS',
    value,
    message: /HEADERS is wrong: it must be pairs such as name=value separated by commas, .* names of headers\.$/,
  })),
  ...['test', 'a=%ff'].map((value) => ({
    name: 'OTEL_RESOURCE_ATTRIBUTES',
    value,
    message: /is wrong: it must be pairs such as name=value separated by commas, percent-encoded\.$/,
  })),
  ...['2', '-0.5', '1.5', 'all'].map((value) => ({
    name: 'OTEL_TRACES_SAMPLER_ARG',
    value,
    message: /is wrong: it must be a number from 0 to 1\.$/,
  })),
  { name: 'OTEL_EXPORTER_OTLP_PROTOCOL', value: 'grpc', message: /"grpc" is wrong: it must be http\/protobuf\.$/ },
  {
    name: 'OTEL_TRACES_SAMPLER',
    value: 'jaeger_remote',
    message: /it must be always_on, .* parentbased_traceidratio\.$/,
  },
  { name: 'DB_SSL_MODE', value: 'prefer', message: /it must be disable, no-verify, .* or verify-full\.$/ },
  {
    name: 'LOG_LEVEL',
    value: 'loud',
    message: /"loud" is wrong: it must be trace, debug, info, warn, error, fatal or silent\.$/,
  },
];

for (const { name, value, message } of WRONG) {
  test(`config: ${name}=${value} stops the start with a sentence that names the setting`, () => {
    assert.throws(
      () => parseConfig({ [name]: value }),
      (error: Error) => {
        assert.match(error.message, message);
        assert.ok(error.message.startsWith(`The setting ${name} `), error.message);
        assert.ok(!error.message.includes('\n'), error.message);
        return true;
      },
    );
  });
}

test('config: the error for a wrong DATABASE_URL does not show it, because it has a password', () => {
  assert.throws(() => parseConfig({ DATABASE_URL: 'mysql://root:hidden@db/books' }), {
    message: 'The setting DATABASE_URL is wrong: it must begin with postgres:// or postgresql://.',
  });
});

test('config: no error of another setting shows a secret', () => {
  const secrets = { DATABASE_URL: 'postgres://root:hidden@db/books', DB_PASSWORD: 'hidden' };
  const wrong = [{ PORT: 'x' }, { DB_HOST: 'db' }, { ORPHANED_AFTER_MS: '200' }, { LOG_LEVEL: 'x' }];
  for (const one of wrong) {
    assert.throws(
      () => parseConfig({ ...secrets, ...one }),
      (error: Error) => !error.message.includes('hidden'),
    );
  }
});

test('config: a part of a database without DB_HOST is refused', () => {
  assert.throws(() => parseConfig({ DB_NAME: 'books' }), {
    message:
      'The setting DB_NAME needs DB_HOST, without which the embedded database is used: add it, or remove DB_NAME.',
  });
});

for (const [name, needed] of Object.entries({
  TLS_CERT: 'TLS_KEY',
  TLS_KEY: 'TLS_CERT',
  TLS_CLIENT_CA: 'TLS_CERT',
  TLS_CLIENT_CERT: 'TLS_CLIENT_CA',
})) {
  test(`config: ${name} without ${needed} is refused`, () => {
    assert.throws(() => parseConfig({ [name]: 'required' }), {
      message: `The setting ${name} needs ${needed}: add it, or remove ${name}.`,
    });
  });
}

test('config: DATABASE_URL and DB_HOST together are refused', () => {
  assert.throws(() => parseConfig({ DATABASE_URL: 'postgres://db/books', DB_HOST: 'db' }), {
    message: 'The settings DATABASE_URL and DB_HOST both name a database: remove one of them.',
  });
});

test('config: an issuer of tokens and an audience need each other', () => {
  assert.throws(() => parseConfig({ JWT_ISSUER: 'https://login.example.com' }), {
    message: 'The setting JWT_ISSUER needs JWT_AUDIENCE, which keeps out tokens for other services: add it.',
  });
  for (const name of ['JWT_AUDIENCE', 'JWT_SCOPES_CLAIM']) {
    assert.throws(() => parseConfig({ [name]: 'pay' }), {
      message: `The setting ${name} needs JWT_ISSUER: add it, or remove ${name}.`,
    });
  }
  const { jwt } = parseConfig({ JWT_ISSUER: 'http://127.0.0.1:9000/', JWT_AUDIENCE: 'pay', JWT_SECRET: 'of another' });
  assert.deepEqual(jwt, {
    issuer: 'http://127.0.0.1:9000/',
    audience: 'pay',
    algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
    scopesClaim: 'scope',
    ledgerClaim: 'gopherpay_ledger',
  });
});

test('config: traces are off without a collector, and where a standard variable switches them off', () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318' };
  assert.equal(parseConfig({ OTEL_SERVICE_NAME: 'payments' }).traces, null);
  assert.equal(parseConfig({ ...endpoint, OTEL_SDK_DISABLED: 'true' }).traces, null);
  assert.equal(parseConfig({ ...endpoint, OTEL_TRACES_EXPORTER: 'none' }).traces, null);
  assert.deepEqual(parseConfig(endpoint).traces, {
    url: 'http://localhost:4318/v1/traces',
    headers: {},
    serviceName: null,
    resourceAttributes: {},
    sampler: 'parentbased_always_on',
    ratio: 1,
  });
  const own = parseConfig({ ...endpoint, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://traces.internal/in' });
  assert.equal(own.traces?.url, 'http://traces.internal/in');
});

test('config: DB_ANSWER_TIMEOUT_MS must exceed the statement timeout', () => {
  assert.throws(() => parseConfig({ DB_STATEMENT_TIMEOUT_MS: '2000', DB_ANSWER_TIMEOUT_MS: '2000' }), {
    message: 'The setting DB_ANSWER_TIMEOUT_MS is wrong: it must be more than DB_STATEMENT_TIMEOUT_MS.',
  });
  const { databaseTimeouts } = parseConfig({ DB_STATEMENT_TIMEOUT_MS: '600000' });
  assert.equal(databaseTimeouts.answerTimeoutMs, 605_000, 'Its default follows the other.');
});

test('config: the timeout of the head is at most that of the request', () => {
  assert.equal(parseConfig({ REQUEST_TIMEOUT_MS: '500' }).headersTimeoutMs, 500);
});

test('config: the budget of all bodies is at least that of one', () => {
  const config = parseConfig({ BODY_BYTES_MAX: '67108864', BODY_BYTES_IN_FLIGHT_MAX: '1024' });
  assert.equal(config.bodyBytesInFlightMax, 67_108_864);
});

test('config: docs/SETTINGS.md has the table of the schema; `npm run settings` writes it', () => {
  const page = readSettingsPage();
  for (const name of SETTING_NAMES) assert.match(page, new RegExp(`^\\| \`${name}\` \\| \\S`, 'm'));
  assert.equal(renderSettingsPage(page), page);
});

test('config: ORPHANED_AFTER_MS is at least three heartbeats', () => {
  assert.throws(() => parseConfig({ HEARTBEAT_MS: '1000', ORPHANED_AFTER_MS: '2999' }), {
    message: 'The setting ORPHANED_AFTER_MS is wrong: it must be at least three times HEARTBEAT_MS.',
  });
  assert.equal(parseConfig({ HEARTBEAT_MS: '1000', ORPHANED_AFTER_MS: '3000' }).orphanedAfterMs, 3000);
});

for (const name of ['DATABASE_URL', 'DATABASE_OWNER_URL', 'DATABASE_READER_URL', 'DB_HOST', 'DB_NAME', 'DATA_DIR']) {
  test(`config: an empty ${name} is refused, because the default is another database`, () => {
    assert.throws(() => parseConfig({ [name]: '' }), {
      message: `The setting ${name} is empty: give it a value, or remove it.`,
    });
  });
}

const MISSPELLED = {
  DATABASE_ULR: 'DATABASE_URL',
  DATABASE_URI: 'DATABASE_URL',
  DATABSE_URL: 'DATABASE_URL',
  database_url: 'DATABASE_URL',
  DB_HSOT: 'DB_HOST',
  DATADIR: 'DATA_DIR',
  MAXQUEUE: 'MAX_QUEUE',
  port: 'PORT',
};

for (const [name, meant] of Object.entries(MISSPELLED)) {
  test(`config: ${name} is refused as a misspelled ${meant}`, () => {
    const sentence = (place: string) => ({
      message: `There is no setting ${name}, which is in ${place}: did you mean ${meant}?`,
    });
    assert.throws(() => parseConfig({ [name]: '1' }), sentence('the environment'));
    assert.throws(() => parseEnvFile(Buffer.from(`${name}=1\n`), SETTING_NAMES), sentence('the file .env'));
  });
}

test('config: names of other programs are accepted, in the environment and in .env', () => {
  const others = ['PATH', 'HOSTNAME', 'POST', 'PWD', 'http_proxy', 'PGHOST', 'LOGNAME', 'DEBUG'];
  parseConfig(Object.fromEntries(others.map((name) => [name, '1'])));
  parseConfig({ OTEL_METRICS_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'x', OTEL_LOGS_EXPORTER: 'otlp' });
  parseConfig({ OTEL_BSP_MAX_QUEUE_SIZE: '1', OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'x', OTEL_PROPAGATORS: 'b3' });
  parseConfig({ DB_SERVICE_HOST: '10.0.0.1', GOPHERPAY_PORT_80_TCP: 'tcp://10.0.0.1' });
  parseEnvFile(Buffer.from(others.map((name) => `${name}=1\n`).join('')), SETTING_NAMES);
});

test('config: .env is read with a byte order mark, CRLF, comments, quotes and export', () => {
  const text = '\uFEFFDATABASE_URL=postgres://db/books\r\n# PORT: 1\r\nexport PORT=0\r\nDB_PASSWORD="a b"\r\n';
  assert.deepEqual(parseEnvFile(Buffer.from(text), SETTING_NAMES), {
    DATABASE_URL: 'postgres://db/books',
    PORT: '0',
    DB_PASSWORD: 'a b',
  });
});

const UNREADABLE: { what: string; bytes: Buffer; message: RegExp }[] = [
  {
    what: 'UTF-16 with a mark',
    bytes: Buffer.from('\uFEFFPORT=0\n', 'utf16le'),
    message: /in UTF-16: save it as UTF-8\.$/,
  },
  {
    what: 'UTF-16 without a mark',
    bytes: Buffer.from('PORT=0\n', 'utf16le'),
    message: /in UTF-16: save it as UTF-8\.$/,
  },
  { what: 'Latin-1', bytes: Buffer.from('DB_PASSWORD=\xe4\n', 'latin1'), message: /not in UTF-8: save it as UTF-8\.$/ },
  {
    what: 'a colon for =',
    bytes: Buffer.from('\nDATABASE_URL: postgres://db\n'),
    message: /^Line 2 .* DATABASE_URL=value\.$/,
  },
  {
    what: 'an unknown DB_ name',
    bytes: Buffer.from('DB_DATABASE=books\n'),
    message: /no setting DB_DATABASE, .* remove it\.$/,
  },
  {
    what: 'an unknown OTEL_ name',
    bytes: Buffer.from('OTEL_BSP_MAX_QUEUE_SIZE=1\n'),
    message: /no setting OTEL_BSP_MAX_QUEUE_SIZE, .* remove it\.$/,
  },
];

for (const { what, bytes, message } of UNREADABLE) {
  test(`config: a .env with ${what} is refused`, () => {
    assert.throws(() => parseEnvFile(bytes, SETTING_NAMES), { message });
  });
}

test('config: settings that differ from their defaults are listed without secrets', () => {
  const env = {
    PORT: '8080',
    THREADS: '3',
    LOG_LEVEL: '',
    DB_PASSWORD: 'Geheim',
    DATABASE_URL_FILE: '/run/url',
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Geheim',
    OTHER: 'x',
  };
  assert.deepEqual(changedSettings(env), {
    DATABASE_URL_FILE: '/run/url',
    DB_PASSWORD: '(secret)',
    OTEL_EXPORTER_OTLP_HEADERS: '(secret)',
    THREADS: '3',
  });
  assert.deepEqual(changedSettings({}), {});
});
