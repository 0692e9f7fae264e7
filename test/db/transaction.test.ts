// Goal: nothing takes effect outside a transaction, and a retrying caller gets the first error. Method: a connection on
// which a statement and all after it fail at the same moment, and a network that cancels single statements.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import {
  allSent,
  BeginFailedError,
  CommitUnknownError,
  lockingStatement,
  Transaction,
} from '../../src/db/connection/transaction.ts';
import { type Canceler, startCanceler } from '../support/canceler.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { failingAt } from '../support/failing-connection.ts';

const CHANGES = [
  'insert into accounts (account_number) values ($1)',
  'update accounts set balance = 0',
  'UPDATE accounts SET balance = 0',
  'delete from pending_transfers',
  'with gone as (delete from pending_transfers returning id) select id from gone for update',
  'merge into accounts using moved on true when matched then do nothing',
  'truncate entries',
  'copy accounts from stdin',
  'call settle()',
  'do $$ begin perform 1; end $$',
  `select nextval('journal_number')`,
  `select setval('journal_number', 1)`,
  `select set_config('statement_timeout', '0', false)`,
  'set statement_timeout = 0',
  'select id into settled from transfers',
  'create table settled (id uuid)',
  'alter table accounts add column note text',
  'drop table accounts',
  'select id from holds for update; update holds set captured = 1',
  'select pg_notify($1, $2)',
  'notify journal',
  'commit',
  'rollback',
];

for (const text of CHANGES) {
  test(`transaction: a statement that may write is refused with BEGIN: ${text}`, () => {
    assert.throws(() => lockingStatement('change', text), TypeError);
  });
}

const READS = [
  'select id from holds where id = any($1::uuid[]) for update',
  'select id from holds for no key update skip locked',
  'select id from holds for share',
  `select updated_at, inserted, 'deleted' as state, created_at, calls, offset_copy from log offset 0`,
  'with named as materialized (select 1) select * from named cross join lateral (select 1 offset 0) as found',
];

for (const text of READS) {
  test(`transaction: a statement that only locks or reads may be sent with BEGIN: ${text}`, () => {
    assert.deepEqual(lockingStatement('read', text), { name: 'read', text });
  });
}

test('transaction: nothing is sent before BEGIN is answered, and nothing after it failed', async () => {
  const { connection, sent } = failingAt('begin', '57014');
  const beginning = Transaction.begin(connection);
  assert.deepEqual(sent, ['begin']);
  await assert.rejects(beginning, { code: '57014' });
  assert.deepEqual(sent, ['begin']);
});

const LOCK = lockingStatement('lock', 'select 1 from accounts for update');

test('transaction: BEGIN and its loads are sent together', async () => {
  const { connection, sent } = failingAt('nothing', '57014');
  const beginning = Transaction.beginWith(connection, (load) => [load(LOCK, []), load(LOCK, [])]);
  assert.deepEqual(sent, ['begin', 'lock', 'lock']);
  const { loaded } = await beginning;
  assert.deepEqual(loaded, [[], []]);
});

for (const statement of ['begin', 'lock']) {
  test(`transaction: it is rolled back if what is sent with BEGIN fails, and throws the first error: ${statement}`, async () => {
    const { connection, sent } = failingAt(statement, '55P03');
    await assert.rejects(
      Transaction.beginWith(connection, (load) => [load(LOCK, [])]),
      { code: '55P03' },
    );
    assert.deepEqual(sent, ['begin', 'lock', 'rollback']);
  });
}

test('transaction: a connection that cannot roll back after BEGIN is not reused', async () => {
  const { connection } = failingAt('lock', '55P03', { alsoRollback: true });
  await assert.rejects(
    Transaction.beginWith(connection, (load) => [load(LOCK, [])]),
    BeginFailedError,
  );
});

test('transaction: a commit without an answer is unknown, also behind a statement without one', async () => {
  const { connection } = failingAt('commit', null);
  const transaction = await Transaction.begin(connection);
  await assert.rejects(transaction.commit(), CommitUnknownError);
  const broken = failingAt('lock', null);
  const pipelined = await Transaction.begin(broken.connection);
  await assert.rejects(pipelined.commit([broken.connection.query(LOCK)]), CommitUnknownError);
});

test('transaction: a commit that the server refuses has a known outcome', async () => {
  const { connection } = failingAt('lock', '23505');
  const transaction = await Transaction.begin(connection);
  await assert.rejects(transaction.commit([connection.query(LOCK)]), { code: '23505' });
});

test('transaction: a commit that answers ROLLBACK throws', async () => {
  const { connection } = failingAt('nothing', null, { commitAnswers: 'ROLLBACK' });
  const transaction = await Transaction.begin(connection);
  await assert.rejects(transaction.commit(), /not committed/);
});

test('transaction: of statements sent together, the error of the first that failed is thrown', async () => {
  const late = new Promise((_, reject) => setTimeout(reject, 5, new Error('cause')));
  await assert.rejects(allSent([Promise.resolve(), late, Promise.reject(new Error('effect'))]), /cause/);
});

/** A connection through a canceler. */
async function connectCanceled(
  t: TestContext,
  database: TestDatabase,
): Promise<{ canceler: Canceler; connection: Connection }> {
  const { canceler } = await startCanceler(t, database);
  const settings = { ...database.settings, host: '127.0.0.1', port: canceler.port };
  const connection = await connect(settings, READING_TIMEOUTS, { applicationName: 'test', pipeline: true });
  onEnd(t, async () => await disconnect(connection));
  return { canceler, connection };
}

test('transaction: a canceled BEGIN or lock throws, keeps no lock and changes nothing', async (t) => {
  const database = await createDatabase(t);
  await database.query(`insert into accounts (ledger_id, account_number, currency) values (1, 'ANN', 'USD')`);
  const before = await database.query('select accounts.*, xmax from accounts');
  const { canceler, connection } = await connectCanceled(t, database);
  const begin = async () => await Transaction.beginWith(connection, (load) => [load(LOCK, [])]);
  for (const place of ['test 0: begin', 'test 1: lock']) {
    const struck = canceler.strike();
    await assert.rejects(begin(), { code: '57014' });
    assert.equal(await struck, place);
    // The lock is free.
    await database.query('select from accounts for update nowait');
    const { rows } = await connection.query<{ pid: number }>('select pg_backend_pid() as pid');
    const sessions = await database.query('select state from pg_stat_activity where pid = $1::integer', [rows[0]?.pid]);
    assert.deepEqual(sessions, [{ state: 'idle' }], 'no transaction is open');
  }
  assert.deepEqual((await database.query('select accounts.* from accounts')).length, before.length, 'nothing changed');
  const { transaction } = await begin();
  await assert.rejects(database.query('select from accounts for update nowait'), { code: '55P03' });
  await transaction.commit();
});
