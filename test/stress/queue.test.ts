// Goal: requests beyond MAX_QUEUE are refused with 429 and leave no trace, neither stored nor in memory. Method: a lock
// that the test holds on an account keeps every job from ending, so that the queue fills and stays full as long as the
// test needs.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import {
  assertWorks,
  type Attempt,
  attempt,
  awaitNothingPending,
  count,
  countPending,
  findByRequestId,
  idOf,
  inParallel,
  isAccepted,
  LOAD_ENV,
  openAccount,
  openAccounts,
  describe,
  times,
} from './callers.ts';
import { lockAccount } from '../support/trouble.ts';

const MAX_QUEUE = 50;

test('queue: a burst is accepted up to the capacity, and the rest is not stored', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { ...LOAD_ENV, MAX_QUEUE: String(MAX_QUEUE) } });
  await openAccount(service, 'HOT', { balance: 1000 });
  await openAccount(service, 'ANN');
  const order = { from_account: 'HOT', to_account: 'ANN', amount: 1 };
  const unlock = await lockAccount(database, 'HOT');

  const attempts = await Promise.all(times(300, () => attempt(service, order)));
  const accepted = attempts.filter(isAccepted);
  const refused = attempts.filter((one) => !isAccepted(one));
  assert.equal(accepted.length, MAX_QUEUE);
  assert.equal(refused.length, 250);
  for (const one of refused) {
    const { answer } = one;
    assert.equal(answer?.status, 429, describe(one));
    assert.match(String(answer.headers['content-type']), /^application\/problem\+json/);
    assert.equal(answer.body.code, 'queue_full');
    assert.equal(answer.body.detail, 'transfer queue is full, please retry later');
    assert.match(String(answer.headers['retry-after']), /^[1-9]\d*$/);
  }

  const [stored] = await database.query<{ pending: number; settled: number; keys: number }>(`
    select
      (select count(*)::integer from pending_transfers) as pending,
      (select count(*)::integer from transfers where from_account = 'HOT') as settled,
      (select count(*)::integer from idempotency_keys) as keys`);
  assert.deepEqual(stored, { pending: MAX_QUEUE, settled: 0, keys: 0 });
  const found = await findByRequestId(
    database,
    attempts.map(({ requestId }) => requestId),
  );
  assert.deepEqual(found, new Map(accepted.map(({ requestId, answer }) => [requestId, idOf(answer)])));

  await unlock();
  await awaitNothingPending(database);
  await assertWorks(service, order);
  const again = await Promise.all(times(MAX_QUEUE, () => attempt(service, order)));
  assert.deepEqual(
    count(again.map(({ answer }) => answer?.status)),
    new Map([[202, MAX_QUEUE]]),
    'All places are back.',
  );
  await awaitNothingPending(database);

  const [balance] = await database.query(`select balance from accounts where account_number = 'HOT'`);
  assert.equal(balance?.['balance'], BigInt(1000 - MAX_QUEUE - 1 - MAX_QUEUE));
  await checkPromises(database, {
    accepted: [...accepted, ...again].map(({ answer }) => idOf(answer)),
    nothingPending: true,
  });
});

test('queue: a job that waits too long for a lock is retried, and no transfer fails for it', async (t) => {
  const database = await createDatabase(t);
  // Accounts that are opened at once wait for each other, too: they must get through on a busy machine.
  const service = await startService(t, { database, env: { ...LOAD_ENV, DB_LOCK_TIMEOUT_MS: '500' } });
  await openAccount(service, 'HOT', { balance: 1000 });
  const others = await openAccounts(service, 'ACC', 10);
  const unlock = await lockAccount(database, 'HOT');

  const attempts: Attempt[] = [];
  await inParallel(
    20,
    times(200, (index) => others[index % others.length] ?? ''),
    async (other) => {
      attempts.push(await attempt(service, { from_account: 'HOT', to_account: other, amount: 1 }));
    },
  );
  assert.deepEqual(count(attempts.map(({ answer }) => answer?.status)), new Map([[202, 200]]));
  await until(() => service.logs().some((line) => line['sqlstate'] === '55P03'), {
    timeoutMs: 30_000,
    what: 'a job to have used up its attempts',
  });
  assert.equal(await countPending(database), 200);

  await unlock();
  await awaitNothingPending(database);
  const outcomes = await database.query(
    `select status, count(*)::integer from transfers where from_account = 'HOT' group by status`,
  );
  assert.deepEqual(outcomes, [{ status: 'completed', count: 200 }]);
  await checkPromises(database, { accepted: attempts.map(({ answer }) => idOf(answer)), nothingPending: true });
});

test('queue: an overload far beyond the capacity does not grow the process', async (t) => {
  const STORM_MS = 6000;
  const WARM_UP_MS = 2000;
  const database = await createDatabase(t);
  // A heap of 64 MB: if something were kept of each request, the process would soon run out of memory.
  const env = { ...LOAD_ENV, MAX_QUEUE: String(MAX_QUEUE), NODE_OPTIONS: '--max-old-space-size=64' };
  const service = await startService(t, { database, env });
  const accounts = await openAccounts(service, 'ACC', 10, { balance: 1_000_000 });
  const accepted: string[] = [];
  const statuses = new Map<number | undefined, number>();
  const kibibytes: number[] = [];
  const startedAt = performance.now();
  const elapsedMs = (): number => performance.now() - startedAt;

  const call = async (caller: number): Promise<void> => {
    const order = {
      from_account: accounts[caller % 10] ?? '',
      to_account: accounts[(caller + 1) % 10] ?? '',
      amount: 1,
    };
    while (elapsedMs() < STORM_MS) {
      const { answer } = await attempt(service, order);
      statuses.set(answer?.status, (statuses.get(answer?.status) ?? 0) + 1);
      if (answer?.status === 202) accepted.push(idOf(answer));
    }
  };
  const watch = async (): Promise<void> => {
    await sleep(WARM_UP_MS);
    while (elapsedMs() < STORM_MS) {
      kibibytes.push(await readResidentKibibytes(service.pid));
      await sleep(50);
    }
  };
  await Promise.all([...times(200, call), watch()]);
  await awaitNothingPending(database);

  const [stored] = await database.query(
    `select count(*)::integer as count from transfers where from_account <> '@external'`,
  );
  assert.equal(stored?.['count'], accepted.length, 'Only accepted transfers are stored.');
  assert.deepEqual(new Set(statuses.keys()), new Set([202, 429]));
  assert.ok((statuses.get(429) ?? 0) > 500, 'The test needs many refusals.');
  const quarter = Math.floor(kibibytes.length / 4);
  const [before, after] = [median(kibibytes.slice(0, quarter)), median(kibibytes.slice(-quarter))];
  t.diagnostic(`${statuses.get(202)} accepted, ${statuses.get(429)} refused; ${before} KiB, then ${after} KiB`);
  assert.ok(after < before * 1.2, `The process grew from ${before} to ${after} KiB.`);
  await assertWorks(service, { from_account: 'ACC0', to_account: 'ACC1', amount: 1 });
  await checkPromises(database, { accepted, nothingPending: true });
});

async function readResidentKibibytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const resident = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  assert.ok(resident, 'The kernel reports the memory of a process.');
  return Number(resident);
}

function median(numbers: readonly number[]): number {
  const middle = [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
  assert.ok(middle !== undefined, 'There must be samples.');
  return middle;
}

test('queue: due holds that wait for a lock leave callers a part of it', async (t) => {
  const database = await createDatabase(t);
  const env = { ...LOAD_ENV, MAX_QUEUE: String(MAX_QUEUE), HEARTBEAT_MS: '200' };
  const service = await startService(t, { database, env });
  await openAccount(service, 'HOT', { balance: 1000 });
  await openAccount(service, 'ANN');
  await openAccount(service, 'BOB', { balance: 1000 });
  await openAccount(service, 'CID');
  const hold = { from_account: 'HOT', to_account: 'ANN', amount: 1, expires_in: 600 };
  await inParallel(
    8,
    times(2 * MAX_QUEUE, () => hold),
    async (body) => {
      assert.equal((await request(service, 'POST', '/holds', body, { prefer: 'wait=20' })).status, 200);
    },
  );
  const unlock = await lockAccount(database, 'HOT');
  await database.query(`update holds set expires_at = clock_timestamp()`);
  await until(
    async () => {
      const sql = `select from pg_stat_activity
        where datname = current_database() and application_name = 'gopherpay thread' and wait_event_type = 'Lock'`;
      return (await database.query(sql)).length > 0;
    },
    { what: 'the expiries to wait for the lock' },
  );
  const order = { from_account: 'BOB', to_account: 'CID', amount: 1 };
  const answer = await request(service, 'POST', '/transfers', order);
  assert.equal(answer.status, 202, answer.text);
  await unlock();
  await until(async () => (await database.query(`select from holds where state = 'open' limit 1`)).length === 0, {
    timeoutMs: 30_000,
    what: 'every hold to have ended',
  });
  await awaitNothingPending(database);
  const account = await request(service, 'GET', '/accounts/HOT');
  assert.deepEqual([account.body['held'], account.body['available']], [0, 1000]);
});
