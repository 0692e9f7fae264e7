// HTTPS: the protocol, a certificate that is replaced under load, certificates of callers, and handshakes that do not end.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, type AgentOptions, request as send, type RequestOptions } from 'node:https';
import { connect as connectPlain, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { clientCertificateOf, ListenerTls } from '../../src/main/http/tls.ts';
import { AUTHORITY, pathsOf, pemOf, STRANGER } from '../support/certificates.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { makeFolder, type Service, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const ca = await readFile(AUTHORITY);

type Reply = { status: number; headers: IncomingMessage['headers']; body: string; certificate: string };

async function ask(
  service: { url: string },
  path: string,
  options: RequestOptions & { body?: unknown } = {},
): Promise<Reply> {
  const { body, ...others } = options;
  const request = send(new URL(path, service.url), { ca, agent: false, ...others });
  request.end(body === undefined ? undefined : JSON.stringify(body));
  const [answer] = await once(request, 'response');
  assert.ok('socket' in answer);
  const certificate = answer.socket.getPeerX509Certificate()?.fingerprint256 ?? '';
  return { status: answer.statusCode, headers: answer.headers, body: await text(answer), certificate };
}

function fingerprintOf(name: string): string {
  return new X509Certificate(pemOf(name).cert).fingerprint256;
}

/** A TLS connection, with its handshake over. */
async function open(t: TestContext, { url }: { url: string }, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), ca, ...options });
  onEnd(t, () => void socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

/** A TCP connection without TLS. */
async function openPlain(t: TestContext, { url }: { url: string }): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connectPlain(Number(port), hostname);
  onEnd(t, () => void socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

async function startTls(t: TestContext, env: Record<string, string> = {}): Promise<Service> {
  const { cert, key } = pathsOf('server');
  const settings = { THREADS: '1', TLS_CERT: cert, TLS_KEY: key, ...env };
  return await startService(t, { database: await createDatabase(t), env: settings });
}

test('tls: both listeners answer over HTTPS, with the header that keeps browsers on it', async (t) => {
  const service = await startTls(t, { OPERATIONS_PORT: '0' });
  assert.match(service.url, /^https:\/\/127\.0\.0\.1:\d+$/);
  const hsts = 'max-age=31536000';
  const health = await ask(service, '/healthz');
  assert.deepEqual([health.status, health.headers['strict-transport-security']], [200, hsts]);
  const headers = { 'content-type': 'application/json' };
  const account = { account_number: 'ANN', name: 'Ann', balance: 700 };
  const opened = await ask(service, '/accounts', { method: 'POST', headers, body: account });
  assert.equal(opened.status, 201, opened.body);
  const missing = await ask(service, '/nowhere');
  assert.deepEqual([missing.status, missing.headers['strict-transport-security']], [404, hsts]);
  const started = service.logs().find(({ msg }) => msg === 'operations listener started');
  assert.equal((await ask({ url: String(started?.['url']) }, '/metrics')).status, 200);
  const socket = await open(t, service);
  socket.write('GET / HTTP/9.9\r\n\r\n');
  assert.match(await text(socket), /^HTTP\/1\.1 400 .*\r\nStrict-Transport-Security: max-age=31536000\r\n/s);
});

test('tls: only TLS 1.2 and newer, only HTTP/1.1, and no HTTP without TLS', async (t) => {
  const service = await startTls(t);
  assert.equal((await open(t, service, { ALPNProtocols: ['h2', 'http/1.1'] })).alpnProtocol, 'http/1.1');
  assert.equal((await open(t, service, { maxVersion: 'TLSv1.2' })).getProtocol(), 'TLSv1.2');
  const refused: ConnectionOptions[] = [
    { ALPNProtocols: ['h2'] },
    { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
  ];
  for (const options of refused) await assert.rejects(open(t, service, options));
  const plain = await openPlain(t, service);
  plain.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
  assert.doesNotMatch(await text(plain), /HTTP/);
  assert.equal((await ask(service, '/healthz')).status, 200);
});

test('tls: SIGHUP replaces the certificate under load, and no request fails', async (t) => {
  const folder = await makeFolder(t);
  const files = { TLS_CERT: join(folder, 'cert.pem'), TLS_KEY: join(folder, 'key.pem') };
  const install = async (name: string): Promise<void> => {
    await copyFile(pathsOf(name).cert, files.TLS_CERT);
    await copyFile(pathsOf(name).key, files.TLS_KEY);
  };
  await install('server');
  const service = await startTls(t, files);
  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  onEnd(t, () => kept.destroy());
  assert.equal((await ask(service, '/accounts', { agent: kept })).certificate, fingerprintOf('server'));

  const stopping = new AbortController();
  const seen = new Map<string, number>();
  const callers = [false, false, kept].map(async (agent) => {
    while (!stopping.signal.aborted) {
      const { status, certificate } = await ask(service, '/accounts', { agent });
      assert.equal(status, 200);
      const key = `${agent === false ? 'new' : 'kept'} ${certificate}`;
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
  });
  const loaded = Promise.all(callers);
  const count = (kind: string, name: string): number => seen.get(`${kind} ${fingerprintOf(name)}`) ?? 0;
  const reloads = (msg: string): number => service.logs().filter((line) => line['msg'] === msg).length;
  await until(() => count('new', 'server') > 10, { what: 'requests with the first certificate' });

  await install('renewed');
  process.kill(service.pid, 'SIGHUP');
  await Promise.race([until(() => count('new', 'renewed') > 10, { what: 'the new certificate' }), loaded]);
  assert.equal(reloads('certificate reloaded'), 1);

  await writeFile(files.TLS_CERT, 'no certificate');
  process.kill(service.pid, 'SIGHUP');
  await until(() => reloads('certificate not reloaded') === 1, { what: 'the broken file to be reported' });
  await copyFile(pathsOf('server').cert, files.TLS_CERT);
  process.kill(service.pid, 'SIGHUP');
  await until(() => reloads('certificate not reloaded') === 2, { what: 'the wrong key to be reported' });
  const before = count('new', 'renewed');
  await Promise.race([until(() => count('new', 'renewed') > before + 10, { what: 'more requests' }), loaded]);

  stopping.abort();
  await loaded;
  assert.equal(count('kept', 'renewed'), 0, 'The open connection went on with its certificate.');
  assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
});

const BROKEN: { what: string; env: Record<string, string>; sentence: RegExp }[] = [
  {
    what: 'a certificate that is missing',
    env: { TLS_CERT: '/nowhere.pem', TLS_KEY: pathsOf('server').key },
    sentence: /^The file \/nowhere\.pem of the setting TLS_CERT cannot be read \(ENOENT\): [^\n]+\.\n$/,
  },
  {
    what: 'a key of another certificate',
    env: { TLS_CERT: pathsOf('server').cert, TLS_KEY: pathsOf('renewed').key },
    sentence: /^The certificate in .* cannot be used \(ERR_\w+\): set TLS_CERT and TLS_KEY to PEM files [^\n]+\.\n$/,
  },
  {
    what: 'an authority that is no certificate',
    env: { TLS_CERT: pathsOf('server').cert, TLS_KEY: pathsOf('server').key, TLS_CLIENT_CA: pathsOf('server').key },
    sentence: /^The certificates in .* cannot be read \(ERR_\w+\): set TLS_CLIENT_CA to a PEM file [^\n]+\.\n$/,
  },
];

for (const { what, env, sentence } of BROKEN) {
  test(`tls: ${what} stops the start with a sentence`, async (t) => {
    const database = await createDatabase(t);
    const program = await startProgram(t, { database, args: ['serve'], env: { PORT: '0', ...env } });
    assert.deepEqual(await program.exited, { code: 1, signal: null });
    assert.match(program.output(), sentence);
  });
}

/** A listener that answers with the fingerprint of the caller's certificate. */
async function listen(t: TestContext, clientCertificates: 'optional' | 'required'): Promise<{ url: string }> {
  const tls = new ListenerTls({ ...pathsOf('server'), clientCa: AUTHORITY, clientCertificates });
  const server = tls.createServer({}, 10_000, (request, response) => {
    const found = clientCertificateOf(request.socket);
    assert.equal(clientCertificateOf(request.socket), found);
    response.end(found ?? 'none');
  });
  server.on('clientError', (_, socket) => socket.destroy());
  server.listen(0, '127.0.0.1');
  onEnd(t, () => {
    server.close();
    server.closeAllConnections();
  });
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return { url: `https://127.0.0.1:${address.port}` };
}

const FINGERPRINT = fingerprintOf('client').replaceAll(':', '').toLowerCase();

test('tls: the certificate of a caller counts only if a named authority made it', async (t) => {
  const listener = await listen(t, 'optional');
  assert.match(FINGERPRINT, /^[0-9a-f]{64}$/);
  assert.equal((await ask(listener, '/', pemOf('client'))).body, FINGERPRINT);
  assert.equal((await ask(listener, '/')).body, 'none');
  assert.equal((await ask(listener, '/', pemOf('stranger-client'))).body, 'none');
});

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`tls: a resumed session has the certificate of its first handshake, or none (${maxVersion})`, async (t) => {
    const listener = await listen(t, 'optional');
    const certificates = [{}, pemOf('client'), pemOf('stranger-client')];
    for (const [index, certificate] of certificates.entries()) {
      const options: AgentOptions = { ...certificate, ca, maxVersion, keepAlive: false, maxCachedSessions: 10 };
      const agent = new Agent(options);
      onEnd(t, () => agent.destroy());
      const bodies: string[] = [];
      let reused = 0;
      for (let n = 0; n < 3; n += 1) {
        const request = send(listener.url, { ...options, agent });
        request.end();
        const [answer] = await once(request, 'response');
        if (answer.socket.isSessionReused()) reused += 1;
        bodies.push(await text(answer));
      }
      const expected = index === 1 ? FINGERPRINT : 'none';
      assert.deepEqual(bodies, [expected, expected, expected]);
      assert.ok(reused > 0, 'A session was resumed.');
    }
  });
}

test('tls: where certificates are required, a caller without a valid one is refused in the handshake', async (t) => {
  const listener = await listen(t, 'required');
  assert.equal((await ask(listener, '/', pemOf('client'))).body, FINGERPRINT);
  await assert.rejects(ask(listener, '/'));
  await assert.rejects(ask(listener, '/', pemOf('stranger-client')));
  const { cert, key } = pathsOf('server');
  const env = { TLS_CERT: cert, TLS_KEY: key, TLS_CLIENT_CA: STRANGER, TLS_CLIENT_CERT: 'required' };
  const service = await startTls(t, env);
  assert.equal((await ask(service, '/healthz', pemOf('stranger-client'))).status, 200);
  await assert.rejects(ask(service, '/healthz', pemOf('client')));
  await assert.rejects(ask(service, '/healthz'));
});

test('tls: a handshake that does not end is a connection, and is closed in time', async (t) => {
  const env = { CONNECTIONS_MAX: '1', CALLER_SHARE_PERCENT: '100', HEADERS_TIMEOUT_MS: '3000' };
  const service = await startTls(t, env);
  const silent = await openPlain(t, service);
  const closed = once(silent, 'close');
  const refused = await ask(service, '/accounts');
  assert.equal(refused.status, 503, refused.body);
  assert.match(refused.body, /too_many_connections/);
  assert.equal((await ask(service, '/healthz')).status, 200, 'An operator is served on the reserve.');
  await closed;
  await until(async () => (await ask(service, '/accounts')).status === 200, { what: 'the connection to be free' });
});

test('tls: the service stops with idle connections, and ones in their handshake', { timeout: 60_000 }, async (t) => {
  const names = ['DRAIN_TIMEOUT_MS', 'HEADERS_TIMEOUT_MS', 'REQUEST_TIMEOUT_MS', 'KEEP_ALIVE_TIMEOUT_MS'];
  const service = await startTls(t, Object.fromEntries(names.map((name) => [name, '600000'])));
  const idle = await open(t, service);
  const handshaking = await openPlain(t, service);
  // The first bytes of a record.
  handshaking.write(Buffer.from('160301', 'hex'));
  const agent = new Agent({ keepAlive: true });
  onEnd(t, () => agent.destroy());
  await ask(service, '/healthz', { agent });
  const ends = Promise.all([once(idle.resume(), 'close'), once(handshaking.resume(), 'close')]);
  assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
  await ends;
});
