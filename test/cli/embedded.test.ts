// The commands without an external database: each starts the embedded server if it does not run, and leaves nothing
// running.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { Client } from 'pg';
import { openEmbeddedServer } from '../../src/db/embedded/server.ts';
import { onEnd } from '../support/cleanup.ts';
import { MAIN, awaitFinal, makeFolder, request, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

/** More than the pipe to a stalled reader holds. */
const PENDING = 20_000;

/**
 * A folder that a service has used: in its books ANN has 700 and BOB 300, and MANY has pending orders without a
 * service.
 */
let folder: string;

before(async (t) => {
  folder = await makeFolder(t);
  const service = await startService(t, { folder, env: { THREADS: '2' } });
  await request(service, 'POST', '/accounts', { account_number: 'ANN', name: 'Ann', balance: 1000 });
  await request(service, 'POST', '/accounts', { account_number: 'BOB', name: 'Bob' });
  await pay(service, 300);
  assert.notDeepEqual(await serverProcesses(folder), [], 'A running server is detected.');
  assert.deepEqual(await service.stop(), { code: 0, signal: null });
  await assertNothingRuns(folder);
});

test('embedded: a report runs beside the service, Ctrl-C stops both, and the next start finds all data', async (t) => {
  const service = await startService(t, { folder, env: { THREADS: '2' } });
  const pidFile = join(folder, '.gopherpay', 'postgres', 'postmaster.pid');
  const [serverId] = (await readFile(pidFile, 'utf8')).split('\n');
  assert.equal((await request(service, 'GET', '/accounts/BOB')).body['balance'], 300, 'The data is unchanged.');
  const report = await startProgram(t, { folder, args: ['report', '--user=BOB', '--output=with.csv'] });
  assert.deepEqual(await report.exited, { code: 0, signal: null }, report.output());
  assert.match(
    await readFile(join(folder, 'with.csv'), 'utf8'),
    /^transfer_id,.*\n.*,ANN,BOB,300,USD,completed,.*,1,300,300,transfer,\n$/,
  );
  assert.equal((await readFile(pidFile, 'utf8')).split('\n')[0], serverId, 'The server is the same.');
  await pay(service, 1);
  await pay(service, 1, 'BOB', 'ANN');
  process.kill(service.pid, 'SIGINT');
  assert.deepEqual(await service.exited, { code: 0, signal: null }, service.output());
  assert.equal(service.logs().at(-1)?.['msg'], 'stopped');
  await assertNothingRuns(folder);
});

test('embedded: a report without the service starts the server and stops it again', async (t) => {
  const report = await startProgram(t, { folder, args: ['report', '--user=ANN', '--output=-', '--status=completed'] });
  assert.deepEqual(await report.exited, { code: 0, signal: null }, report.output());
  assert.match(report.stdout(), /^transfer_id,.*\n.*,1,1000,1000,transfer,\n.*,ANN,BOB,300,.*,2,-300,700,transfer,\n/);
  await assertNothingRuns(folder);
});

test('embedded: a report that fails stops the server it has started', async (t) => {
  const report = await startProgram(t, { folder, args: ['report', '--user=UNKNOWN'] });
  assert.deepEqual(await report.exited, { code: 1, signal: null });
  assert.equal(report.output(), 'There is no account UNKNOWN, and no transfer names it.\n');
  await assertNothingRuns(folder);
});

test('embedded: Ctrl-C on a report with a stalled reader stops the server too', async (t) => {
  await sendUnansweredOrder(folder);
  const report = spawn(process.execPath, [MAIN, 'report', '--user=MANY', '--output=-'], {
    cwd: folder,
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onEnd(t, () => void report.kill('SIGKILL'));
  const ended = once(report, 'exit');
  // The header has arrived, and the rest is not read.
  await once(report.stdout, 'readable');
  assert.notDeepEqual(await serverProcesses(folder), []);
  report.kill('SIGINT');
  assert.deepEqual(await ended, [130, null]);
  await assertNothingRuns(folder);
});

for (const args of [['report', '--user=ANN'], ['statement', '--account=ANN', '--month=2026-01'], ['audit']]) {
  test(`embedded: ${args[0]} creates no database where there is none`, async (t) => {
    for (const content of [[], ['.gopherpay']]) {
      const empty = await makeFolder(t);
      for (const name of content) await mkdir(join(empty, name));
      const program = await startProgram(t, { folder: empty, args });
      assert.deepEqual(await program.exited, { code: 4, signal: null });
      assert.equal(
        program.output(),
        'There is no database in .gopherpay: start the service once, or name one with DATABASE_URL or DATA_DIR.\n',
      );
      assert.deepEqual(await readdir(empty, { recursive: true }), content);
    }
  });
}

test('embedded: Ctrl-C during database creation exits cleanly, and the next start creates it', async (t) => {
  const empty = await makeFolder(t);
  const first = await startProgram(t, { folder: empty, args: ['serve'], env: { PORT: '0' } });
  const initdb = async () =>
    (await readdir(join(empty, '.gopherpay')).catch(() => [])).some((name) => name.startsWith('postgres.new-'));
  await until(initdb, { what: 'the creation to begin' });
  process.kill(first.pid, 'SIGINT');
  assert.deepEqual(await first.exited, { code: 0, signal: null }, first.output());
  assert.deepEqual(
    first.logs().map(({ msg }) => msg),
    ['creating the embedded database', 'stopping', 'stopped'],
  );
  assert.equal(await initdb(), false);
  assert.deepEqual(await serverProcesses(empty), []);
  const second = await startService(t, { folder: empty, env: { THREADS: '1' } });
  assert.deepEqual(await second.stop(), { code: 0, signal: null }, second.output());
});

test('embedded: a service that finds its port taken stops the server it has started', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  onEnd(t, () => void taken.close());
  await once(taken, 'listening');
  const address = taken.address();
  assert.ok(typeof address === 'object' && address !== null);
  const program = await startProgram(t, { folder, args: ['serve'], env: { PORT: String(address.port), THREADS: '2' } });
  await until(program.ended, { what: 'the start to fail' });
  assert.deepEqual(await program.exited, { code: 1, signal: null });
  assert.match(program.output(), new RegExp(`^Port ${address.port} of 127\\.0\\.0\\.1 is in use: .*\\.\n$`));
  await assertNothingRuns(folder);
});

test('embedded: Ctrl-C during the start of the server leaves no server running', async (t) => {
  const program = await startProgram(t, { folder, args: ['serve'], env: { PORT: '0', THREADS: '2' } });
  await until(async () => (await serverProcesses(folder)).length > 0, { what: 'the server to be started' });
  process.kill(program.pid, 'SIGINT');
  assert.deepEqual(await program.exited, { code: 0, signal: null }, program.output());
  await assertNothingRuns(folder);
});

async function pay(service: { url: string }, amount: number, from = 'ANN', to = 'BOB'): Promise<void> {
  const answer = await request(service, 'POST', '/transfers', { from_account: from, to_account: to, amount });
  assert.equal(answer.status, 202, answer.text);
  assert.equal((await awaitFinal(service, String(answer.body['id'])))['status'], 'completed');
}

/** Writes orders of MANY like an intake that was just killed. */
async function sendUnansweredOrder(folder: string): Promise<void> {
  const server = await openEmbeddedServer(join(folder, '.gopherpay'));
  try {
    const client = new Client(server.roles.runtime);
    await client.connect();
    await client.query(
      `insert into pending_transfers (ledger_id, id, lease_id, from_account, to_account, amount, description)
       select 1, gen_random_uuid(), gen_random_uuid(), 'MANY', 'ANN', 1, repeat('words ', 50)
       from generate_series(1, ${PENDING})`,
    );
    await client.end();
  } finally {
    await server.release();
  }
}

/** The processes of this machine that have the folder's database on their command line. */
async function serverProcesses(folder: string): Promise<string[]> {
  const cluster = join(folder, '.gopherpay', 'postgres');
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const commandLines = await Promise.all(
    processes.map(async (id) => await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')),
  );
  return processes.filter((_, index) => commandLines[index]?.includes(cluster));
}

async function assertNothingRuns(folder: string): Promise<void> {
  assert.deepEqual(await serverProcesses(folder), []);
  assert.deepEqual(await readdir(join(folder, '.gopherpay', 'socket')), []);
  assert.ok(!existsSync(join(folder, '.gopherpay', 'postgres', 'postmaster.pid')));
}
