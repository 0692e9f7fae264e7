// Goal: the decisions of a job are true at its position in the journal. Method: an account is opened, or a hold becomes
// due, between the job's locks and its row of the journal, because the test holds the journal's head.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { awaitFinal, request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { idOf, openAccounts, post } from './callers.ts';

/**
 * Locks the journal's head, like a job, until the returned function is called. `closing`: the journal is then past that
 * time. Sessions that wait for a row which is then changed get it in any order; otherwise in the order in which they came.
 */
async function holdHead(database: TestDatabase, { closing }: { closing: boolean }): Promise<() => Promise<void>> {
  const holder = await database.connect();
  await holder.query('begin');
  await holder.query('select from journal_head for update');
  return async () => {
    if (closing) await holder.query('update journal_head set closed_until = clock_timestamp()');
    await holder.query('commit');
  };
}

/** Waits until so many sessions of the service wait for a lock. */
async function awaitWaiting(database: TestDatabase, count: number): Promise<void> {
  await until(
    async () => {
      const waiting = await database.query(
        `select from pg_stat_activity where datname = current_database() and application_name like 'gopherpay%'
         and wait_event_type = 'Lock'`,
      );
      return waiting.length === count;
    },
    { what: `${count} sessions to wait` },
  );
}

test('decision: a transfer to an account that was opened before it in the journal completes', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { LOG_LEVEL: 'warn' } });
  await openAccounts(service, 'ACC', 1, { balance: 100 });
  const release = await holdHead(database, { closing: false });
  const opening = request(service, 'POST', '/accounts', { account_number: 'NEW', name: 'New' });
  await awaitWaiting(database, 1);
  const id = idOf(await post(service, { from_account: 'ACC0', to_account: 'NEW', amount: 7 }));
  await awaitWaiting(database, 2);
  await release();
  assert.equal((await opening).status, 201);
  const transfer = await awaitFinal(service, id);
  assert.deepEqual([transfer['status'], transfer['failure_code']], ['completed', null]);
  await checkPromises(database, { accepted: [id], nothingPending: true });
});

test('decision: a capture whose hold became due before its place in the journal fails', async (t) => {
  const database = await createDatabase(t);
  const env = { LOG_LEVEL: 'warn', HEARTBEAT_MS: '20000', ORPHANED_AFTER_MS: '60000' };
  const service = await startService(t, { database, env });
  await openAccounts(service, 'ACC', 2, { balance: 100 });
  const wait = { Prefer: 'wait=5' };
  const hold = { from_account: 'ACC0', to_account: 'ACC1', amount: 7, expires_in: 2 };
  const held = await request(service, 'POST', '/holds', hold, wait);
  assert.equal(held.body['status'], 'completed', held.text);
  const holdId = String(held.body['id']);
  const release = await holdHead(database, { closing: true });
  const capture = await request(service, 'POST', `/holds/${holdId}/capture`);
  assert.equal(capture.status, 202, capture.text);
  await awaitWaiting(database, 1);
  await until(
    async () => (await database.query('select from holds where expires_at < clock_timestamp()')).length === 1,
    { what: 'the hold to be due' },
  );
  await release();
  const transfer = await awaitFinal(service, String(capture.body['id']));
  assert.deepEqual([transfer['status'], transfer['failure_code']], ['failed', 'hold_expired']);
});

test('decision: a capture is decided by the time of the journal after the clock went back', async (t) => {
  const database = await createDatabase(t);
  const env = { LOG_LEVEL: 'warn', HEARTBEAT_MS: '20000', ORPHANED_AFTER_MS: '60000' };
  const service = await startService(t, { database, env });
  await openAccounts(service, 'ACC', 2, { balance: 100 });
  const hold = { from_account: 'ACC0', to_account: 'ACC1', amount: 7, expires_in: 600 };
  const held = await request(service, 'POST', '/holds', hold, { Prefer: 'wait=5' });
  assert.equal(held.body['status'], 'completed', held.text);
  // As it looks after the clock went back by an hour: the journal is closed beyond the end of the hold.
  await database.query(`update journal_head set closed_until = clock_timestamp() + interval '1 hour'`);
  const capture = await request(service, 'POST', `/holds/${String(held.body['id'])}/capture`, undefined, {
    Prefer: 'wait=5',
  });
  assert.deepEqual([capture.body['status'], capture.body['failure_code']], ['failed', 'hold_expired'], capture.text);
});
