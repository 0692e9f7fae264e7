// Goal: an answer that is lost, and a process that dies, neither hide nor double a transfer, also when the database's
// clock jumps. Method: a network that loses the answer to an intake, a second service that adopts, and heartbeats that
// lie ahead of time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { startProxy } from '../support/proxy.ts';
import { awaitFinal, request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import {
  awaitNothingPending,
  countPending,
  idOf,
  inParallel,
  LOAD_ENV,
  openAccount,
  openAccounts,
  post,
  postAccepted,
  times,
} from './callers.ts';
import { lockAccount } from '../support/trouble.ts';

const ORDER = { from_account: 'ACC0', to_account: 'ACC1', amount: 7 };
/** Answers time out soon; no heartbeat is missed meanwhile. */
const HASTY = { DB_STATEMENT_TIMEOUT_MS: '400', DB_ANSWER_TIMEOUT_MS: '600', DB_LOCK_TIMEOUT_MS: '200' };

for (const prefer of ['', 'wait=5']) {
  test(`leases: a transfer with a late intake answer is answered with its stored state: ${prefer || 'no wait'}`, async (t) => {
    const database = await createDatabase(t);
    const proxy = await startProxy(t, database);
    const service = await startService(t, { database: proxy, env: { ...HASTY, LOG_LEVEL: 'warn' } });
    await openAccounts(service, 'ACC', 2, { balance: 100 });
    const lost = proxy.loseCommit();
    const answering = post(service, ORDER, prefer === '' ? {} : { Prefer: prefer });
    await lost;
    const answer = await answering;
    const final = await awaitFinal(service, idOf(answer));
    const reported = await request(service, 'GET', `/transfers/${idOf(answer)}`);
    const rows = await database.query('select id from transfers where amount = 7');
    assert.equal(rows.length, 1, 'It was stored once.');
    assert.equal(final['status'], 'completed');
    for (const field of ['created_at', 'request_id', 'amount']) {
      assert.equal(JSON.parse(answer.text)[field], reported.body[field], field);
    }
    if (prefer !== '') assert.equal(JSON.parse(answer.text)['status'], 'completed', answer.text);
    await checkPromises(database, { accepted: [idOf(answer)], nothingPending: true });
  });
}

test('leases: a transfer settled by another process is never reported as pending by the one that lost the answer', async (t) => {
  const database = await createDatabase(t);
  const proxy = await startProxy(t, database);
  const silent = { HEARTBEAT_MS: '100', ORPHANED_AFTER_MS: '500' };
  // It waits for the lost answer longer than the other one waits for its heartbeat.
  const patient = { DB_STATEMENT_TIMEOUT_MS: '3000', DB_ANSWER_TIMEOUT_MS: '4000', DB_CONNECT_TIMEOUT_MS: '500' };
  const cutOff = await startService(t, { database: proxy, env: { ...silent, ...patient, LOG_LEVEL: 'warn' } });
  await openAccounts(cutOff, 'ACC', 2, { balance: 100 });
  const other = await startService(t, { database, env: { ...silent, LOG_LEVEL: 'warn' } });
  const lost = proxy.loseCommit();
  const group = { transfers: [ORDER, { ...ORDER, amount: 8 }], atomic: true };
  const answering = Promise.all([
    request(cutOff, 'POST', '/transfers', group, { 'X-Request-ID': 'the-group' }),
    lost.then(() => proxy.swallow()),
  ]);
  const settled = await until(
    async () => {
      const rows = await database.query<{ id: string }>('select id from transfers where amount in (7, 8)');
      return rows.length === 2 && rows;
    },
    { timeoutMs: 20_000, what: 'the other process to adopt and settle' },
  );
  await proxy.heal();
  const [answer] = await answering;
  // Final before the answer: it must report that, or an unknown outcome.
  if (answer.status !== 503) {
    const statuses = JSON.parse(answer.text).transfers.map(({ status }: { status: string }) => status);
    assert.deepEqual(statuses, ['completed', 'completed'], answer.text);
  } else assert.equal(answer.body['code'], 'outcome_unknown');
  await until(async () => (await request(cutOff, 'GET', '/readyz')).status === 200, {
    timeoutMs: 20_000,
    what: 'the disconnected service to be ready',
  });
  assert.equal(await countPending(database), 0);
  for (const service of [cutOff, other]) {
    const found = await request(service, 'GET', '/transfers?request_id=the-group');
    const items = JSON.parse(found.text).items;
    assert.deepEqual(
      items.map(({ status }: { status: string }) => status),
      ['completed', 'completed'],
    );
  }
  await checkPromises(database, { accepted: settled.map(({ id }) => id), nothingPending: true });
});

test('leases: a dead process is detected although the clock of the database went back', async (t) => {
  const database = await createDatabase(t);
  const env = { HEARTBEAT_MS: '100', ORPHANED_AFTER_MS: '500', LOG_LEVEL: 'warn' };
  const first = await startService(t, { database, env });
  await openAccounts(first, 'ACC', 2, { balance: 100 });
  const unlock = await lockAccount(database, 'ACC0');
  const id = await postAccepted(first, ORDER);
  await first.kill();
  await unlock();
  // As it looks after the clock went back by an hour.
  await database.query(`update heartbeats set written_at = clock_timestamp() + interval '1 hour'`);
  const second = await startService(t, { database, env });
  assert.equal((await awaitFinal(second, id))['status'], 'completed');
  await until(
    async () => {
      const { text } = await request(second, 'GET', '/metrics');
      return [
        'gopherpay_leases{state="open"} 1',
        'gopherpay_leases{state="orphaned"} 0',
        'gopherpay_leases_taken_over_total 1',
        'gopherpay_adopted_transfers_total{origin="orphan"} 1',
        'gopherpay_adopted_units_total{origin="orphan"} 1',
      ].every((line) => text.includes(`\n${line}\n`));
    },
    { what: 'the metrics of the adoption' },
  );
  await checkPromises(database, { accepted: [id], nothingPending: true });
});

test('leases: all transfers of a stopped process are adopted, with any page size', async (t) => {
  const database = await createDatabase(t);
  const env = { ...LOAD_ENV, HEARTBEAT_MS: '5000', ORPHANED_AFTER_MS: '15000' };
  const first = await startService(t, { database, env: { ...env, DRAIN_TIMEOUT_MS: '100' } });
  await openAccount(first, 'HOT', { balance: 100_000 });
  const accounts = await openAccounts(first, 'ACC', 10);
  const unlock = await lockAccount(database, 'HOT');
  const transfers = (start: number) =>
    times(1000, (index) => ({ from_account: 'HOT', to_account: accounts[(start + index) % 10] ?? '', amount: 1 }));
  const ids: string[] = [];
  await inParallel(
    4,
    times(4, (index) => index),
    async (index) => {
      const answer = await request(first, 'POST', '/transfers', { transfers: transfers(index) });
      assert.equal(answer.status, 202, answer.text);
      ids.push(...JSON.parse(answer.text).transfers.map(({ id }: { id: string }) => id));
    },
  );
  // Its drain times out, and closes its lease: the next process adopts at its first look, 5 s before the second one.
  await first.stop();
  await unlock();
  assert.equal(await countPending(database), 4000);
  const startedAt = performance.now();
  await startService(t, { database, env });
  await awaitNothingPending(database, 60_000);
  const [observed] = await database.query<{ beat: bigint }>('select beat from heartbeats');
  assert.ok((observed?.beat ?? 0n) <= 2n + BigInt(Math.floor((performance.now() - startedAt) / 5000)));
  await checkPromises(database, { accepted: ids, nothingPending: true });
});

test('leases: a process under load finds transfers it stored without an answer, and continues to adopt', async (t) => {
  const database = await createDatabase(t);
  const proxy = await startProxy(t, database);
  const env = { ...HASTY, LOG_LEVEL: 'warn', HEARTBEAT_MS: '100', ORPHANED_AFTER_MS: '1000', MAX_QUEUE: '20000' };
  const service = await startService(t, { database: proxy, env });
  await openAccounts(service, 'ACC', 4, { balance: 1_000_000 });
  const unlock = await lockAccount(database, 'ACC2');
  // Pending for as long as the lock is held, with ever larger ids: the search for lost ones must end all the same.
  const loading = new AbortController();
  const load = inParallel(4, [0, 1, 2, 3], async () => {
    while (!loading.signal.aborted) await post(service, { from_account: 'ACC2', to_account: 'ACC3', amount: 1 });
  });
  const lost = proxy.loseCommit();
  await lost;
  // A transfer under an unknown lease, so that it is adopted at the first scan.
  const [stranger] = await database.query<{ id: string }>(
    `insert into pending_transfers (ledger_id, id, lease_id, amount, from_account, to_account)
     values (1, gen_random_uuid(), gen_random_uuid(), 7, 'ACC0', 'ACC1')
     returning id`,
  );
  await database.query('update leases set accepted_count = accepted_count + 1 where not closed');
  const strangerId = stranger?.id ?? '';
  assert.equal((await awaitFinal(service, strangerId, 20_000))['status'], 'completed');
  loading.abort();
  await load;
  await unlock();
  await awaitNothingPending(database, 60_000);
  await checkPromises(database, { accepted: [strangerId], nothingPending: true });
});

test('leases: thousands of due holds end in one round', async (t) => {
  const HOLDS = 2500;
  const database = await createDatabase(t);
  const env = { ...LOAD_ENV, HEARTBEAT_MS: '15000', ORPHANED_AFTER_MS: '45000' };
  const service = await startService(t, { database, env });
  await openAccounts(service, 'ACC', 2, { balance: HOLDS });
  const hold = { from_account: 'ACC0', to_account: 'ACC1', amount: 1, expires_in: 600 };
  await inParallel(
    32,
    times(HOLDS, () => hold),
    async (body) => {
      assert.equal((await request(service, 'POST', '/holds', body)).status, 202);
    },
  );
  await awaitNothingPending(database);
  await database.query(`update holds set expires_at = clock_timestamp()`);
  await until(async () => (await database.query(`select from holds where state = 'open' limit 1`)).length === 0, {
    timeoutMs: 30_000,
    what: 'every hold to have ended',
  });
  const [spread] = await database.query<{ ms: number }>(
    `select extract(epoch from max(completed_at) - min(completed_at)) * 1000 as ms from transfers where kind = 'expiry'`,
  );
  assert.ok(Number(spread?.ms) < 15_000, `They ended within ${spread?.ms} ms, without waiting for the next round.`);
  const account = await request(service, 'GET', '/accounts/ACC0');
  assert.deepEqual([account.body['held'], account.body['available']], [0, HOLDS]);
});

test('leases: each death of a process makes the jobs of its transfers smaller', async (t) => {
  const database = await createDatabase(t);
  const env = { ...LOAD_ENV, LOG_LEVEL: 'info', HEARTBEAT_MS: '100', ORPHANED_AFTER_MS: '500' };
  const first = await startService(t, { database, env });
  await openAccount(first, 'HOT', { balance: 100_000 });
  await openAccount(first, 'ANN');
  const unlock = await lockAccount(database, 'HOT');
  const order = { from_account: 'HOT', to_account: 'ANN', amount: 1 };
  const answer = await request(first, 'POST', '/transfers', { transfers: times(1000, () => order) });
  assert.equal(answer.status, 202, answer.text);
  await first.kill();
  const second = await startService(t, { database, env });
  await until(async () => (await database.query('select from pending_transfers where adoptions = 1')).length === 1000, {
    timeoutMs: 20_000,
    what: 'the second process to adopt',
  });
  await second.kill();
  await unlock();
  const third = await startService(t, { database, env });
  await awaitNothingPending(database, 60_000);
  const sizes = await until(
    () => {
      const jobs = third.logs().filter(({ msg }) => msg === 'job settled');
      const total = jobs.reduce((sum, { transfers }) => sum + Number(transfers), 0);
      return total >= 1000 && jobs.map(({ transfers }) => Number(transfers));
    },
    { what: 'the log of the jobs' },
  );
  // A sixteenth of 2048, twice adopted.
  assert.equal(Math.max(...sizes), 128);
  await checkPromises(database, { nothingPending: true });
});
