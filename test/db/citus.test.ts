// Goal: on Citus, jobs and whatever else runs often commit on one node, and errors of nodes are recognized. Method: the
// functions of src/db run on a real coordinator, which reports each command that it sends to a node. TEST_CITUS_URL names
// an empty database of a superuser, with Citus and its nodes, and with a node for each shard; without it, nothing runs.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { Client } from 'pg';
import {
  connect,
  type Connection,
  createPool,
  type DatabaseSettings,
  disconnect,
  READING_TIMEOUTS,
} from '../../src/db/connection/connect.ts';
import { isDistributed } from '../../src/db/connection/distributed.ts';
import { constraintOf, isFaultOfTheData, retryPolicyOf } from '../../src/db/connection/errors.ts';
import { migrate } from '../../src/db/ledger/migrate.ts';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { fillLedger } from './filled-ledger.ts';
import { SENDERS } from './sent-statements.ts';

const url = process.env['TEST_CITUS_URL'] ?? '';
const options = { skip: url === '' };
const settings: DatabaseSettings = { connectionString: url };

/** Those that read or write several ledgers: `placement.test.ts` says why. */
const OF_ALL_LEDGERS = new Set([
  'lease',
  'observe leases',
  'adopt page',
  'load last pending id',
  'load pending page',
  'expiries',
  'courier rounds',
  'look-ups by key',
  'list ledgers',
  'create ledger',
  'audit log',
  'webhooks',
]);

before(async (scope) => {
  if (url === '') return;
  assert.ok((await migrate(settings)).placed > 0, 'TEST_CITUS_URL must name an empty database.');
  assert.equal((await migrate(settings)).placed, 0);
  const client = new Client({ connectionString: url });
  await client.connect();
  onEnd(scope, async () => await client.end());
  await fillLedger({ query: async (text, values) => (await client.query(text, values)).rows });
});

for (const sender of SENDERS.filter(({ what }) => !OF_ALL_LEDGERS.has(what))) {
  test(`citus: ${sender.what} talks to one node, and commits in one phase`, options, async (t) => {
    const { connection, commands } = await observe(t);
    const pool = createPool(settings, READING_TIMEOUTS, 1);
    onEnd(t, async () => await pool.end());
    await sender.send(connection, pool);
    assert.ok(new Set(commands.map(({ node }) => node)).size <= 1, JSON.stringify(commands));
    assert.deepEqual(
      commands.filter(({ text }) => /\bprepare transaction\b/i.test(text)),
      [],
    );
    if (sender.what === 'job' || sender.what === 'intake') assert.ok(commands.length > 0);
  });
}

test('citus: a statement over shards is seen', options, async (t) => {
  const { connection, commands } = await observe(t);
  await connection.query('select count(*) from accounts');
  assert.ok(new Set(commands.map(({ node }) => node)).size > 1);
});

const REFUSED = [
  {
    text: `insert into journal_head (ledger_id) values (1)`,
    constraint: 'journal_head_pkey',
  },
  { text: `update accounts set held = -1 where ledger_id = 1`, constraint: 'accounts_held_exact' },
  { text: `update accounts set balance = balance + 9223372036854775807 where ledger_id = 1`, constraint: null },
];

for (const { text, constraint } of REFUSED) {
  test(`citus: a node's refusal is a fault of the data: ${constraint ?? 'out of range'}`, options, async (t) => {
    const { connection } = await observe(t);
    await assert.rejects(connection.query(text), (error) => {
      assert.equal(constraintOf(error), constraint);
      assert.equal(isFaultOfTheData(error), true);
      assert.equal(retryPolicyOf(error), 'never');
      return true;
    });
  });
}

test('citus: rows that are final cannot be changed, not even by a superuser', options, async (t) => {
  const { connection } = await observe(t);
  await assert.rejects(connection.query('delete from journal where ledger_id = 1'), /append-only/);
});

/** A connection, and the commands that it causes on nodes. */
async function observe(scope: Scope): Promise<{ connection: Connection; commands: { node: string; text: string }[] }> {
  const connection = await connect(settings, READING_TIMEOUTS, { applicationName: 'test', keyed: true });
  onEnd(scope, async () => await disconnect(connection));
  assert.ok(isDistributed(connection));
  const commands: { node: string; text: string }[] = [];
  connection.on('notice', ({ message = '', detail = '' }) => {
    const [, node] = /^on server (\S+)/.exec(detail) ?? [];
    if (message.startsWith('issuing') && node !== undefined) commands.push({ node, text: message });
  });
  await connection.query('set client_min_messages = notice');
  await connection.query('set citus.log_remote_commands = on');
  return { connection, commands };
}
