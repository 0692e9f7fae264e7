// One caller takes as much as it can; others are still served. Callers are distinguished by their address: 127.0.0.1,
// and others of the loopback network.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { Client } from 'undici';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { MAIN, makeFolder, request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

type Target = { url: string };

/** A list that no index serves: it reads each transfer of its window. */
const LONG_LIST = '/transfers?metadata=nothing&since=2026-01-01T00:00:00Z';

/** Asks from another address, over a connection of its own; with a body it is a POST. */
async function askFrom(
  address: string,
  service: Target,
  path: string,
  headers: Record<string, string> = {},
  body: unknown = null,
) {
  const client = new Client(service.url, { localAddress: address });
  try {
    const answer = await client.request(
      body === null
        ? { method: 'GET', path, headers }
        : {
            method: 'POST',
            path,
            headers: { ...headers, 'Content-Type': 'application/json' },
            body: JSON.stringify(body),
          },
    );
    // A stream does not end by itself.
    const text = answer.headers['content-type'] === 'text/event-stream' ? '' : await answer.body.text();
    return { status: answer.statusCode, text };
  } finally {
    await client.destroy();
  }
}

/** Opens connections, and sends a request on each if one is given. */
async function openConnections(scope: Scope, service: Target, count: number, text = ''): Promise<Socket[]> {
  const { hostname, port } = new URL(service.url);
  const sockets = Array.from({ length: count }, () => connect(Number(port), hostname));
  onEnd(scope, () => {
    for (const socket of sockets) socket.destroy();
  });
  await Promise.all(
    sockets.map(async (socket) => {
      socket.on('error', () => {});
      await new Promise((resolve) => {
        socket.once('connect', resolve);
      });
      if (text !== '') socket.write(text);
    }),
  );
  return sockets;
}

/** Locks a table against all reads and writes, until the returned function is called. */
async function lockTable(database: TestDatabase, table: string): Promise<() => Promise<void>> {
  const locker = await database.connect();
  await locker.query(`begin; lock table ${table} in access exclusive mode`);
  return async () => {
    await locker.query('rollback');
  };
}

/** Sessions that wait for a lock in a statement with this text. The courier and the expiry of holds may wait beside them. */
async function countWaiting(database: TestDatabase, text: string): Promise<number> {
  const [row] = await database.query<{ count: bigint }>(
    `select count(*) from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock' and strpos(query, '${text}') > 0`,
  );
  return Number(row?.count ?? 0n);
}

test('starvation: slow lists do not delay lookups and account changes', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '1', DB_SCAN_TIMEOUT_MS: '4000' } });
  await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann' });
  const unlock = await lockTable(database, 'transfers');
  let ended = 0;
  const lists = Array.from({ length: 40 }, async () => {
    const answer = await request(service, 'GET', LONG_LIST);
    ended += 1;
    return answer;
  });
  await until(async () => (await countWaiting(database, 'metadata')) === 3, {
    what: 'the lists to take all their connections',
  });

  const read = await request(service, 'GET', '/accounts/ANN');
  const changed = await request(service, 'PATCH', '/accounts/ANN', { name: 'Anna' });
  const ready = await request(service, 'GET', '/readyz');
  const tooWide = await request(service, 'GET', '/transfers?metadata=nothing');
  assert.equal(ended, 0, 'the lists still wait');
  assert.deepEqual([read.status, changed.status, ready.status], [200, 200, 200]);
  assert.deepEqual([tooWide.status, tooWide.body['code']], [400, 'filter_too_wide'], 'It needs no connection.');
  await unlock();
  const answers = await Promise.all(lists);
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
});

test('starvation: a list that takes too long is answered with query_too_slow and advice', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '1', DB_SCAN_TIMEOUT_MS: '200' } });
  const unlock = await lockTable(database, 'transfers');
  const answer = await request(service, 'GET', LONG_LIST);
  assert.deepEqual([answer.status, answer.body['code']], [503, 'query_too_slow']);
  assert.match(String(answer.body['detail']), /`since`/);
  await unlock();
  assert.equal((await request(service, 'GET', LONG_LIST)).status, 200);
});

test('starvation: an exhausted pool is reported, and readiness reports that reads fail', async (t) => {
  const database = await createDatabase(t);
  const env = { THREADS: '1', DB_CONNECT_TIMEOUT_MS: '300', HEARTBEAT_MS: '100', ORPHANED_AFTER_MS: '1500' };
  const service = await startService(t, { database, env });
  const unlock = await lockTable(database, 'holds');
  const id = '01935d1c-8f2b-7c3a-9a41-5f7f5f0f2a11';
  // Captures look up their hold: they take the connections of lookups without waiting for a turn of reads.
  const captures = Array.from({ length: 5 }, () => request(service, 'POST', `/holds/${id}/capture`));
  await until(async () => (await countWaiting(database, 'null as failure_code')) === 5, {
    what: 'the captures to wait for the lock',
  });
  const refused = await request(service, 'GET', '/accounts/ANN');
  assert.deepEqual([refused.status, refused.body['code']], [503, 'too_busy'], refused.text);
  assert.equal(refused.headers['retry-after'], '1');

  const notReady = await until(
    async () => {
      const answer = await request(service, 'GET', '/readyz');
      return answer.status === 503 ? answer : undefined;
    },
    { what: '/readyz to report it' },
  );
  assert.equal(notReady.body['code'], 'not_ready');
  assert.deepEqual(notReady.body['failing'], ['reads']);
  await unlock();
  for (const answer of await Promise.all(captures)) assert.equal(answer.status, 404, answer.text);
  await until(async () => (await request(service, 'GET', '/readyz')).status === 200, { what: '/readyz to recover' });
});

test('starvation: a bulk caller leaves capacity in the queue for another caller', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { LOG_LEVEL: 'warn', MAX_QUEUE: '100' } });
  const order = { from_account: '@external', to_account: 'ANN', amount: 1 };
  assert.equal((await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann' })).status, 201);
  const unlock = await lockTable(database, 'accounts');
  const bulk = { transfers: Array.from({ length: 10 }, () => order) };
  /** How many transfers of the bulk caller are admitted to the queue, with and without a key. */
  const fill = async (): Promise<number> => {
    for (let count = 0; ; count += 10) {
      const headers: Record<string, string> =
        count % 20 === 0 ? { 'Idempotency-Key': `bulk-${performance.now()}` } : {};
      const { status } = await request(service, 'POST', '/transfers', bulk, headers);
      if (status === 429) return count;
      assert.equal(status, 202);
    }
  };
  assert.equal(await fill(), 100, 'Alone, it may fill the queue.');
  assert.equal((await askFrom('127.0.0.2', service, '/transfers', {}, order)).status, 429);
  await unlock();
  await until(async () => /^gopherpay_queue_transfers 0$/m.test((await request(service, 'GET', '/metrics')).text), {
    what: 'the queue to drain',
  });
  const unlockAgain = await lockTable(database, 'accounts');
  const got = await fill();
  assert.ok(got > 0 && got < 100, `${got} of 100`);
  assert.equal((await askFrom('127.0.0.2', service, '/transfers', {}, order)).status, 202);
  await unlockAgain();
});

test('starvation: followers from one address leave stream slots for those from another', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '1', EVENT_STREAMS_MAX: '8' } });
  const stream = { accept: 'text/event-stream' };
  const { host } = new URL(service.url);
  await openConnections(t, service, 12, `GET /events HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n\r\n`);
  const metrics = async () => (await request(service, 'GET', '/metrics')).text;
  await until(async () => (await metrics()).includes('gopherpay_refused_total{resource="event_streams"} 8'), {
    what: 'eight of twelve followers to be refused',
  });
  assert.ok((await metrics()).includes('gopherpay_streams{route="/events"} 4\n'));
  const refused = await request(service, 'GET', '/events', undefined, stream);
  assert.deepEqual([refused.status, refused.body['code']], [503, 'too_many_streams']);
  assert.equal((await askFrom('127.0.0.2', service, '/events', stream)).status, 200);
});

test('starvation: idle connections from one address leave room for others, and for probes from the same one', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '1', CONNECTIONS_MAX: '8' } });
  await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann' });
  await openConnections(t, service, 200);
  const other = await askFrom('127.0.0.2', service, '/accounts/ANN');
  assert.equal(other.status, 200, other.text);
  for (const path of ['/healthz', '/readyz', '/metrics']) {
    const client = new Client(service.url);
    const answer = await client.request({ method: 'GET', path });
    assert.equal(answer.statusCode, 200, path);
    assert.equal(answer.headers['connection'], 'close');
    await answer.body.dump();
    await client.destroy();
  }
  const client = new Client(service.url);
  const refused = await client.request({ method: 'GET', path: '/accounts/ANN' });
  assert.equal(refused.statusCode, 503);
  assert.match(await refused.body.text(), /"code":"too_many_connections"/);
  await client.destroy();
});

test('starvation: a limit of open files below CONNECTIONS_MAX lowers the limit of connections', async (t) => {
  const database = await createDatabase(t);
  const folder = await makeFolder(t);
  const child = spawn('sh', ['-c', `ulimit -n 200; exec "${process.execPath}" "${MAIN}" serve`], {
    cwd: folder,
    env: { PATH: process.env['PATH'], DATABASE_URL: database.url, PORT: '0', THREADS: '4' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise((resolve) => {
    child.once('close', resolve);
  });
  onEnd(t, async () => {
    child.kill('SIGKILL');
    await ended;
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const url = await until(() => /listening on (\S+)/.exec(output)?.[1], { timeoutMs: 60_000, what: 'the service' });
  const limits = /"open_files_max":200,"connections_max":(\d+)/.exec(output);
  assert.ok(limits, output);
  assert.equal((await request({ url }, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann' })).status, 201);

  await openConnections(t, { url }, 300);
  assert.equal((await request({ url }, 'GET', '/healthz')).status, 200);
  assert.equal((await askFrom('127.0.0.2', { url }, '/accounts/ANN')).status, 200);
  const opened = await askFrom('127.0.0.3', { url }, '/accounts?limit=1');
  assert.equal(opened.status, 200, opened.text);
  assert.equal(child.exitCode, null);
  child.kill('SIGTERM');
  assert.equal(await ended, 0);
});
