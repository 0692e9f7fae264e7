// Goal: whoever tries a job again learns what stood in its way. Method: a connection on which a statement and all after it fail
// at the same moment, as when the server's answers come in one packet.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from 'pg';
import { lockJob, writeJob } from '../../src/db/settlement.ts';

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
        ownCode === null ? resolve({ rows: [] }) : reject(Object.assign(new Error(), { code: ownCode })),
      );
    });
  };
  return { connection: Object.assign(new Client(), { query }), sent };
}

const JOB = { transferIds: ['id'], accountNumbers: ['ANN', 'BOB'], parentIds: [] };
const ACCOUNT = {
  accountNumber: 'ANN',
  currency: 'USD',
  status: 'open',
  balance: 0n,
  held: 0n,
  overdraftLimit: 0n,
  entryCount: 0n,
} as const;

for (const statement of ['begin', 'take orders', 'lock accounts']) {
  test(`settlement: a job that cannot be locked says why: ${statement}`, async () => {
    const { connection, sent } = failingAt(statement, '55P03');
    await assert.rejects(lockJob(connection, JOB, { begun: false }), { code: '55P03' });
    assert.equal(sent.at(-1), 'rollback');
  });
}

for (const statement of ['update accounts', 'write ended', 'commit']) {
  test(`settlement: a job that cannot be written says why: ${statement}`, async () => {
    const { connection, sent } = failingAt(statement, '23514');
    const written = {
      outcomes: [],
      changed: { accounts: [ACCOUNT], holds: [], originals: [] },
      digest: () => Buffer.alloc(32),
      dryRun: false,
    };
    await assert.rejects(writeJob(connection, { orders: [], columns: [] }, written), { code: '23514' });
    assert.equal(sent.at(-1), 'rollback');
  });
}
