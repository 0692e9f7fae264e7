// A commit that no synchronous standby has confirmed counts as lost, however its wait ended. Method: a server that waits
// for a standby that does not exist.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, test, type TestContext } from 'node:test';
import { readAddress } from '../../src/db/connection/address.ts';
import { connect, createPool, disconnect } from '../../src/db/connection/connect.ts';
import { UnreplicatedError } from '../../src/db/connection/errors.ts';
import { noteTimeline } from '../../src/db/connection/known-hosts.ts';
import { CommitUnknownError, Transaction, withTransaction } from '../../src/db/connection/transaction.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { until } from '../support/until.ts';
import { open, timeouts } from './sessions.ts';

let server: TestServer;

before(async (scope) => {
  server = await startServer('embedded', '');
  onEnd(scope, () => server.stop());
});

for (const [how, end] of Object.entries({ canceled: 'pg_cancel_backend', terminated: 'pg_terminate_backend' })) {
  for (const pipeline of [false, true]) {
    const kind = pipeline ? 'pipelined' : 'plain';
    test(`replication: a ${kind} commit whose wait is ${how} is unknown, and took effect on the server`, async (t) => {
      const database = await createDatabase(t, server);
      await loseWarnings(database);
      const connection = await open(t, database.settings, { pipeline });
      await requireStandby(t, database);
      const transaction = await Transaction.begin(connection);
      const inserted = transaction.connection.query('insert into leases (id) values (gen_random_uuid())');
      const failing = assert.rejects(transaction.commit([inserted]), CommitUnknownError);
      await endWait(database, end);
      await failing;
      await assert.rejects(connection.query('select 1'));
      assert.equal((await database.query('select from leases')).length, 1);
    });

    test(`replication: a ${kind} statement whose commit is ${how} fails, also one that has answered`, async (t) => {
      const database = await createDatabase(t, server);
      await loseWarnings(database);
      const connection = await open(t, database.settings, { pipeline });
      await requireStandby(t, database);
      const insert = 'insert into leases (id) values ($1::uuid)';
      const failing = assert.rejects(connection.query(insert, [randomUUID()]), UnreplicatedError);
      await endWait(database, end);
      await failing;
      assert.equal((await database.query('select from leases')).length, 1);
    });
  }
}

test('replication: no timeout of the session ends the wait for a standby', async (t) => {
  const database = await createDatabase(t, server);
  const bounds = { ...timeouts, statementTimeoutMs: 200, lockTimeoutMs: 200, idleInTransactionTimeoutMs: 200 };
  const connection = await connect(database.settings, bounds, { applicationName: 'test' });
  onEnd(t, () => disconnect(connection));
  await requireStandby(t, database);
  const startedAt = performance.now();
  const inserting = connection.query('insert into leases (id) values ($1::uuid)', [randomUUID()]);
  await until(() => performance.now() > startedAt + 1000, { what: 'five times the bounds to pass' });
  assert.equal((await waitersOf(database)).length, 1);
  await allowCommits(database);
  assert.equal((await inserting).rowCount, 1);
});

test('replication: a pool does not report what no standby has confirmed', async (t) => {
  const database = await createDatabase(t, server);
  const pool = createPool(database.settings, timeouts, 2);
  onEnd(t, () => pool.end());
  await pool.query('select 1');
  await requireStandby(t, database);
  const insert = 'insert into leases (id) values (gen_random_uuid())';
  const failing = assert.rejects(pool.query(insert), UnreplicatedError);
  await endWait(database, 'pg_cancel_backend');
  await failing;
});

test('replication: all sessions end with an unreplicated commit, and new ones wait for a standby', async (t) => {
  const database = await createDatabase(t, server);
  const pool = createPool(database.settings, { ...timeouts, connectTimeoutMs: 700 }, 2);
  onEnd(t, () => pool.end());
  const reader = await open(t, database.settings);
  await pool.query('select 1');
  await requireStandby(t, database);
  const changing = withTransaction(pool, async (connection) => {
    await connection.query('insert into leases (id) values (gen_random_uuid())');
  });
  const failing = assert.rejects(changing, CommitUnknownError);
  await endWait(database, 'pg_cancel_backend');
  await failing;
  await until(() => reader.connection.stream.destroyed, { what: 'the other session to end' });
  await assert.rejects(pool.query('select from leases'), UnreplicatedError);
  const bounds = { ...timeouts, connectTimeoutMs: 300 };
  await assert.rejects(connect(database.settings, bounds, { applicationName: 'test' }), UnreplicatedError);
  assert.equal((await waitersOf(database)).length, 1, 'One session waits on behalf of all.');
  await allowCommits(database);
  assert.equal((await pool.query('select from leases')).rowCount, 1);
});

/** The role loses warnings by its own settings, which the session must not. */
test('replication: a former primary is refused at once, and no session waits there for a standby', async (t) => {
  const database = await createDatabase(t, server);
  const [first, second] = [await startProxy(t, database), await startProxy(t, database)];
  await requireStandby(t, database);
  const connectionString = first.url.replace(`:${first.port}/`, `:${first.port},127.0.0.1:${second.port}/`);
  const address = readAddress({ connectionString });
  noteTimeline(address, address.hosts[0], 1000);
  const opening = connect({ connectionString }, timeouts, { applicationName: 'test' });
  await assert.rejects(opening, /The server is a former primary: .*The server is a former primary: /);
  assert.deepEqual(await waitersOf(database), []);
});

async function loseWarnings(database: TestDatabase): Promise<void> {
  await database.query(`alter role gopherpay_service in database ${database.name} set client_min_messages = error`);
}

/** From now on commits wait for a standby that does not exist, until the test ends. */
async function requireStandby(t: TestContext, database: TestDatabase): Promise<void> {
  onEnd(t, () => allowCommits(database));
  await database.query(`alter system set synchronous_standby_names = 'missing'`);
  await database.query('select pg_reload_conf()');
  // The server begins to wait a moment later.
  const prober = await database.connect();
  const isWaiting = async (): Promise<boolean> => {
    let done = false;
    const probe = prober.query(`select pg_logical_emit_message(true, 'test', '')`).finally(() => {
      done = true;
    });
    await until(async () => done || (await waitersOf(database)).length > 0, { what: 'a commit' });
    const waits = !done;
    if (waits) await endWait(database, 'pg_cancel_backend');
    await probe;
    return waits;
  };
  await until(isWaiting, { what: 'commits to wait' });
}

async function allowCommits(database: TestDatabase): Promise<void> {
  await database.query('alter system reset synchronous_standby_names');
  await database.query('select pg_reload_conf()');
  await until(async () => (await waitersOf(database)).length === 0, { what: 'commits to go on' });
}

/** Ends the wait of the session that waits for a standby, once there is one. */
async function endWait(database: TestDatabase, how: string): Promise<void> {
  const [pid] = await until(
    async () => {
      const waiters = await waitersOf(database);
      return waiters.length > 0 && waiters;
    },
    { what: 'a commit to wait' },
  );
  await database.query(`select ${how}($1::integer)`, [pid]);
  await until(async () => !(await waitersOf(database)).includes(pid ?? 0), { what: 'the wait to end' });
}

async function waitersOf(database: TestDatabase): Promise<number[]> {
  const rows = await database.query<{ pid: number }>(
    `select pid from pg_stat_activity where wait_event = 'SyncRep' and datname = current_database()`,
  );
  return rows.map(({ pid }) => pid);
}
