// Goal: statements that are sent together behave as if each were sent alone: answers, values, names; and if one fails,
// nothing after it takes effect. Method: a connection that sends together, beside one that does not.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { closeBatch } from '../../src/db/connection/batch.ts';
import { connect, type Connection, disconnect, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { sqlStateOf, troubleOf } from '../../src/db/connection/errors.ts';
import { CommitUnknownError, lockingStatement, Transaction } from '../../src/db/connection/transaction.ts';
import { splitFrames } from '../support/canceler.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

async function open(t: TestContext, { settings }: TestDatabase, { pipeline = true } = {}): Promise<Connection> {
  const connection = await connect(settings, READING_TIMEOUTS, { applicationName: 'test', pipeline });
  onEnd(t, async () => await disconnect(connection));
  return connection;
}

/** The types of the messages that the client sends from now on. */
function recordMessages(connection: Connection): string[] {
  const types: string[] = [];
  const { stream } = connection.connection;
  const take = splitFrames({ startup: false }, (message) => types.push(message.toString('latin1', 0, 1)));
  const write = stream.write.bind(stream);
  stream.write = (chunk: Uint8Array): boolean => {
    take(Buffer.from(chunk));
    return write(chunk);
  };
  return types;
}

const VALUES: readonly { what: string; type: string; value: unknown }[] = [
  { what: 'text', type: 'text', value: 'a "quoted" \\ text' },
  { what: 'no value', type: 'text', value: null },
  { what: 'a large number', type: 'bigint', value: 9007199254740993n },
  { what: 'a small number', type: 'integer', value: -1 },
  { what: 'a condition', type: 'boolean', value: false },
  { what: 'bytes', type: 'bytea', value: Buffer.from([0, 92, 255]) },
  { what: 'a view of bytes', type: 'bytea', value: new Uint8Array(Buffer.from('xyz').buffer, 8, 2) },
  { what: 'texts', type: 'text[]', value: ['a,b', '{}', '"', '\\', '', 'null', null] },
  { what: 'numbers', type: 'bigint[]', value: [1n, 2, null] },
  { what: 'lists of bytes', type: 'bytea[]', value: [Buffer.from([1, 92]), null] },
  { what: 'an empty list', type: 'uuid[]', value: [] },
];

for (const { what, type, value } of VALUES) {
  test(`batch: a parameter arrives as from a connection of pg's own: ${what}`, async (t) => {
    const database = await createDatabase(t);
    const text = `select $1::${type} as value, ($1::${type})::text as text`;
    const [own, together] = [await open(t, database, { pipeline: false }), await open(t, database)];
    const { rows } = await together.query(text, [value]);
    assert.deepEqual(rows, (await own.query(text, [value])).rows);
  });
}

test('batch: a parameter without a form in SQL is refused, and the others are answered', async (t) => {
  const connection = await open(t, await createDatabase(t));
  const [first, refused, last] = await Promise.allSettled([
    connection.query('select 1 as n'),
    connection.query('select $1::text', [{}]),
    connection.query('select 2 as n'),
  ]);
  assert.ok(refused.status === 'rejected' && refused.reason instanceof TypeError);
  assert.deepEqual(
    [first, last].map((each) => each.status === 'fulfilled' && each.value.rows),
    [[{ n: 1 }], [{ n: 2 }]],
  );
});

test('batch: rows are objects or arrays, and each answer has its command and its count', async (t) => {
  const database = await createDatabase(t);
  const connection = await open(t, database);
  const named = { name: 'numbers', text: 'select n, -n::bigint as minus from generate_series(1, 2) as n' };
  // Once before the server has described its columns, and once after.
  for (const _ of [1, 2]) {
    const answers = await Promise.all([
      connection.query(named),
      connection.query({ ...named, rowMode: 'array' }),
      connection.query('begin'),
      connection.query('update accounts set held = held'),
      connection.query(''),
      connection.query('rollback'),
    ]);
    assert.deepEqual(
      answers.map(({ rows, command, rowCount }) => ({ rows, command, rowCount })),
      [
        {
          rows: [
            { n: 1, minus: -1n },
            { n: 2, minus: -2n },
          ],
          command: 'SELECT',
          rowCount: 2,
        },
        {
          rows: [
            [1, -1n],
            [2, -2n],
          ],
          command: 'SELECT',
          rowCount: 2,
        },
        { rows: [], command: 'BEGIN', rowCount: null },
        { rows: [], command: 'UPDATE', rowCount: 0 },
        { rows: [], command: '', rowCount: null },
        { rows: [], command: 'ROLLBACK', rowCount: null },
      ],
    );
  }
});

test('batch: statements of one turn have one Sync, and a named one is parsed and described once', async (t) => {
  const connection = await open(t, await createDatabase(t));
  const messages = recordMessages(connection);
  const send = async (): Promise<string> => {
    await Promise.all([connection.query({ name: 'one', text: 'select 1' }), connection.query('select 2')]);
    return messages.splice(0).join('');
  };
  assert.equal(await send(), 'CPBDEPBDES');
  assert.equal(await send(), 'BEPBDES');
});

/** Counts the system calls with which the client sends. */
function countPackets(connection: Connection): () => number {
  const { stream } = connection.connection;
  let packets = 0;
  const [write, writeAll] = [stream._write.bind(stream), stream._writev?.bind(stream)];
  stream._write = (...parts) => {
    packets += 1;
    write(...parts);
  };
  stream._writev = (...parts) => {
    packets += 1;
    writeAll?.(...parts);
  };
  return () => packets;
}

test('batch: small statements leave in one packet, and many bytes leave before the batch ends', async (t) => {
  const connection = await open(t, await createDatabase(t));
  const packets = countPackets(connection);
  await Promise.all([connection.query('begin'), connection.query('select 1'), connection.query('commit')]);
  assert.equal(packets(), 1);
  const large = connection.query('select length($1::text) as length', ['x'.repeat(20_000)]);
  assert.equal(packets(), 2);
  const [{ rows }] = await Promise.all([large, connection.query('select 2')]);
  assert.deepEqual(rows, [{ length: 20_000 }]);
  assert.equal(packets(), 3);
});

test('batch: the statements sent with BEGIN leave at once, so the server works during the rest of the turn', async (t) => {
  const connection = await open(t, await createDatabase(t));
  const packets = countPackets(connection);
  const beginning = Transaction.beginWith(connection, (load) => [load(lockingStatement('one', 'select 1'), [])]);
  assert.equal(packets(), 1);
  const { transaction, loaded } = await beginning;
  assert.deepEqual(loaded, [[[1]]]);
  await transaction.commit();
});

test('batch: a closed batch is answered before what follows in the same turn', async (t) => {
  const connection = await open(t, await createDatabase(t));
  const messages = recordMessages(connection);
  const first = connection.query('select 1');
  closeBatch(connection);
  await Promise.all([first, connection.query('select 2')]);
  assert.equal(messages.join(''), 'PBDESPBDES');
});

test('batch: nothing takes effect if a statement fails, and the connection works', async (t) => {
  const database = await createDatabase(t);
  const connection = await open(t, database);
  const insert = `insert into leases (id) values (gen_random_uuid())`;
  const answers = await Promise.allSettled([
    connection.query(insert),
    connection.query({ name: 'fails', text: 'select 1 / $1::integer', values: [0] }),
    connection.query({ name: 'skipped', text: 'select 3 as n' }),
    connection.query(insert),
    connection.query('commit'),
  ]);
  assert.deepEqual(
    answers.map((each) => each.status === 'rejected' && String(each.reason)),
    [
      // Outside a transaction, it was undone.
      'error: division by zero',
      'error: division by zero',
      ...Array.from({ length: 3 }, () => 'Error: Skipped after an error: division by zero'),
    ],
  );
  assert.deepEqual(await database.query('select id from leases'), []);
  // Their names are free, or taken over.
  const again = await Promise.all([
    connection.query({ name: 'fails', text: 'select 1 / $1::integer as n', values: [1] }),
    connection.query({ name: 'skipped', text: 'select 3 as n' }),
  ]);
  assert.deepEqual(
    again.map(({ rows }) => rows),
    [[{ n: 1 }], [{ n: 3 }]],
  );
});

/** Ends a transaction that has inserted a lease, as a job does, and returns the error. */
async function failToCommit(connection: Connection, statements: readonly string[]): Promise<unknown> {
  const transaction = await Transaction.begin(connection);
  const sent = ['insert into leases (id) values (gen_random_uuid())', ...statements].map((text) =>
    transaction.connection.query(text),
  );
  const error: unknown = await transaction.commit(sent).then(
    () => null,
    (reason: unknown) => reason,
  );
  await transaction.rollback();
  return error;
}

const raise = (code: string, message = 'no') =>
  `do $$ begin raise exception using errcode = '${code}', message = '${message}'; end $$`;

for (const code of ['53100', '58030', 'XX000', '08006']) {
  test(`batch: a commit is unknown if it fails itself as one that may have been written, and not otherwise: ${code}`, async (t) => {
    const database = await createDatabase(t);
    const connection = await open(t, database);
    const earlier = await failToCommit(connection, [raise(code)]);
    assert.ok(!(earlier instanceof CommitUnknownError));
    assert.equal(sqlStateOf(earlier), code);
    // It fails at the end of the transaction.
    await database.query(
      `create function fail() returns trigger language plpgsql as $$
         begin raise exception using errcode = '${code}', message = 'no'; end $$;
       create constraint trigger fails after insert on leases initially deferred for each row execute function fail()`,
    );
    assert.ok((await failToCommit(connection, ['select 1'])) instanceof CommitUnknownError);
    assert.equal((await connection.query('select 1 as n')).rowCount, 1);
  });
}

test('batch: a node of Citus that fails concerns its job only, and the commit behind it is known', async (t) => {
  const connection = await open(t, await createDatabase(t));
  const error = await failToCommit(connection, [raise('08006', 'connection to the remote node a:5432 failed')]);
  assert.deepEqual([sqlStateOf(error), troubleOf(error)], ['08006', 'job']);
});

test('batch: a server that ends behind an error leaves the commit unknown', async (t) => {
  const database = await createDatabase(t);
  const connection = await open(t, database);
  const error = await failToCommit(connection, ['select pg_terminate_backend(pg_backend_pid())']);
  assert.ok(error instanceof CommitUnknownError);
});

test('batch: what was committed before a statement that fails has its answer', async (t) => {
  const database = await createDatabase(t);
  const connection = await open(t, database);
  const answers = await Promise.allSettled([
    connection.query('begin'),
    connection.query('insert into leases (id) values (gen_random_uuid())'),
    connection.query('commit'),
    connection.query('select 1 / 0'),
  ]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'rejected'],
  );
  assert.equal((await database.query('select from leases')).length, 1);
});

test('batch: two statements of one name are refused', async (t) => {
  const connection = await open(t, await createDatabase(t));
  await connection.query({ name: 'one', text: 'select 1' });
  await assert.rejects(connection.query({ name: 'one', text: 'select 2' }), TypeError);
});

test('batch: a connection that breaks fails what has no answer, and everything later', async (t) => {
  const database = await createDatabase(t);
  const proxy = await startProxy(t, database);
  const settings = { ...database.settings, host: '127.0.0.1', port: proxy.port };
  const connection = await connect(settings, READING_TIMEOUTS, { applicationName: 'test', pipeline: true });
  const ended = new Promise((resolve) => connection.once('end', resolve));
  const waiting = Promise.allSettled([connection.query('select pg_sleep(60)'), connection.query('select 1')]);
  // The server has begun.
  const sleeping = `select from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'`;
  await until(async () => (await database.query(sleeping)).length > 0, { what: 'the server to begin' });
  proxy.cut();
  assert.deepEqual(
    (await waiting).map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  await ended;
  const later = await Promise.allSettled([connection.query('select 1'), connection.query('select 2')]);
  assert.deepEqual(
    later.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
});

test('batch: one that is too slow for a single answer succeeds when it is sent again', async (t) => {
  const { settings } = await createDatabase(t);
  const timeouts = { ...READING_TIMEOUTS, answerTimeoutMs: 600 };
  const sleep = async (): Promise<unknown> => {
    const connection = await connect(settings, timeouts, { applicationName: 'test', pipeline: true });
    onEnd(t, async () => await disconnect(connection));
    await connection.query('select 1');
    return await Promise.all([connection.query('select pg_sleep(0.4)'), connection.query('select pg_sleep(0.4)')]);
  };
  await assert.rejects(sleep(), /silent for 600 ms/);
  await sleep();
});
