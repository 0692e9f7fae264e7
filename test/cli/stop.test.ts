// How the service stops when people and supervisors stop it: under kept-alive connections, under nohup, through npm.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { Agent, request as send } from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { MAIN, makeFolder, request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const CALLERS = 16;

test('stop: no request on a kept-alive connection breaks', async (t) => {
  const service = await startService(t, {
    database: await createDatabase(t),
    env: { THREADS: '1', LOG_LEVEL: 'warn' },
  });
  const agent = new Agent({ keepAlive: true, maxSockets: CALLERS });
  onEnd(t, () => agent.destroy());
  const ends = new Map<string, number>();
  const ask = async (): Promise<string> =>
    await new Promise((resolve) => {
      const asked = send(`${service.url}/accounts`, { agent }, (answer) => {
        answer.resume();
        answer.once('end', () => resolve(String(answer.statusCode)));
        answer.once('error', (error) => resolve(`broken: ${error.message}`));
      });
      asked.once('error', (error) => resolve('code' in error ? String(error.code) : error.message));
      asked.end();
    });
  const callers = Array.from({ length: CALLERS }, async () => {
    let end = '';
    while (end !== 'ECONNREFUSED') {
      end = await ask();
      ends.set(end, (ends.get(end) ?? 0) + 1);
    }
  });
  await until(() => (ends.get('200') ?? 0) > 100, { what: 'the callers to send requests' });
  assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
  await Promise.all(callers);
  assert.deepEqual(
    [...ends.keys()].filter((end) => !['200', '503', 'ECONNREFUSED'].includes(end)),
    [],
  );
});

test('stop: a request whose body is still arriving is answered, and not reset', async (t) => {
  const service = await startService(t, { database: await createDatabase(t), env: { THREADS: '1' } });
  const { hostname, port } = new URL(service.url);
  const socket = connect(Number(port), hostname);
  onEnd(t, () => void socket.destroy());
  await once(socket, 'connect');
  const answer = text(socket);
  const half = 'x'.repeat(400_000);
  // A started head keeps the connection open.
  socket.write(`POST /transfers HTTP/1.1\r\nHost: ${hostname}\r\n`);
  await request(service, 'GET', '/healthz');
  process.kill(service.pid, 'SIGTERM');
  const refused = async () =>
    await request(service, 'GET', '/healthz').then(
      () => false,
      () => true,
    );
  await until(refused, { what: 'the port to be closed' });
  socket.write(`Content-Type: application/json\r\nContent-Length: ${2 * half.length}\r\n\r\n`);
  for (let part = 0; part < 2; part += 1) {
    await new Promise((resolve) => socket.write(half, resolve));
    await sleep(50);
  }
  const answered = await answer;
  assert.match(answered, /^HTTP\/1\.1 503 /);
  assert.match(answered, /^Connection: close\r$/im);
  assert.match(answered, /shutting_down/);
  assert.deepEqual(await service.exited, { code: 0, signal: null }, service.output());
});

test('stop: connections that are idle, or have never sent anything, do not delay the end', async (t) => {
  const service = await startService(t, { database: await createDatabase(t), env: { THREADS: '1' } });
  const { hostname, port } = new URL(service.url);
  const silent = connect(Number(port), hostname);
  onEnd(t, () => void silent.destroy());
  await once(silent, 'connect');
  const closed = once(silent.resume(), 'close');
  await request(service, 'GET', '/healthz');
  assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
  await closed;
  const [stopping, stopped] = ['stopping', 'stopped'].map((msg) =>
    Date.parse(String(service.logs().find((line) => line['msg'] === msg)?.['time'])),
  );
  // The drain takes 30 s; a busy machine takes some.
  assert.ok(Number(stopped) - Number(stopping) < 15_000);
});

test('stop: during SHUTDOWN_DELAY_MS requests are served while /readyz says 503', async (t) => {
  const service = await startService(t, {
    database: await createDatabase(t),
    env: { THREADS: '1', SHUTDOWN_DELAY_MS: '600000' },
  });
  process.kill(service.pid, 'SIGTERM');
  const readiness = async () => await request(service, 'GET', '/readyz');
  await until(async () => (await readiness()).status === 503, { what: '/readyz to report the stop' });
  assert.equal((await readiness()).body['code'], 'shutting_down');
  assert.equal((await request(service, 'GET', '/healthz')).status, 200);
  assert.equal((await request(service, 'POST', '/accounts', { account_number: 'A', name: 'A' })).status, 201);
  // A second signal ends the process at once, when it is later than what npm repeats.
  await until(
    () => {
      if (!service.ended()) process.kill(service.pid, 'SIGTERM');
      return service.ended();
    },
    { what: 'the end' },
  );
  assert.deepEqual(await service.exited, { code: 1, signal: null });
});

test('stop: SIGHUP is ignored without a terminal, as nohup requires', async (t) => {
  const service = await startService(t, { database: await createDatabase(t), env: { THREADS: '1' } });
  process.kill(service.pid, 'SIGHUP');
  for (let n = 0; n < 20; n += 1) assert.equal((await request(service, 'GET', '/readyz')).status, 200);
  assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
  assert.deepEqual(
    service.logs().flatMap(({ msg, signal }) => (msg === 'stopping' ? [signal] : [])),
    ['SIGTERM'],
  );
});

/** A service whose standard error is not read. */
async function spawnService(t: TestContext) {
  const database = await createDatabase(t);
  const child = spawn(process.execPath, [MAIN, 'serve'], {
    cwd: await makeFolder(t),
    env: { PATH: process.env['PATH'], DATABASE_URL: database.url, PORT: '0', THREADS: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onEnd(t, () => void child.kill('SIGKILL'));
  const exited = once(child, 'exit');
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    output += part;
  });
  const url = await until(() => /listening on (\S+)/.exec(output)?.[1], { timeoutMs: 60_000, what: 'the service' });
  return { child, exited, url };
}

for (const stdio of ['stdout', 'stderr'] as const) {
  test(`stop: a closed reader of ${stdio} neither ends the service nor prevents its end`, async (t) => {
    const { child, exited, url } = await spawnService(t);
    child[stdio].destroy();
    for (let n = 0; n < 100; n += 1) assert.equal((await request({ url }, 'GET', '/healthz')).status, 200);
    child.kill('SIGTERM');
    assert.deepEqual(await exited, [0, null]);
  });
}

test('stop: a stalled log reader delays neither answers nor the end, and missing lines are counted', async (t) => {
  const { child, exited, url } = await spawnService(t);
  const dropped = async (): Promise<number> => {
    const metrics = await request({ url }, 'GET', '/metrics');
    return Number(/^gopherpay_log_lines_dropped_total (\d+)$/m.exec(metrics.text)?.[1]);
  };
  assert.equal(await dropped(), 0);
  const headers = { 'X-Request-ID': 'x'.repeat(100) };
  await until(
    async () => {
      const batch = Array.from(
        { length: 500 },
        async () => await request({ url }, 'GET', '/healthz', undefined, headers),
      );
      for (const { status } of await Promise.all(batch)) assert.equal(status, 200);
      return (await dropped()) > 0;
    },
    { timeoutMs: 120_000, what: 'lines to be dropped' },
  );
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
});

test('stop: SIGTERM to npm start stops the service cleanly', { skip: process.platform === 'win32' }, async (t) => {
  const database = await createDatabase(t);
  const npm = spawn('npm', ['start'], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      DATABASE_URL: database.url,
      PORT: '0',
      THREADS: '1',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onEnd(t, () => void npm.kill('SIGKILL'));
  let output = '';
  for (const stream of [npm.stdout, npm.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  // The pipes close when the last process that has them ends.
  const closed = once(npm, 'close');
  await until(() => output.includes('listening on'), { timeoutMs: 60_000, what: 'the service' });
  npm.kill('SIGTERM');
  await closed;
  assert.match(output, /"msg":"stopped"/);
});
