// Connections that fail silently, on either side.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import Cursor from 'pg-cursor';
import { connect, createPool, type DatabaseTimeouts, disconnect } from '../../src/db/connection/connect.ts';
import { suspectConnections, readRows, SilenceError } from '../../src/db/connection/silence.ts';
import { retryPolicyOf } from '../../src/db/connection/errors.ts';
import { CommitUnknownError, withTransaction } from '../../src/db/connection/transaction.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

const ANSWER_MS = 600;
const timeouts: DatabaseTimeouts = {
  connectTimeoutMs: 500,
  statementTimeoutMs: 60_000,
  lockTimeoutMs: 60_000,
  idleInTransactionTimeoutMs: 60_000,
  answerTimeoutMs: ANSWER_MS,
  probeTimeoutMs: 2500,
  disconnectTimeoutMs: 1000,
};
const patient = { ...timeouts, answerTimeoutMs: 60_000 };

for (const pipeline of [true, false]) {
  const kind = pipeline ? 'pipelined' : 'plain';
  const statements = pipeline ? ['begin', 'select 2', 'commit'] : ['select 2'];
  test(`connect: ${kind} statements without answers fail, and so does their connection`, async (t) => {
    const proxy = await startProxy(t, await createDatabase(t));
    const connection = await connect({ connectionString: proxy.url }, timeouts, { applicationName: 'test', pipeline });
    onEnd(t, () => disconnect(connection));
    await connection.query('select 1');
    proxy.swallow();
    const startedAt = performance.now();
    const failures = await Promise.all(
      statements.map(
        async (text) => await connection.query(text).then(() => assert.fail('There was an answer.'), checkSilence),
      ),
    );
    assert.equal(failures.length, statements.length);
    assertBetween(performance.now() - startedAt, ANSWER_MS - 50, ANSWER_MS + 1000);
    await assert.rejects(connection.query('select 3'));
    const endedAt = performance.now();
    await disconnect(connection);
    assertBetween(performance.now() - endedAt, 0, 300);
  });
}

test('connect: a slow statement is awaited as long as any bytes arrive', async (t) => {
  const database = await createDatabase(t);
  const connection = await connect(database.settings, timeouts, { applicationName: 'test', pipeline: true });
  onEnd(t, () => disconnect(connection));
  const nap = `select pg_sleep(${(ANSWER_MS * 0.7) / 1000})`;
  // After it, the server counts as slow: each statement is answered by itself.
  await connection.query(nap);
  await Promise.all([connection.query(nap), connection.query(nap), connection.query(nap)]);
  await assert.rejects(connection.query(`select pg_sleep(${(ANSWER_MS * 3) / 1000})`), /silent for 600 ms/);
});

test('connect: a silent connection is closed at its next statement, not while idle', async (t) => {
  const proxy = await startProxy(t, await createDatabase(t));
  const connection = await connect({ connectionString: proxy.url }, timeouts, { applicationName: 'test' });
  onEnd(t, () => disconnect(connection));
  await connection.query('select 1');
  const end = performance.now() + 2.5 * ANSWER_MS;
  await until(() => performance.now() > end, { what: 'more than twice the bound to pass' });
  assert.equal((await connection.query('select 1 as one')).rows[0]?.one, 1);
  const again = performance.now() + 2.5 * ANSWER_MS;
  await until(() => performance.now() > again, { what: 'the bound to pass again' });
  proxy.swallow();
  const startedAt = performance.now();
  await assert.rejects(connection.query('select 1'), /silent for 600 ms/);
  assertBetween(performance.now() - startedAt, ANSWER_MS - 50, ANSWER_MS + 1000);
});

test('connect: connecting through a network that drops every byte fails in time', async (t) => {
  const proxy = await startProxy(t, await createDatabase(t));
  proxy.swallow();
  const startedAt = performance.now();
  await assert.rejects(
    connect({ connectionString: proxy.url }, timeouts, { applicationName: 'test' }),
    /timeout expired/,
  );
  assertBetween(performance.now() - startedAt, 400, 1500);
});

test('connect: a connection closes within about a second, even if the server does not close its side', async (t) => {
  const proxy = await startProxy(t, await createDatabase(t));
  const connection = await connect({ connectionString: proxy.url }, patient, { applicationName: 'test' });
  proxy.swallow();
  const startedAt = performance.now();
  await disconnect(connection);
  assertBetween(performance.now() - startedAt, 900, 2000);
});

test('connect: a pool closes silent connections, and opens new ones when it can', async (t) => {
  const proxy = await startProxy(t, await createDatabase(t));
  const pool = createPool({ connectionString: proxy.url }, timeouts, 2);
  onEnd(t, () => pool.end());
  await Promise.all([pool.query('select 1'), pool.query('select 1')]);
  proxy.swallow();
  const startedAt = performance.now();
  // The first two are sent and not answered; the others time out waiting for a connection.
  const asked = await Promise.allSettled(Array.from({ length: 5 }, async () => await pool.query('select 1')));
  assert.deepEqual(
    asked.map((one) => one.status === 'rejected' && retryPolicyOf(one.reason)),
    asked.map(() => 'new connection'),
  );
  assertBetween(performance.now() - startedAt, 500, 2500);
  await proxy.heal();
  await pool.query('select 1');
});

test('connect: a suspect pool probes every connection, and closes those that do not answer', async (t) => {
  const database = await createDatabase(t);
  const proxy = await startProxy(t, database);
  const open = async (connectionString: string) => {
    const connection = await connect({ connectionString }, patient, { applicationName: 'test' });
    onEnd(t, () => disconnect(connection));
    return connection;
  };
  const [asking, resting] = [await open(proxy.url), await open(proxy.url)];
  const well = await connect(database.settings, patient, { applicationName: 'test' });
  onEnd(t, () => disconnect(well));
  const pool = createPool({ connectionString: proxy.url }, patient, 1);
  onEnd(t, () => pool.end());
  await pool.query('select 1');
  proxy.swallow();
  const asked = asking.query('select 1');
  await proxy.heal();
  const startedAt = performance.now();
  suspectConnections();
  await assert.rejects(asked, SilenceError);
  await until(() => resting.connection.stream.destroyed, { what: 'the connection at rest to be given up' });
  assertBetween(performance.now() - startedAt, 2000, 4500);
  // The pool has opened a new connection, and the live ones are unchanged.
  await pool.query('select 1');
  await well.query('select 1');
});

test('connect: a cursor may be idle between fetches, but fails if fetched rows do not arrive', async (t) => {
  const proxy = await startProxy(t, await createDatabase(t));
  const connection = await connect({ connectionString: proxy.url }, timeouts, { applicationName: 'test' });
  onEnd(t, () => disconnect(connection));
  const cursor = connection.query(new Cursor('select generate_series(1, 100)'));
  assert.equal((await readRows(connection, cursor, 10)).length, 10);
  const end = performance.now() + 2.5 * ANSWER_MS;
  await until(() => performance.now() > end, { what: 'more than twice the bound to pass' });
  assert.equal((await readRows(connection, cursor, 10)).length, 10);
  proxy.swallow();
  const startedAt = performance.now();
  await assert.rejects(readRows(connection, cursor, 10), /^Error: The database was silent for 600 ms$/);
  assertBetween(performance.now() - startedAt, ANSWER_MS - 50, ANSWER_MS + 1000);
});

test('connect: a commit without an answer is distinguished from work that failed before it', async (t) => {
  const database = await createDatabase(t);
  const proxy = await startProxy(t, database);
  const pool = createPool({ connectionString: proxy.url }, timeouts, 1);
  onEnd(t, () => pool.end());
  const lost = withTransaction(pool, async (connection) => {
    await connection.query('select 1');
    proxy.swallow();
  });
  await assert.rejects(lost, CommitUnknownError);
  await proxy.heal();
  const failed = withTransaction(pool, async (connection) => {
    proxy.swallow();
    await connection.query('select 1');
  });
  await assert.rejects(
    failed,
    (error: Error) => !(error instanceof CommitUnknownError) && /silent/.test(error.message),
  );
});

test('connect: the server cancels the statement of a disconnected client and releases its locks', async (t) => {
  const database = await createDatabase(t);
  const holder = await connect(database.owner, patient, { applicationName: 'gone' });
  await holder.query('begin');
  await holder.query('lock table accounts in exclusive mode');
  const asleep = holder.query('select pg_sleep(60)').catch(() => {});
  await until(async () => (await statesOf(database, 'gone')).includes('active'), { what: 'the statement to run' });
  const successor = await database.connect();
  await successor.query('begin');
  holder.connection.stream.destroy();
  await asleep;
  const startedAt = performance.now();
  await successor.query('lock table accounts in exclusive mode');
  assertBetween(performance.now() - startedAt, 0, 5000);
  await successor.query('rollback');
});

test('connect: the server receives the bound on silent clients', async (t) => {
  const database = await createDatabase(t);
  const connection = await connect(database.settings, patient, { applicationName: 'test' });
  onEnd(t, () => disconnect(connection));
  const shown = async (name: string) =>
    (await connection.query<{ setting: string }>('select current_setting($1) as setting', [name])).rows[0]?.setting;
  assert.equal(await shown('client_connection_check_interval'), '1s');
  assert.equal(await shown('idle_in_transaction_session_timeout'), '1min');
  assert.equal(await shown('statement_timeout'), '1min');
  assert.equal(await shown('lock_timeout'), '1min');
  // Over a socket of the same machine these are 0.
  const overTcp = !database.admin.host.startsWith('/');
  assert.equal(await shown('tcp_user_timeout'), overTcp ? '60000' : '0');
  assert.equal(await shown('tcp_keepalives_idle'), overTcp ? '15' : '0');
});

async function statesOf(database: TestDatabase, applicationName: string): Promise<unknown[]> {
  const rows = await database.query(
    'select state from pg_stat_activity where datname = current_database() and application_name = $1::text',
    [applicationName],
  );
  return rows.map((row) => row['state']);
}

function checkSilence(error: unknown): void {
  assert.ok(error instanceof Error);
  assert.match(error.message, /^The database was silent for 600 ms$/);
  assert.equal(retryPolicyOf(error), 'new connection');
}

function assertBetween(ms: number, least: number, most: number): void {
  assert.ok(ms >= least && ms <= most, `It took ${Math.round(ms)} ms, and ${least} to ${most} were expected.`);
}
