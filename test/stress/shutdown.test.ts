// Goal: SIGTERM stops the service cleanly: accepted requests are finished and answered, later ones are refused, and the
// process exits with 0. Method: SIGTERM in the middle of load, and while callers wait for delayed transfers.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { test } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import {
  type Attempt,
  attempt,
  countPending,
  findByRequestId,
  idOf,
  inParallel,
  isAccepted,
  LOAD_ENV,
  openAccount,
  openAccounts,
  post,
  postAccepted,
  times,
} from './callers.ts';
import { lockAccount } from '../support/trouble.ts';

test('shutdown: under load every request is answered or stores nothing, and accepted transfers settle', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  const accounts = await openAccounts(service, 'ACC', 10, { balance: 1_000_000 });
  const attempts: Attempt[] = [];

  const load = inParallel(
    50,
    times(20_000, (index) => index),
    async (index) => {
      if (service.ended()) return;
      const order = {
        from_account: accounts[index % 10] ?? '',
        to_account: accounts[(index + 1) % 10] ?? '',
        amount: 1,
      };
      attempts.push(await attempt(service, order));
    },
  );
  await until(() => attempts.length >= 1000, { timeoutMs: 30_000, what: 'load' });
  const exit = await service.stop();
  await load;

  assert.deepEqual(exit, { code: 0, signal: null }, service.output());
  assert.equal(await countPending(database), 0, 'The queue is drained.');
  const accepted = attempts.filter(isAccepted);
  const refused = attempts.filter((one) => !isAccepted(one));
  assert.ok(refused.length > 0, 'The signal must have come in the middle of load.');
  for (const { answer } of refused) {
    if (answer) assert.deepEqual([answer.status, answer.body.code], [503, 'shutting_down'], answer.text);
  }
  const found = await findByRequestId(
    database,
    attempts.map(({ requestId }) => requestId),
  );
  assert.deepEqual(found, new Map(accepted.map(({ requestId, answer }) => [requestId, idOf(answer)])));
  await checkPromises(database, { accepted: accepted.map(({ answer }) => idOf(answer)), nothingPending: true });
});

test('shutdown: waiting callers are answered when their transfers are final, and no new caller is admitted', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  await openAccount(service, 'ANN', { balance: 1000 });
  await openAccount(service, 'BOB');
  const order = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
  const unlock = await lockAccount(database, 'ANN');

  const waiting = times(20, () => post(service, order, { Prefer: 'wait=30' }));
  const abrupt = times(20, () => post(service, order));
  await until(async () => /^gopherpay_queue_transfers 40$/m.test((await request(service, 'GET', '/metrics')).text), {
    what: 'all transfers to be on their way',
  });
  const early = await Promise.all(abrupt);
  const stopping = service.stop();
  const late = await until(
    async () => {
      const one = await attempt(service, order);
      return isAccepted(one) ? undefined : one;
    },
    { what: 'new requests to be refused' },
  );
  if (late.answer) assert.equal(late.answer.body.code, 'shutting_down', late.answer.text);
  assert.equal(service.ended(), false, 'It must wait for the waiting callers.');
  await unlock();

  const answers = await Promise.all(waiting);
  for (const answer of answers) {
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.body.status, 'completed');
  }
  // Connections that are kept alive must not keep the process alive; it would wait 30 s for them.
  await until(() => service.ended(), { timeoutMs: 15_000, what: 'the process to end' });
  const exit = await stopping;
  assert.deepEqual(exit, { code: 0, signal: null }, service.output());
  assert.equal(await countPending(database), 0, 'The queue is drained.');
  const [account] = await database.query(`select balance from accounts where account_number = 'BOB'`);
  assert.ok(Number(account?.['balance']) >= 40);
  await checkPromises(database, { accepted: [...answers, ...early].map(idOf), nothingPending: true });
});

test('shutdown: the process ends only after accepted transfers have settled, also without waiting callers', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { ...LOAD_ENV, DB_LOCK_TIMEOUT_MS: '100' } });
  await openAccount(service, 'ANN', { balance: 1000 });
  await openAccount(service, 'BOB');
  const order = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
  const unlock = await lockAccount(database, 'ANN');
  const accepted = await Promise.all(times(40, () => postAccepted(service, order)));

  const stopping = service.stop();
  await until(
    async () => {
      const one = await attempt(service, order);
      if (isAccepted(one)) accepted.push(idOf(one.answer));
      return one.broken === 'ECONNREFUSED';
    },
    { what: 'new connections to be refused' },
  );
  // Each of these lines reports a job with a lock timeout that will be retried.
  const countRetries = (): number => service.logs().filter((line) => line['sqlstate'] === '55P03').length;
  const before = countRetries();
  await until(() => service.ended() || countRetries() > before, { timeoutMs: 20_000, what: 'a job to be run again' });
  assert.equal(service.ended(), false, service.output());
  assert.equal(await countPending(database), accepted.length);
  await unlock();

  assert.deepEqual(await stopping, { code: 0, signal: null }, service.output());
  const [account] = await database.query(`select balance from accounts where account_number = 'BOB'`);
  assert.equal(account?.['balance'], BigInt(accepted.length));
  await checkPromises(database, { accepted, nothingPending: true });
});

test('shutdown: connections that wait to be accepted are answered, not reset', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: LOAD_ENV });
  const port = Number(new URL(service.url).port);

  /** Sends a request on a new connection. Resolves with the status of its answer, or the code of the error. */
  async function ask(): Promise<string> {
    const socket = connect(port, '127.0.0.1');
    return await new Promise((resolve) => {
      socket.on('connect', () => socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'));
      socket.on('data', (bytes) => resolve(bytes.toString().slice(9, 12)));
      socket.on('error', (error) => resolve('code' in error ? String(error.code) : error.message));
      socket.on('close', () => resolve('closed'));
      t.after(() => socket.destroy());
    });
  }

  // The system accepts connections on behalf of a process that does not run. It gets them and the signal at once.
  process.kill(service.pid, 'SIGSTOP');
  const connected = times(50, () => ask());
  await until(async () => (await countWaiting(port)) >= 50, { what: 'all connections to wait' });
  const stopping = service.stop();
  process.kill(service.pid, 'SIGCONT');
  const answers = new Set(await Promise.all(connected));
  assert.deepEqual(answers.difference(new Set(['200', '503'])), new Set());
  assert.deepEqual(await stopping, { code: 0, signal: null }, service.output());
});

/** How many connections to a port have requests that are not read, by the kernel's table of TCP connections. */
async function countWaiting(port: number): Promise<number> {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  const lines = (await readFile('/proc/net/tcp', 'utf8')).split('\n');
  // The columns are: local address, remote address, state (01: established), bytes to send and to read.
  return lines.filter((line) => new RegExp(`^ *\\d+: [0-9A-F]{8}${local}[0-9A-F:]+ 01 0+:0*[1-9A-F]`).test(line))
    .length;
}
