// Goal: a transfer that the database refuses to write fails alone, and an alert is logged. Method: a constraint that
// only one transfer of a full job breaks, through real threads; then one that not even the failure of it can satisfy.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { awaitFinal, request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import {
  assertWorks,
  awaitNothingPending,
  countPending,
  idOf,
  openAccount,
  post,
  postAccepted,
  times,
} from './callers.ts';
import { lockAccount } from '../support/trouble.ts';

const ORDERS = 60;

test('poison: a transfer that cannot be written fails alone, with an alert, and the rest of its job is settled', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '2', LOG_LEVEL: 'info' } });
  await openAccount(service, 'ANN', { balance: 1000 });
  await openAccount(service, 'BOB');
  // Its failure can be written, its completion cannot.
  await database.query(
    `alter table transfers add constraint transfers_no_poison check (amount <> 13 or status = 'failed') not valid`,
  );
  // While this job waits for the lock, the others gather in one job.
  const unlock = await lockAccount(database, 'ANN');
  const order = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
  const waiting = [await postAccepted(service, order), await postAccepted(service, order)];
  await until(
    async () => {
      const rows = await database.query(
        `select from pg_stat_activity
         where datname = current_database() and application_name = 'gopherpay thread' and wait_event_type = 'Lock'`,
      );
      if (rows.length < 2) waiting.push(await postAccepted(service, order));
      return rows.length === 2;
    },
    { what: 'both threads to wait' },
  );
  const answers = await Promise.all(
    times(ORDERS, (index) => post(service, { ...order, amount: index === 40 ? 13 : 1 })),
  );
  const ids = answers.map(idOf);
  const poison = ids[40] ?? '';
  await unlock();
  await awaitNothingPending(database);

  const ended = await database.query<{ id: string; status: string; failure_code: string | null }>(
    'select id, status, failure_code from transfers where id = any($1::uuid[])',
    [[...ids, ...waiting]],
  );
  assert.deepEqual(
    ended.filter(({ status }) => status !== 'completed'),
    [{ id: poison, status: 'failed', failure_code: 'cannot_be_settled' }],
  );
  assert.equal(ended.length, ids.length + waiting.length);
  // Lines of the log are gathered for a moment before they are written.
  const findSplit = () => service.logs().filter(({ msg }) => msg === 'poison job bisected');
  await until(() => findSplit().some(({ transfers }) => Number(transfers) > 1), { what: 'a job to be split' });
  const split = findSplit();
  for (const { level, sqlstate } of split) assert.deepEqual([level, sqlstate], [50, '23514']);
  // The line comes right after the commit.
  const findAlarms = () => service.logs().filter(({ msg }) => msg === 'poison transfer quarantined');
  await until(() => findAlarms().length > 0, { what: 'the alarm' });
  const alarms = findAlarms();
  assert.deepEqual(
    alarms.map(({ level, transfer_ids }) => ({ level, transfer_ids })),
    [{ level: 50, transfer_ids: [poison] }],
  );
  const metrics = await request(service, 'GET', '/metrics');
  assert.match(metrics.text, /^gopherpay_transfers_quarantined_total 1$/m);
  assert.match(metrics.text, /^gopherpay_jobs_total\{result="poisoned"\} [1-9]/m);
  const balance = (await request(service, 'GET', '/accounts/BOB')).body['balance'];
  assert.equal(balance, ids.length - 1 + waiting.length);
  await assertWorks(service, order);
  await checkPromises(database, { accepted: [...ids, ...waiting], nothingPending: true });
});

test('poison: a transfer whose failure cannot be written stays pending, delays no other, and ends later', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '2', LOG_LEVEL: 'warn' } });
  await openAccount(service, 'ANN', { balance: 1000 });
  await openAccount(service, 'BOB');
  await database.query('alter table transfers add constraint transfers_no_poison check (amount <> 13) not valid');
  const order = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
  const poison = await postAccepted(service, { ...order, amount: 13 });
  const countAlarms = (): number =>
    service.logs().filter(({ msg, sqlstate }) => msg === 'poison job bisected' && sqlstate === '23514').length;
  await until(() => countAlarms() >= 4, { timeoutMs: 20_000, what: 'it to have been tried again' });
  for (let turn = 0; turn < 3; turn += 1) await assertWorks(service, order);
  assert.equal(await countPending(database), 1);
  await database.query('alter table transfers drop constraint transfers_no_poison');
  const ended = await awaitFinal(service, poison);
  assert.deepEqual([ended['status'], ended['failure_code']], ['failed', 'cannot_be_settled']);
  await checkPromises(database, { accepted: [poison], nothingPending: true });
});

test('poison: a transfer of a hundred dead processes is settled, unless six of them had tried it alone', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, {
    database,
    env: { THREADS: '2', HEARTBEAT_MS: '100', ORPHANED_AFTER_MS: '1000' },
  });
  await openAccount(service, 'ANN', { balance: 1000 });
  await openAccount(service, 'BOB');
  const unlock = await lockAccount(database, 'ANN');
  const pending = await database.query<{ id: string; lone_deaths: number }>(
    `insert into pending_transfers (ledger_id, id, lease_id, amount, from_account, to_account, adoptions, lone_deaths)
     select 1, gen_random_uuid(), lease.id, 1, 'ANN', 'BOB', 100, lone_deaths
     from gen_random_uuid() as lease (id)
     cross join unnest(array[5, 6]) as died (lone_deaths)
     returning id, lone_deaths`,
  );
  await database.query('update leases set accepted_count = accepted_count + 2 where not closed');
  await until(
    async () => {
      const waiting = await database.query(
        `select from pg_stat_activity
         where datname = current_database() and application_name = 'gopherpay' and query like '%for update%' and wait_event_type = 'Lock'`,
      );
      return waiting.length === 1;
    },
    { what: 'the trial to wait for its accounts' },
  );
  assert.deepEqual(await database.query('select from pending_transfers where on_trial'), []);
  await unlock();
  await awaitNothingPending(database);
  const ended = await Promise.all(pending.map(async ({ id }) => (await awaitFinal(service, id))['failure_code']));
  assert.deepEqual(
    pending.map(({ lone_deaths }, index) => [lone_deaths, ended[index]]),
    [
      [5, null],
      [6, 'cannot_be_settled'],
    ],
  );
  await checkPromises(database, { accepted: pending.map(({ id }) => id), nothingPending: true });
});
