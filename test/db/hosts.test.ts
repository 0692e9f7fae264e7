// A URL with several hosts: how it is read, and which host a session gets.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { readAddress } from '../../src/db/connection/address.ts';
import { connect, createPool, disconnect, placeOf } from '../../src/db/connection/connect.ts';
import { HostsError, isOutOfReach, retryPolicyOf, SessionError } from '../../src/db/connection/errors.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { newTransfer } from '../support/jobs.ts';
import { startProxy } from '../support/proxy.ts';
import { startThreads, unkeyed } from '../support/threads.ts';
import { until } from '../support/until.ts';
import { timeouts } from './sessions.ts';

/** URLs, and the hosts, the user, the password and the database that they name. */
const FORMS: Readonly<Record<string, string>> = {
  'postgres://ada:pw@db/books': 'db:5432 ada pw books',
  'postgres://ada:pw@db:6000/books?target_session_attrs=read-write': 'db:6000 ada pw books read-write',
  'postgres://ada:pw@one,two/books': 'one:5432 two:5432 ada pw books',
  'postgres://ada:pw@one:5432,two:5433/books': 'one:5432 two:5433 ada pw books',
  'postgres://ada:pw@one:6000,two/books': 'one:6000 two:5432 ada pw books',
  'postgresql://ada:pw@one,two,three:7/books?target_session_attrs=primary':
    'one:5432 two:5432 three:7 ada pw books primary',
  'postgres://ada:pw@[::1]:5433,[fe80::2]/books': '::1:5433 fe80::2:5432 ada pw books',
  'postgres://ada:p%2Cw%40x@one,two/books': 'one:5432 two:5432 ada p,w@x books',
  'postgres://ada:p,w@x@one,two/books': 'one:5432 two:5432 ada p,w@x books',
  'postgres://ada:p,w@one/books': 'one:5432 ada p,w books',
  'postgres://ada@one,two/b%6Foks?port=6000': 'one:6000 two:6000 ada - books',
  'postgres://ada@/books?host=one,two&port=1,2': 'one:1 two:2 ada - books',
  'postgres://ada@/books?host=one%2Ctwo': 'one:5432 two:5432 ada - books',
  'postgres://ada@/books?host=::1,two&port=6000': '::1:6000 two:6000 ada - books',
  'postgres://ada@ignored:9/books?host=/run/a,/run/b': '/run/a:9 /run/b:9 ada - books',
  'postgres://ada@%2Frun%2Fa:1,%2Frun%2Fb:2,three/books': '/run/a:1 /run/b:2 three:5432 ada - books',
  'postgres://ada@,two/books': 'localhost:5432 two:5432 ada - books',
  'postgres://ada@:6000,two/books?target_session_attrs=prefer-standby':
    'localhost:6000 two:5432 ada - books prefer-standby',
};

for (const [url, expected] of Object.entries(FORMS)) {
  test(`hosts: ${url} is read as libpq reads it`, async () => {
    const { hosts, target } = readAddress({ connectionString: url });
    const [{ user, database, password }] = hosts;
    const secret = typeof password === 'function' && expected.split(' ').includes('-') ? '-' : password;
    const names = hosts.map(({ host, port }) => `${host}:${port}`);
    const shown = typeof secret === 'function' ? await secret() : secret;
    assert.equal([...names, user, String(shown), database, ...(target === 'any' ? [] : [target])].join(' '), expected);
    for (const host of hosts) assert.deepEqual([host.user, host.database], [user, database]);
  });
}

const REFUSED: Readonly<Record<string, RegExp>> = {
  'postgres://ada:secret@one,two/books?port=1,2,3': /names 2 hosts and 3 ports; give each host its port/,
  'postgres://ada:secret@one,two/books?target_session_attrs=master': /"master" is not one of any, read-write, primary/,
  'postgres://ada:secret@one,two/books?schema=pay': /its parameter "schema" is not one of PostgreSQL's/,
};

for (const [url, message] of Object.entries(REFUSED)) {
  test(`hosts: ${url} is refused with a sentence`, () => {
    const read = () => readAddress({ connectionString: url });
    assert.throws(read, (error) => error instanceof SessionError && message.test(error.message) && isDiscreet(error));
  });
}

test('hosts: a wrong port of one of several hosts is refused', () => {
  const read = () => readAddress({ connectionString: 'postgres://ada:secret@one,two:54x2/books' });
  assert.throws(read, (error) => error instanceof Error && isDiscreet(error));
});

test('hosts: each host has its own TLS', () => {
  const { hosts } = readAddress({ connectionString: 'postgres://ada@localhost,db.example.com/books' });
  assert.deepEqual(
    hosts.map(({ ssl }) => (typeof ssl === 'object' ? ssl.rejectUnauthorized : ssl)),
    [false, true],
  );
});

test('hosts: a session gets the first host that answers, and the next one begins with it', async (t) => {
  const { database, urlOf } = await listenTwice(t);
  const closed = await startListener(t, (socket) => socket.destroy());
  const settings = { connectionString: urlOf(closed.port, database.port) };
  const first = await connect(settings, timeouts, { applicationName: 'test' });
  onEnd(t, () => disconnect(first));
  assert.ok(closed.count() > 0);
  const before = closed.count();
  assert.equal(placeOf(settings).host, `127.0.0.1:${database.port}`);
  const second = await connect(settings, timeouts, { applicationName: 'test' });
  onEnd(t, () => disconnect(second));
  assert.equal(closed.count(), before);
});

test('hosts: a thread that starts later begins with the host of the primary', async (t) => {
  const { database, urlOf } = await listenTwice(t);
  const names: string[] = [];
  const silent = await startListener(t, (socket) => {
    socket.on('data', (packet) => names.push(/application_name\0([^\0]+)/.exec(packet.toString())?.[1] ?? ''));
  });
  const settings = { connectionString: urlOf(silent.port, database.port) };
  const bounds = { ...timeouts, connectTimeoutMs: 1000 };
  const first = await connect(settings, bounds, { applicationName: 'test' });
  onEnd(t, () => disconnect(first));
  assert.ok(names.includes('test'));
  const threads = startThreads(t, database, { url: settings.connectionString, timeouts: bounds });
  await threads.run([unkeyed([newTransfer()])], { mode: 'dry run' });
  // It looks whether another host is a newer primary.
  assert.deepEqual(new Set(names), new Set(['test', 'gopherpay look']));
});

test('hosts: a host that does not answer leaves time for the others', async (t) => {
  const { database, urlOf } = await listenTwice(t);
  const silent = await startListener(t, () => {});
  const startedAt = performance.now();
  const bounds = { ...timeouts, connectTimeoutMs: 2000 };
  const settings = { connectionString: urlOf(silent.port, database.port) };
  const connection = await connect(settings, bounds, { applicationName: 'test' });
  onEnd(t, () => disconnect(connection));
  const tookMs = performance.now() - startedAt;
  assert.ok(tookMs > 900, `It took ${tookMs} ms, so that the silent host was not tried.`);
});

test('hosts: a pool tries the hosts in turn for one caller', async (t) => {
  const { database, urlOf } = await listenTwice(t);
  const closed = await startListener(t, (socket) => socket.destroy());
  const pool = createPool({ connectionString: urlOf(closed.port, database.port) }, timeouts, 2);
  onEnd(t, () => pool.end());
  const answers = await Promise.all(
    [1, 2, 3].map(async (n) => (await pool.query('select $1::integer as n', [n])).rows),
  );
  assert.deepEqual(answers, [[{ n: 1 }], [{ n: 2 }], [{ n: 3 }]]);
  const client = await pool.connect();
  client.release();
});

test('hosts: if no host takes the session, the error says what each one answered, without the password', async (t) => {
  const { urlOf } = await listenTwice(t);
  const closed = await startListener(t, (socket) => socket.destroy());
  const silent = await startListener(t, () => {});
  const settings = { connectionString: urlOf(closed.port, silent.port) };
  const bounds = { ...timeouts, connectTimeoutMs: 600 };
  const isExplained = (error: unknown): boolean => {
    assert.ok(error instanceof HostsError);
    assert.ok(error.message.includes(`127.0.0.1:${closed.port}: Connection terminated`), error.message);
    assert.ok(error.message.includes(`127.0.0.1:${silent.port}: timeout expired`), error.message);
    assert.ok(isOutOfReach(error) && retryPolicyOf(error) === 'new connection');
    return isDiscreet(error);
  };
  await assert.rejects(connect(settings, bounds, { applicationName: 'test' }), isExplained);
  const pool = createPool(settings, bounds, 1);
  onEnd(t, () => pool.end());
  await assert.rejects(pool.query('select 1'), isExplained);
});

test('hosts: a session that writes refuses a URL for a standby', async (t) => {
  const { database, urlOf } = await listenTwice(t);
  for (const target of ['standby', 'read-only']) {
    const connectionString = `${urlOf(database.port, database.port)}&target_session_attrs=${target}`;
    await assert.rejects(connect({ connectionString }, timeouts, { applicationName: 'test' }), {
      message: `The setting DATABASE_URL asks for a server that only reads (target_session_attrs=${target}), and this must write: ask for read-write there, and for a standby in DATABASE_READER_URL.`,
    });
  }
});

test('hosts: a session that reads gets the kind of server for which its URL asks', async (t) => {
  const { database, urlOf } = await listenTwice(t);
  const open = async (target: string) => {
    const connectionString = `${urlOf(database.port, database.port)}&target_session_attrs=${target}`;
    return await connect({ connectionString }, timeouts, { applicationName: 'test', readOnly: true });
  };
  for (const target of ['any', 'read-write', 'primary', 'prefer-standby']) await disconnect(await open(target));
  for (const target of ['standby', 'read-only']) {
    await assert.rejects(open(target), new RegExp(`The server is a primary, and the setting .*=${target}`));
  }
});

/** The database at a TCP port, and how to name it as one of several hosts. */
async function listenTwice(t: Scope): Promise<{
  database: TestDatabase & { port: number };
  urlOf: (...ports: number[]) => string;
}> {
  const database = await createDatabase(t);
  const proxy = await startProxy(t, database);
  const { port, username, pathname } = new URL(proxy.url);
  const urlOf = (...ports: number[]): string => {
    const hosts = ports.map((each) => `127.0.0.1:${each}`).join(',');
    const password = database.settings.password ?? 'secret';
    return `postgres://${username}:${password}@${hosts}${pathname}?sslmode=disable`;
  };
  return { database: { ...database, port: Number(port) }, urlOf };
}

async function startListener(
  t: Scope,
  onConnection: (socket: Socket) => void,
): Promise<{ port: number; count: () => number }> {
  let connections = 0;
  const server: Server = createServer((socket) => {
    connections += 1;
    socket.on('error', () => {});
    onConnection(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets = new Set<{ destroy: () => void }>();
  server.on('connection', (socket) => sockets.add(socket));
  onEnd(t, async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await until(() => !server.listening, { what: 'the listener to close' });
  });
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('The listener has no port.');
  return { port: address.port, count: () => connections };
}

/** Whether an error shows no password, also not in what it wraps. */
function isDiscreet(error: Error): boolean {
  return !`${error.stack}${JSON.stringify(error)}${String(error.cause)}`.includes('secret');
}
