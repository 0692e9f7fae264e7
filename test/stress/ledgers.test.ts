// Goal: one ledger does not delay another. Method: a job of one ledger waits for a lock while callers flood that
// ledger, and another ledger still settles.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, startService } from '../support/service.ts';
import { awaitNothingPending, inParallel, openAccounts, post, times } from './callers.ts';
import { onEnd } from '../support/cleanup.ts';
import { lockAccount } from '../support/trouble.ts';
import { until } from '../support/until.ts';

test('ledgers: a flooded ledger that waits for a lock neither fills the queue nor delays another', async (t) => {
  const database = await createDatabase(t);
  const env = {
    LOG_LEVEL: 'warn',
    MAX_QUEUE: '100',
    THREADS: '2',
    DB_LOCK_TIMEOUT_MS: '60000',
    DB_STATEMENT_TIMEOUT_MS: '90000',
  };
  const service = await startService(t, { database, env });
  await openAccounts(service, 'ACC', 2, { balance: 1000 });
  const shop = '/ledgers/shop';
  assert.equal((await request(service, 'POST', '/ledgers', { name: 'shop' })).status, 201);
  for (const number of ['ANN', 'BOB']) {
    const account = { account_number: number, name: number, balance: 1000 };
    assert.equal((await request(service, 'POST', `${shop}/accounts`, account)).status, 201);
  }
  const unlock = await lockAccount(database, 'ACC0');
  const statuses: number[] = [];
  await inParallel(
    8,
    times(200, () => ({ from_account: 'ACC0', to_account: 'ACC1', amount: 1 })),
    async (transfer) => void statuses.push((await post(service, transfer)).status),
  );
  const accepted = statuses.filter((status) => status === 202).length;
  assert.deepEqual(new Set(statuses), new Set([202, 429]));
  assert.ok(accepted < 100, `${accepted} of 100 places went to the ledger that is flooded.`);
  for (let index = 0; index < 20; index += 1) {
    const order = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
    const settled = await request(service, 'POST', `${shop}/transfers`, order, { Prefer: 'wait=20' });
    assert.deepEqual([settled.status, settled.body['status']], [200, 'completed'], settled.text);
  }
  const pending = await database.query('select from pending_transfers');
  assert.equal(pending.length, accepted, 'The flooded ledger still waits for its lock.');
  await unlock();
  await awaitNothingPending(database);
  await checkPromises(database, { nothingPending: true });
});

/** Resolves when the system has taken the text. */
async function send(socket: Socket, text: string): Promise<void> {
  await new Promise<void>((resolve) => {
    socket.write(text, () => resolve());
  });
}

test('ledgers: a request overtakes those that flood another ledger', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database });
  assert.equal((await request(service, 'POST', '/ledgers', { name: 'shop' })).status, 201);
  // Only ledgers that have sent something in the last hour compete for turns.
  assert.equal((await request(service, 'GET', '/ledgers/shop/accounts')).status, 200);
  const { hostname, port } = new URL(service.url);
  const sockets = await Promise.all(
    times(500, async () => {
      const socket = connect(Number(port), hostname);
      onEnd(t, () => void socket.destroy());
      // An answer shows that the service has accepted the connection, which it does one by one.
      await send(socket, `GET /healthz HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
      await once(socket, 'data');
      return socket.resume();
    }),
  );
  const quiet = sockets.pop();
  assert.ok(quiet);
  // A schema refuses it, so nothing but the event loop decides when it is answered.
  const ask = (path: string): string =>
    `POST ${path} HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`;
  // All requests arrive while the service cannot read them, the quiet one last.
  process.kill(service.pid, 'SIGSTOP');
  for (const socket of sockets) await send(socket, ask('/transfers'));
  await send(quiet, ask('/ledgers/shop/transfers'));
  process.kill(service.pid, 'SIGCONT');
  const answered = () => service.logs().filter(({ status }) => status === 400);
  await until(() => answered().length === sockets.length + 1, { what: 'all answers', timeoutMs: 60_000 });
  const place = answered().findIndex(({ ledger }) => ledger === 'shop');
  assert.ok(place < sockets.length / 2, `It is answered after ${place} of the flood.`);
});
