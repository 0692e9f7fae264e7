// gopherpay serve on an external database: start, end, errors at the start, and logs.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { z } from 'zod';
import { SETTING_NAMES } from '../../src/config.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { makeKey } from '../support/keys.ts';
import { checkPromises } from '../support/promises/check.ts';
import { awaitFinal, makeFolder, request, type Service, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const logLine = z.looseObject({ level: z.int(), time: z.iso.datetime(), msg: z.string() });
const requestLine = logLine.extend({
  msg: z.literal('request'),
  request_id: z.string().min(1),
  method: z.string(),
  route: z.string().regex(/^(\/[a-z_:]+)+$|^none$/),
  status: z.int().min(200).max(599),
  duration_ms: z.number().positive(),
});
const jobLine = logLine.extend({
  msg: z.literal('job settled'),
  ledger: z.literal('main'),
  request_ids: z.array(z.string()),
  transfers: z.int().min(0),
  openings: z.int().min(1).optional(),
  journal_number: z.int().min(1).nullable(),
  duration_ms: z.number().positive(),
  result: z.literal('settled'),
});

test('serve: prints its address, keeps its books across restarts, and exits with 0 on SIGINT and SIGTERM', async (t) => {
  const database = await createDatabase(t);
  const folder = await makeFolder(t);
  const { url, password } = withPassword(database);
  const settings = `DATABASE_URL=${url}\nPORT=0\nTHREADS=2\nHOST=127.0.0.1\n`;
  await writeFile(join(folder, '.env'), settings, { mode: 0o600 });

  const first = await startFromFile(t, folder);
  assert.equal(first.stdout(), `gopherpay listening on ${first.url}\n`, 'Standard output has nothing else.');
  assert.match(first.url, /^http:\/\/127\.0\.0\.1:[1-9]\d*$/);
  assert.ok(!first.url.endsWith(':8080'), 'Port 0 picks a free one.');
  await request(first, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann', balance: 700 });
  await request(first, 'POST', '/accounts', { account_number: 'BOB', name: 'Bob' });
  const order = { from_account: 'ANN', to_account: 'BOB', amount: 300 };
  const accepted = await request(first, 'POST', '/transfers', order);
  process.kill(first.pid, 'SIGINT');
  assert.deepEqual(await first.exited, { code: 0, signal: null }, first.output());
  assert.deepEqual(await connectionsTo(database), [], 'No session of it remains.');
  await assert.rejects(request(first, 'GET', '/healthz'), /ECONNREFUSED/);

  const second = await startFromFile(t, folder);
  assert.equal((await awaitFinal(second, String(accepted.body['id'])))['status'], 'completed');
  assert.equal((await request(second, 'GET', '/accounts/BOB')).body['balance'], 300);
  assert.deepEqual(await second.stop(), { code: 0, signal: null }, second.output());
  assert.deepEqual(await connectionsTo(database), []);
  for (const { logs, output } of [first, second]) {
    assert.equal(logs().at(-1)?.['msg'], 'stopped', 'The log is written to its end.');
    assert.ok(!output().includes(password), 'The password of the database is in no output.');
  }
  const {
    version,
    database: place,
    ledgers,
    settings: changed,
  } = first.logs().find(({ msg }) => msg === 'started') ?? {};
  assert.match(String(version), /^\d+\.\d+\.\d+$/);
  assert.match(JSON.stringify(place), /^\{"host":"[^"]+","name":"test_[^"]+","server_version":"\d+\.\d+"\}$/);
  assert.deepEqual(
    { ledgers, changed },
    { ledgers: 1, changed: { DATABASE_URL: '(secret)', PORT: '0', THREADS: '2' } },
  );
  const stopping = [first, second].map(({ logs }) => logs().find(({ msg }) => msg === 'stopping')?.['signal']);
  assert.deepEqual(stopping, ['SIGINT', 'SIGTERM']);
  await checkPromises(database, { accepted: [String(accepted.body['id'])], nothingPending: true });
});

const wrongSettings: { env: Record<string, string>; sentence: string }[] = [
  { env: { PORT: '99999' }, sentence: 'The setting PORT "99999" is wrong: it must be a whole number from 0 to 65535.' },
  { env: { THREADS: '0' }, sentence: 'The setting THREADS "0" is wrong: it must be a whole number from 1 to 64.' },
  {
    env: { MAX_QUEUE: 'abc' },
    sentence: 'The setting MAX_QUEUE "abc" is wrong: it must be a whole number from 1 to 1000000.',
  },
  { env: { LOG_LEVEL: 'verbose' }, sentence: 'The setting LOG_LEVEL "verbose" is wrong: it must be trace, debug, ' },
  {
    env: { DATABASE_URL: 'mysql://ada:Geheim-4711@localhost/books' },
    sentence: 'The setting DATABASE_URL is wrong: it must begin with postgres:// or postgresql://.',
  },
  { env: { DATABASE_URL: 'postgres://ada:Geheim-4711@:99999/books' }, sentence: 'The setting DATABASE_URL is wrong: ' },
];

test('serve: a wrong setting stops the start with one sentence that names it', async (t) => {
  await Promise.all(
    wrongSettings.map(async ({ env, sentence }) => {
      const program = await startProgram(t, { args: ['serve'], env });
      assert.deepEqual(await program.exited, { code: 1, signal: null });
      assert.equal(program.stdout(), '');
      assert.ok(program.output().startsWith(sentence), program.output());
      assert.match(program.output(), /^[^\n]*\.\n$/);
      assert.doesNotMatch(program.output(), /Geheim/);
    }),
  );
});

test('serve: accepts no arguments and no options', async (t) => {
  for (const word of ['extra', '--port=80']) {
    const program = await startProgram(t, {
      args: ['serve', word],
      env: { DATABASE_URL: 'postgres://127.0.0.1:1/books' },
    });
    assert.deepEqual(await program.exited, { code: 2, signal: null });
    assert.match(
      program.output(),
      /^("extra" is not an argument of this command|There is no option --port); see --help\.\n$/,
    );
  }
});

test('serve: --help lists every setting with its default and its bounds', async (t) => {
  const program = await startProgram(t, { args: ['serve', '--help'] });
  assert.deepEqual(await program.exited, { code: 0, signal: null });
  for (const name of SETTING_NAMES) assert.match(program.stdout(), new RegExp(`^  ${name}(=\\S+)?\\n {6}\\S`, 'm'));
  assert.match(program.stdout(), /^ {2}THREADS=10\n {6}the most threads [^()]*\(1 to 64\)$/m);
  assert.match(program.stdout(), /^ {2}LOG_LEVEL=info\n[^()]*\(trace, debug, [a-z, ]+\)$/m);
});

test('serve: a port in use stops the start with a sentence, and no process remains', async (t) => {
  const database = await createDatabase(t);
  const taken = createServer().listen(0, '127.0.0.1');
  onEnd(t, () => void taken.close());
  await once(taken, 'listening');
  const address = taken.address();
  assert.ok(typeof address === 'object' && address !== null);
  const program = await startProgram(t, {
    database,
    args: ['serve'],
    env: { PORT: String(address.port), THREADS: '2' },
  });
  await until(program.ended, { timeoutMs: 10_000, what: 'the start to fail' });
  assert.deepEqual(await program.exited, { code: 1, signal: null });
  assert.equal(
    program.output(),
    `Port ${address.port} of 127.0.0.1 is in use: end what listens there, or set PORT to another; 0 picks a free one.\n`,
  );
  assert.deepEqual(await connectionsTo(database), []);
  assert.deepEqual(await database.query('select from heartbeats'), [], 'Its lease is closed.');
  assert.deepEqual(await database.query('select from leases where not closed'), []);
});

test('serve: an invalid address stops the start with a sentence', async (t) => {
  const database = await createDatabase(t);
  // Without one, the service would refuse any address of other machines.
  await makeKey(database);
  for (const host of ['192.0.2.1', 'no-such-host.invalid']) {
    const program = await startProgram(t, { database, args: ['serve'], env: { HOST: host, PORT: '0', THREADS: '1' } });
    await until(program.ended, { timeoutMs: 10_000, what: 'the start to fail' });
    assert.deepEqual(await program.exited, { code: 1, signal: null });
    assert.match(
      program.output(),
      /^(Port 0 of 192\.0\.2\.1 cannot be listened on \(EADDRNOTAVAIL\)|The setting HOST "no-such-host\.invalid" is wrong): .*\.\n$/,
    );
  }
});

test('serve: an unreachable database exits with 4 and a sentence', async (t) => {
  const program = await startProgram(t, {
    args: ['serve'],
    env: { PORT: '0', DATABASE_URL: 'postgres://ada:Geheim-4711@127.0.0.1:1/books' },
  });
  assert.deepEqual(await program.exited, { code: 4, signal: null });
  assert.equal(program.stdout(), '');
  assert.match(program.output(), /^The database is out of reach \(connect ECONNREFUSED 127\.0\.0\.1:1\): .*\.\n$/);
});

test('serve: a signal during the start stops it cleanly', async (t) => {
  const database = await createDatabase(t);
  const holder = await database.connect();
  // The holder of the migration lock delays every start.
  await holder.query('begin; lock table migrations in access exclusive mode');
  const program = await startProgram(t, { database, args: ['serve'], env: { PORT: '0', THREADS: '2' } });
  await until(async () => (await connectionsTo(database)).includes('gopherpay migrate'), { what: 'the start' });
  process.kill(program.pid, 'SIGTERM');
  await until(() => program.output().includes('"stopping"'), { what: 'the signal to be noticed' });
  assert.ok(!program.ended(), 'It waits for the step in progress.');
  await holder.query('rollback');
  assert.deepEqual(await program.exited, { code: 0, signal: null });
  assert.deepEqual(
    program.logs().map(({ msg }) => msg),
    ['stopping', 'no keys: everyone on this machine may do anything', 'stopped'],
  );
  assert.deepEqual(await connectionsTo(database), []);
});

test('serve: logs are JSON lines without personal data', async (t) => {
  const database = await createDatabase(t);
  const { url, password } = withPassword(database);
  const service = await startService(t, { database: { url }, env: { THREADS: '2', LOG_LEVEL: 'trace' } });
  const person = {
    name: 'Zebulon Quux',
    email: 'zebulon@quux.example',
    phone: '+49 30 7654321',
    date_of_birth: '1987-06-05',
    metadata: { diagnosis: 'hay fever' },
  };
  const account = { account_number: 'ZEB', balance: 500, ...person };
  const order = {
    from_account: 'ZEB',
    to_account: 'BOB',
    description: 'For the divorce lawyer',
    metadata: { case: 'Quux ./. Quux' },
  };
  const statuses: number[] = [];
  const send = async (
    ...[method, path, body, headers]: Parameters<typeof request> extends [unknown, ...infer Rest] ? Rest : never
  ) => {
    statuses.push((await request(service, method, path, body, headers)).status);
  };
  await send('POST', '/accounts', account);
  await send('POST', '/accounts', account);
  await send('POST', '/accounts', { account_number: 'BOB', name: 'Zebulon junior' });
  await send('PATCH', '/accounts/ZEB', { name: 'Zebulon von Quux', email: null });
  await send('PATCH', '/accounts/ZEB', { email: 'zebulon at quux' });
  await send(
    'POST',
    '/transfers',
    { ...order, amount: 200 },
    { 'X-Request-ID': 'paid-1', Prefer: 'wait=10', Authorization: 'Bearer Geheim-4712' },
  );
  await send('POST', '/transfers', { ...order, amount: 900 }, { 'Idempotency-Key': 'refused-1', Prefer: 'wait=10' });
  await send('POST', '/transfers', { ...order, amount: 'Zebulon' });
  await send('POST', '/transfers', `{"name":"Zebulon`);
  await send('GET', '/transfers?account=ZEB&zebulon=quux');
  await send('GET', '/zebulon/quux');
  await send('GET', '/accounts/ZEB/entries');
  assert.deepEqual(statuses, [201, 409, 201, 200, 400, 200, 200, 400, 400, 400, 404, 200]);
  // A server that ends all sessions, and a statement that fails on a person's row.
  await database.query(`alter table accounts add constraint no_more_of_them check (personal_data is null) not valid`);
  await send('PATCH', '/accounts/ZEB', { name: 'Zebulon Quux', email: 'zebulon@quux.example' });
  assert.equal(statuses.pop(), 500);
  await database.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like 'gopherpay%'`,
  );
  await until(() => service.output().includes('"intake reconnected"'), { what: 'the service to reconnect' });
  assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());

  for (const word of [
    'ebulon',
    'uux',
    '7654321',
    '1987-06-05',
    'hay fever',
    'diagnosis',
    'divorce',
    'lawyer',
    'Geheim',
    password,
    'Bearer',
  ]) {
    assert.ok(
      !service.output().toLowerCase().includes(word.toLowerCase()),
      `The log has "${word}":\n${service.output()}`,
    );
  }
  const lines = service.output().replace(service.stdout(), '').trimEnd().split('\n');
  const logged = lines.map((text) => logLine.parse(JSON.parse(text)));
  const requests = logged.filter(({ msg }) => msg === 'request').map((each) => requestLine.parse(each));
  assert.deepEqual(
    requests.slice(0, statuses.length).map(({ method, route, status }) => `${method} ${route} ${status}`),
    [
      'POST /accounts 201',
      'POST /accounts 409',
      'POST /accounts 201',
      'PATCH /accounts/:account_number 200',
      'PATCH /accounts/:account_number 400',
      'POST /transfers 200',
      'POST /transfers 200',
      'POST /transfers 400',
      'POST /transfers 400',
      'GET /transfers 400',
      'GET none 404',
      'GET /accounts/:account_number/entries 200',
    ],
  );
  assert.equal(requests[5]?.request_id, 'paid-1');
  const jobs = logged.filter(({ msg }) => msg === 'job settled').map((each) => jobLine.parse(each));
  assert.deepEqual(
    jobs.map(({ transfers, openings, journal_number }) => ({ transfers, openings, journal_number })),
    [
      { transfers: 1, openings: 1, journal_number: 1 },
      // The account exists: nothing is written.
      { transfers: 1, openings: 1, journal_number: null },
      { transfers: 0, openings: 1, journal_number: 2 },
      // The change of an account is the third row, and no job.
      { transfers: 1, openings: undefined, journal_number: 4 },
      { transfers: 1, openings: undefined, journal_number: 5 },
    ],
  );
  assert.deepEqual(
    jobs.map(({ request_ids }) => request_ids),
    [
      [requests[0]?.request_id],
      [requests[1]?.request_id],
      [requests[2]?.request_id],
      ['paid-1'],
      [requests[6]?.request_id],
    ],
  );
  assert.equal(logged.at(-1)?.msg, 'stopped');
});

test('serve: a request with unusual text in its head has one log line, without that text', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database });
  const heads = [
    'GET /zebulon"quux\\ HTTP/1.1',
    'GET /zebulon%22%5C%00%1F%E2%80%A8%ED%A0%80 HTTP/1.1',
    `GET /zebulon${'x'.repeat(15_000)}?${'y'.repeat(500)} HTTP/1.1`,
    'GET /accounts/zebulon%0A%22%7D HTTP/1.1',
    'PROPFIND /zebulon HTTP/1.1',
    'M-SEARCH /accounts HTTP/1.1',
    'GET /healthz HTTP/1.1\r\nX-Request-ID: zebulon"quux',
  ];
  const statuses: number[] = [];
  for (const head of heads) statuses.push(await sendHead(service, head));
  assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
  assert.doesNotMatch(service.output(), /zebulon|quux/);
  const requests = service.logs().filter(({ msg }) => msg === 'request');
  assert.deepEqual(
    requests.map((each) => requestLine.parse(each).status),
    statuses,
  );
});

/** Sends the head of a request as it is, and returns the status of its answer. */
async function sendHead(service: Service, head: string): Promise<number> {
  const { hostname, port, host } = new URL(service.url);
  const socket = connect(Number(port), hostname);
  socket.write(`${head}\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  return Number(/^HTTP\/1\.1 (\d+)/.exec(await text(socket))?.[1]);
}

/** Starts the service with an empty environment: its settings are from the .env of its folder. */
async function startFromFile(scope: Scope, folder: string): Promise<Service> {
  const program = await startProgram(scope, { folder, args: ['serve'] });
  const url = await until(() => program.ended() || /listening on (http:\S+)\n/.exec(program.stdout())?.[1], {
    timeoutMs: 30_000,
    what: 'the service',
  });
  assert.ok(url !== true, program.output());
  return { ...program, url };
}

/** The application names of all sessions of a database, except the test's. */
async function connectionsTo(database: TestDatabase): Promise<unknown[]> {
  const rows = await database.query(
    `select application_name from pg_stat_activity where datname = current_database() and application_name like 'gopherpay%'`,
  );
  return rows.map((row) => row['application_name']);
}

/** The database's URL with a password in it: the real one, or any for a server that asks for none. */
function withPassword(database: TestDatabase): { url: string; password: string } {
  const url = new URL(database.url);
  if (url.password === '') url.password = 'Geheim-4711';
  return { url: url.href, password: url.password };
}
