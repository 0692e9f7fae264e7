// TLS to the database: when it is required, what is verified, and that no other end is given the password.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { type DatabaseSettings, readAddress } from '../../src/db/connection/address.ts';
import { connect, createPool, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { SessionError } from '../../src/db/connection/errors.ts';
import type { TlsSettings } from '../../src/db/connection/tls.ts';
import { AUTHORITY, pathsOf, STRANGER } from '../support/certificates.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { SCRAM_REQUEST, startAttacker, startTlsPostgres } from '../support/tls-postgres.ts';

const PASSWORD = 'Geheim-4711';

/** What of TLS an address has: nothing, or what is verified. */
function tlsOf(settings: DatabaseSettings): string {
  const { ssl } = readAddress(settings).hosts[0];
  if (ssl === false) return 'none';
  assert.ok(typeof ssl === 'object');
  assert.equal(ssl.minVersion, 'TLSv1.2');
  if (ssl.rejectUnauthorized === false) return 'unverified';
  return ssl.checkServerIdentity === undefined ? 'verified' : 'authority';
}

function host(name: string, tls?: TlsSettings): DatabaseSettings {
  return { host: name, port: 5432, user: 'ada', database: 'books', ...(tls && { tls }) };
}

for (const name of ['localhost', 'LOCALHOST', '127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1', '/run/postgresql']) {
  test(`tls: ${name} is on this machine, so its default is no TLS`, () => {
    assert.equal(tlsOf(host(name)), 'none');
  });
}

for (const name of ['db', '10.0.0.5', 'fd00::1', 'localhost.example.com', '0.0.0.0', '128.0.0.1']) {
  test(`tls: ${name} is not on this machine, so its default is verified TLS`, () => {
    assert.equal(tlsOf(host(name)), 'verified');
    const inUrl = name.includes(':') ? `[${name}]` : name;
    assert.equal(tlsOf({ connectionString: `postgres://ada@${inUrl}/books` }), 'verified');
    assert.equal(tlsOf({ connectionString: `postgres://ada@localhost/books?host=${name}` }), 'verified');
  });
}

const MODES: Record<string, string> = {
  'sslmode=disable': 'none',
  'ssl=0': 'none',
  'sslmode=no-verify': 'unverified',
  'ssl=no-verify': 'unverified',
  'sslmode=require': 'verified',
  'sslmode=require&uselibpqcompat=true': 'verified',
  'ssl=true': 'verified',
  'sslmode=verify-full': 'verified',
  [`sslmode=verify-ca&sslrootcert=${AUTHORITY}`]: 'authority',
  'application_name=x&sslmode=disable&options=-c%20search_path%3Dpay': 'none',
};

for (const [parameters, expected] of Object.entries(MODES)) {
  test(`tls: ${parameters.replace(AUTHORITY, 'PATH')} in a URL means ${expected}`, () => {
    const address = readAddress({ connectionString: `postgres://ada:pw@db/books?${parameters}` });
    assert.equal(tlsOf({ connectionString: `postgres://ada:pw@db/books?${parameters}` }), expected);
    assert.deepEqual([address.hosts[0].host, address.hosts[0].user, address.hosts[0].database], ['db', 'ada', 'books']);
    assert.deepEqual(address.own, parameters.includes('search_path') ? { search_path: 'pay' } : {});
  });
}

test('tls: a client certificate or a direct negotiation in the URL means TLS also on this machine', () => {
  const { cert } = pathsOf('client');
  const address = readAddress({ connectionString: `postgres://ada@localhost/books?sslcert=${cert}` });
  assert.ok(typeof address.hosts[0].ssl === 'object');
  assert.match(String(address.hosts[0].ssl.cert), /BEGIN CERTIFICATE/);
  assert.equal(address.hosts[0].ssl.rejectUnauthorized, true);
  assert.equal(tlsOf({ connectionString: 'postgres://ada@localhost/books?sslnegotiation=direct' }), 'verified');
});

const REFUSED: { what: string; settings: DatabaseSettings; message: RegExp }[] = [
  ...['prefer', 'allow', 'VERIFY-FULL', '', 'toString'].map((mode) => ({
    what: `the mode "${mode}"`,
    settings: { connectionString: `postgres://ada@db/books?sslmode=${mode}` },
    message: /is not supported: use disable, no-verify, verify-ca or verify-full\.$/,
  })),
  {
    what: 'two modes that contradict each other',
    settings: { connectionString: 'postgres://ada@db/books?sslmode=disable', tls: { mode: 'verify-full' } },
    message: /^The setting DB_SSL_MODE is verify-full, and .* sslmode .* means disable: remove one of them\.$/,
  },
  {
    what: 'two authorities',
    settings: { connectionString: `postgres://ada@db/books?sslrootcert=${STRANGER}`, tls: { rootCert: AUTHORITY } },
    message: /^The setting DB_SSL_ROOT_CERT is .* remove one of them\.$/,
  },
  {
    what: 'verify-ca without an authority',
    settings: host('db', { mode: 'verify-ca' }),
    message: /name a private one with DB_SSL_ROOT_CERT, or use verify-full\.$/,
  },
  {
    what: 'an authority that does not exist',
    settings: host('db', { rootCert: '/nowhere.pem' }),
    message: /^The certificates in \/nowhere\.pem cannot be read \(ENOENT.*DB_SSL_ROOT_CERT\.$/,
  },
  {
    what: 'an authority that is no certificate',
    settings: host('db', { rootCert: pathsOf('client').key }),
    message: /cannot be read \(.*DB_SSL_ROOT_CERT\.$/,
  },
  ...['postgres://ada:12/Geheim@db/books', 'postgres://ada:12#Geheim@db/books'].map((connectionString) => ({
    what: 'a password with an unescaped character',
    settings: { connectionString },
    message: /^The setting DATABASE_URL is wrong: write special characters of its password as %2F/,
  })),
];

for (const { what, settings, message } of REFUSED) {
  test(`tls: ${what} is refused with a sentence`, () => {
    assert.throws(
      () => readAddress(settings),
      (error) => error instanceof SessionError && message.test(error.message) && !error.message.includes('Geheim'),
    );
  });
}

test('tls: the same mode in the URL and in DB_SSL_MODE is accepted', () => {
  assert.equal(
    tlsOf({ connectionString: 'postgres://db/b?sslmode=require', tls: { mode: 'verify-full' } }),
    'verified',
  );
});

async function secured(t: TestContext, certificate: string): Promise<(name: string, tls: TlsSettings) => string> {
  const database = await createDatabase(t);
  const port = await startTlsPostgres(t, database, certificate);
  return (name, tls) => {
    const url = new URL(database.url);
    url.searchParams.delete('host');
    url.host = `${name}:${port}`;
    for (const [key, value] of Object.entries({ sslmode: tls.mode, sslrootcert: tls.rootCert }))
      if (value !== undefined) url.searchParams.set(key, value);
    return url.href;
  };
}

async function openOnce(t: TestContext, connectionString: string): Promise<unknown> {
  const connection = await connect({ connectionString }, READING_TIMEOUTS, { applicationName: 'test' });
  onEnd(t, () => disconnect(connection));
  return (await connection.query<{ one: number }>('select 1 as one')).rows[0]?.one;
}

test('tls: verify-full accepts a certificate for the host by the named authority, on connections and pools', async (t) => {
  const at = await secured(t, 'server');
  for (const name of ['127.0.0.1', 'localhost']) {
    const url = at(name, { mode: 'verify-full', rootCert: AUTHORITY });
    assert.equal(await openOnce(t, url), 1);
    const pool = createPool({ connectionString: url }, READING_TIMEOUTS, 1);
    onEnd(t, async () => await pool.end());
    assert.equal((await pool.query('select 1')).rowCount, 1);
  }
});

test('tls: a certificate of another authority is refused, also with NODE_TLS_REJECT_UNAUTHORIZED=0', async (t) => {
  const at = await secured(t, 'server');
  const refusal = {
    message: /^The certificate of the database is refused \(.+\): name the file of its .* DB_SSL_ROOT_CERT/,
  };
  await assert.rejects(openOnce(t, at('127.0.0.1', { mode: 'verify-full', rootCert: STRANGER })), refusal);
  await assert.rejects(openOnce(t, at('127.0.0.1', { mode: 'verify-full' })), refusal, "Node's own authorities.");
  await assert.rejects(openOnce(t, at('127.0.0.1', { mode: 'verify-ca', rootCert: STRANGER })), refusal);
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  onEnd(t, () => {
    delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
  });
  await assert.rejects(openOnce(t, at('127.0.0.1', { mode: 'require' })), refusal);
});

test('tls: a certificate for another host is refused by verify-full, and accepted by verify-ca and no-verify', async (t) => {
  const at = await secured(t, 'elsewhere');
  await assert.rejects(openOnce(t, at('127.0.0.1', { mode: 'verify-full', rootCert: AUTHORITY })), {
    message: /^The certificate of the database is for another host: name the host as its certificate does/,
  });
  assert.equal(await openOnce(t, at('127.0.0.1', { mode: 'verify-ca', rootCert: AUTHORITY })), 1);
  assert.equal(await openOnce(t, at('127.0.0.1', { mode: 'no-verify' })), 1);
});

test('tls: a server that does not offer TLS is refused with the remedy', async (t) => {
  const { port } = await startAttacker(t);
  await assert.rejects(openOnce(t, `postgres://ada:${PASSWORD}@127.0.0.1:${port}/books?sslmode=verify-full`), {
    message: /^The database does not offer TLS, .* or set DB_SSL_MODE=disable/,
  });
});

const ATTACKS = [
  { what: 'without TLS', attack: {}, tls: '' },
  { what: 'without TLS, after a request for a proof', attack: { first: SCRAM_REQUEST }, tls: '' },
  { what: 'with TLS that is not verified', attack: { certificate: 'server' }, tls: '?sslmode=no-verify' },
];

for (const { what, attack, tls } of ATTACKS) {
  test(`tls: a server that asks for the password in clear text ${what} does not get it`, async (t) => {
    const attacker = await startAttacker(t, attack);
    const url = `postgres://ada:${PASSWORD}@127.0.0.1:${attacker.port}/books${tls}`;
    const refusal = { message: /^The database asks for the password in clear text, .* DB_SSL_MODE=verify-full\.$/ };
    await assert.rejects(openOnce(t, url), refusal);
    const pool = createPool({ connectionString: url }, READING_TIMEOUTS, 1);
    onEnd(t, async () => await pool.end());
    await assert.rejects(pool.query('select 1'), refusal);
    assert.match(attacker.received(), /ada/, 'It was asked to log in.');
    assert.ok(!attacker.received().includes(PASSWORD));
  });
}

test('tls: a verified server that asks for the password in clear text gets it, as with LDAP', async (t) => {
  const attacker = await startAttacker(t, { certificate: 'server' });
  const url = `postgres://ada:${PASSWORD}@127.0.0.1:${attacker.port}/books?sslmode=verify-full&sslrootcert=${AUTHORITY}`;
  await assert.rejects(
    connect({ connectionString: url }, { ...READING_TIMEOUTS, connectTimeoutMs: 1000 }, { applicationName: 'test' }),
  );
  assert.ok(attacker.received().includes(PASSWORD));
});
