// Goal: the journal of a ledger with a test clock never goes back and never leaves its clock, whatever races with an
// advance. Method: jobs and advances of two processes at once, locks that hold one of them up, and a process that dies.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { findAll } from '../support/audit.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { type Answer, request, type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { awaitNothingPending, inParallel, times } from './callers.ts';

const ACCOUNTS = 8;
const DAY = 24 * 3600;
const WAIT = { Prefer: 'wait=20' };

/** Creates the ledger `shop`, whose clock begins with the year, and its accounts. */
async function createShop(service: Service): Promise<void> {
  const shop = { name: 'shop', clock: 'manual', now: dayOf(0) };
  assert.equal((await request(service, 'POST', '/ledgers', shop)).status, 201);
  const accounts = times(ACCOUNTS, (index) => ({ account_number: `ACC${index}`, name: 'Ann', balance: 1000 }));
  assert.equal((await request(service, 'POST', '/ledgers/shop/accounts', { accounts })).status, 201);
}

/** The instant at which a day begins, counted from the start of the clock. */
function dayOf(day: number): string {
  return new Date(Date.UTC(2026, 0, 1 + day)).toISOString();
}

async function post(
  service: Service,
  path: string,
  body: object,
  headers: Record<string, string> = {},
): Promise<Answer<Record<string, unknown>>> {
  return await request(service, 'POST', `/ledgers/shop${path}`, body, headers);
}

async function checkBooks(scope: Scope, database: TestDatabase): Promise<void> {
  await checkPromises(database, { nothingPending: true });
  const connection = await connect(database.admin, READING_TIMEOUTS, { applicationName: 'audit' });
  onEnd(scope, async () => await disconnect(connection));
  assert.deepEqual((await findAll(connection)).discrepancies, []);
}

test('clock: jobs and advances of two processes leave a journal that never goes back', async (t) => {
  const database = await createDatabase(t);
  const env = { LOG_LEVEL: 'warn', THREADS: '2' };
  const services = [await startService(t, { database, env }), await startService(t, { database, env })] as const;
  await createShop(services[0]);
  await until(async () => (await request(services[1], 'GET', '/ledgers/shop')).status === 200, { what: 'the ledger' });
  const past: { at: string; balance: unknown }[] = [];
  await inParallel(
    12,
    times(600, (index) => index),
    async (index) => {
      const service = services[index % 2 === 0 ? 0 : 1];
      const order = {
        from_account: `ACC${index % ACCOUNTS}`,
        to_account: `ACC${(index * 3 + 1) % ACCOUNTS}`,
        amount: 1,
      };
      if (index % 20 === 19) {
        const now = dayOf((index + 1) / 20);
        const answer = await post(service, '/clock', { now });
        // Another caller was faster.
        if (answer.status === 409) assert.equal(answer.body['code'], 'clock_is_later', answer.text);
        else assert.equal(answer.status, 200, answer.text);
        const at = dayOf((index + 1) / 20 - 1);
        const balance = await request(service, 'GET', `/ledgers/shop/accounts/ACC0/balance?at=${at}`);
        assert.equal(balance.status, 200, balance.text);
        past.push({ at, balance: balance.body });
      } else if (index % 4 === 0) {
        const held = await post(service, '/holds', { ...order, expires_in: (1 + (index % 5)) * DAY }, WAIT);
        assert.equal(held.status, 200, held.text);
        if (index % 8 === 0) await post(service, `/holds/${String(held.body['id'])}/capture`, {}, WAIT);
      } else {
        const paid = await post(service, '/transfers', order, index % 3 === 0 ? WAIT : {});
        assert.ok(paid.status === 200 || paid.status === 202, paid.text);
      }
    },
  );
  await awaitNothingPending(database);
  const end = await post(services[1], '/clock', { now: dayOf(60) });
  assert.deepEqual([end.status, end.body['now']], [200, dayOf(60).replace('.000', '')], end.text);
  assert.deepEqual(await database.query(`select from holds where state = 'open'`), []);
  for (const { at, balance } of past) {
    const again = await request(services[0], 'GET', `/ledgers/shop/accounts/ACC0/balance?at=${at}`);
    assert.deepEqual(again.body, balance);
  }
  await checkBooks(t, database);
});

test('clock: a capture whose hold became due by an advance before its place in the journal fails', async (t) => {
  const database = await createDatabase(t);
  const env = { LOG_LEVEL: 'warn', HEARTBEAT_MS: '20000', ORPHANED_AFTER_MS: '60000' };
  const service = await startService(t, { database, env });
  await createShop(service);
  const order = { from_account: 'ACC0', to_account: 'ACC1', amount: 7, expires_in: 30 * DAY };
  const held = await post(service, '/holds', order, WAIT);
  const head = await database.connect();
  await head.query(`begin; select from journal_head where clock is not null for update`);
  const capture = await post(service, `/holds/${String(held.body['id'])}/capture`, {});
  assert.equal(capture.status, 202, capture.text);
  await until(
    async () =>
      (
        await database.query(
          `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        )
      ).length > 0,
    { what: 'the job to wait for the head' },
  );
  // As an advance does, but without its row of the journal.
  await head.query(`update journal_head set clock = '${dayOf(31)}' where clock is not null; commit`);
  const path = `/ledgers/shop/transfers/${String(capture.body['id'])}`;
  const transfer = await until(
    async () => {
      const { body } = await request(service, 'GET', path);
      return body['status'] === 'pending' ? undefined : body;
    },
    { what: 'the capture to end' },
  );
  assert.deepEqual([transfer['status'], transfer['failure_code']], ['failed', 'hold_expired']);
});

test('clock: holds that a dying process made due are expired by another', async (t) => {
  const database = await createDatabase(t);
  const env = { LOG_LEVEL: 'warn', THREADS: '1', DB_LOCK_TIMEOUT_MS: '60000', DB_STATEMENT_TIMEOUT_MS: '90000' };
  const dying = await startService(t, { database, env });
  await createShop(dying);
  await inParallel(
    8,
    times(100, (index) => index),
    async (index) => {
      const order = { from_account: `ACC${index % ACCOUNTS}`, to_account: '@external', amount: 1, expires_in: DAY };
      assert.equal((await post(dying, '/holds', order, WAIT)).status, 200);
    },
  );
  const lock = await database.connect();
  await lock.query('begin; select from accounts for update');
  const advancing = post(dying, '/clock', { now: dayOf(2) }).catch(() => null);
  await until(async () => (await database.query(`select from journal_head where clock = '${dayOf(2)}'`)).length === 1, {
    what: 'the clock to advance',
  });
  await dying.kill();
  await advancing;
  assert.equal((await database.query(`select from holds where state = 'open'`)).length, 100);
  await lock.query('rollback');
  const other = await startService(t, { database, env });
  const again = await post(other, '/clock', { now: dayOf(2) });
  assert.equal(again.status, 200, again.text);
  assert.deepEqual(await database.query(`select from holds where state = 'open'`), []);
  await checkBooks(t, database);
});

test('clock: an advance that cannot expire a hold in time is answered with 202', async (t) => {
  const database = await createDatabase(t);
  const env = { LOG_LEVEL: 'warn', THREADS: '1', DB_LOCK_TIMEOUT_MS: '60000', DB_STATEMENT_TIMEOUT_MS: '90000' };
  const service = await startService(t, { database, env });
  await createShop(service);
  const order = { from_account: 'ACC0', to_account: 'ACC1', amount: 7, expires_in: DAY };
  const held = await post(service, '/holds', order, WAIT);
  const lock = await database.connect();
  await lock.query('begin; select from accounts for update');
  const answer = await post(service, '/clock', { now: dayOf(2) });
  assert.deepEqual([answer.status, answer.body['now']], [202, dayOf(2).replace('.000', '')], answer.text);
  await lock.query('rollback');
  await until(
    async () =>
      (await request(service, 'GET', `/ledgers/shop/holds/${String(held.body['id'])}`)).body['state'] === 'expired',
    { what: 'the hold to expire' },
  );
});
