// Goal: whoever tries a job again learns what stood in its way. Method: a connection on which a statement and all after it fail
// at the same moment, as when the server's answers come in one packet.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from 'pg';
import { lockJob } from '../../src/db/locked-job.ts';
import { writeJob } from '../../src/db/settlement.ts';
import { Transaction } from '../../src/db/transaction.ts';

const ABORTED = '25P02';

/** A connection whose statement of this name fails with this code, and with it the later ones of the transaction. */
function failingAt(statement: string, code: string): { connection: Client; sent: string[] } {
  const sent: string[] = [];
  const answers: (() => void)[] = [];
  let failed = false;
  const query = async (query: string | { name: string }): Promise<{ rows: never[] }> => {
    const name = typeof query === 'string' ? query : query.name;
    sent.push(name);
    if (name === 'rollback') return { rows: [] };
    return await new Promise((resolve, reject) => {
      if (answers.length === 0) setImmediate(() => answers.splice(0).forEach((answer) => answer()));
      const ownCode = name === statement ? code : failed ? ABORTED : null;
      failed ||= name === statement;
      answers.push(() =>
        ownCode === null
          ? resolve({ rows: [] })
          : reject(Object.assign(new Error(), { code: ownCode, severity: 'ERROR' })),
      );
    });
  };
  return { connection: Object.assign(new Client(), { query }), sent };
}

const JOB = { transferIds: ['id'], accountNumbers: ['ANN', 'BOB'], parentIds: [], dryRun: null };
const ACCOUNT = {
  accountNumber: 'ANN',
  currency: 'USD',
  status: 'open',
  balance: 0n,
  held: 0n,
  overdraftLimit: 0n,
  entryCount: 0n,
} as const;

test('settlement: nothing is sent before BEGIN is answered, and nothing after it failed', async () => {
  const { connection, sent } = failingAt('begin', '57014');
  const beginning = Transaction.begin(connection);
  assert.deepEqual(sent, ['begin']);
  await assert.rejects(beginning, { code: '57014' });
  assert.deepEqual(sent, ['begin']);
});

for (const statement of ['take orders', 'lock accounts']) {
  test(`settlement: a job that cannot be locked throws the first error: ${statement}`, async () => {
    const { connection } = failingAt(statement, '55P03');
    await assert.rejects(lockJob(await Transaction.begin(connection), JOB), { code: '55P03' });
  });
}

for (const statement of ['update accounts', 'write ended', 'commit']) {
  test(`settlement: a job that cannot be written throws the first error: ${statement}`, async () => {
    const { connection } = failingAt(statement, '23514');
    const written = {
      outcomes: [],
      changed: { accounts: [ACCOUNT], holds: [], originals: [] },
      digest: () => Buffer.alloc(32),
      dryRun: false,
    };
    const transaction = await Transaction.begin(connection);
    const locked = { orders: [], columns: [], missing: [], nextExpiry: null };
    await assert.rejects(writeJob(transaction, locked, written), { code: '23514' });
  });
}
