// Goal: a retried job gets the first error. Method: a connection on which a statement and all after it fail at the same
// moment.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toColumns } from '../../src/domain/job.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { BY_SERVICE } from '../../src/domain/transfer.ts';
import { lockJob } from '../../src/db/ledger/locked-job.ts';
import type { DecidedJob } from '../../src/db/ledger/decided-job.ts';
import { StaleDecisionError, writeJob } from '../../src/db/ledger/settlement.ts';
import { CommitUnknownError, Transaction } from '../../src/db/connection/transaction.ts';
import { failingAt } from '../support/failing-connection.ts';
import { newAccount, newJob, newTransfer } from '../support/jobs.ts';

const CLAIM = { unit: 0, key: 'key', fingerprint: Buffer.alloc(32), transferId: 'id', accountNumber: null };
const JOB = newJob({
  units: [1],
  transfers: toColumns([{ transfer: newTransfer({ kind: 'capture', parentId: 'hold' }), storedAtMicros: null }]),
  claims: [CLAIM],
  mayBeSettled: true,
});
const LOADED = ['begin', 'lock accounts', 'load holds', 'load originals', 'load keys', 'load settled', 'load time'];

test('settlement: a job is locked in one round trip, accounts before holds and the time last', async () => {
  const { connection, sent } = failingAt('nothing', null);
  const locking = lockJob(connection, JOB);
  assert.deepEqual(sent, LOADED);
  await locking;
});

test('settlement: a job without holds, keys and lost answers loads only its accounts and the time', async () => {
  const { connection, sent } = failingAt('nothing', null);
  const transfers = toColumns([{ transfer: newTransfer(), storedAtMicros: null }]);
  await lockJob(connection, newJob({ units: [1], transfers }));
  assert.deepEqual(sent, ['begin', 'lock accounts', 'load time']);
});

for (const statement of LOADED) {
  test(`settlement: a job that cannot be locked throws the first error: ${statement}`, async () => {
    const { connection, sent } = failingAt(statement, '55P03');
    await assert.rejects(lockJob(connection, JOB), { code: '55P03' });
    assert.equal(sent.at(-1), 'rollback');
  });
}

const ACCOUNT = {
  accountNumber: 'ANN',
  currency: 'USD',
  status: 'open',
  balance: 0n,
  held: 0n,
  overdraftLimit: 0n,
  entryCount: 0n,
} as const;

const DECIDED: DecidedJob = {
  ledger: MAIN_LEDGER,
  jobMicros: 1n,
  transfers: [],
  columns: [],
  storedAtMicros: null,
  outcomes: [],
  changed: {
    accounts: [ACCOUNT],
    holds: [{ id: 'hold', state: 'captured', amount: 1n, captured: 1n, released: 0n, due: false }],
    originals: [{ id: 'original', amount: 1n, reversed: 1n }],
  },
  opened: [
    {
      account: newAccount('NEW'),
      by: BY_SERVICE,
      state: { ...ACCOUNT, accountNumber: 'NEW' },
      encrypted: '00',
      seal: '00',
    },
  ],
  claims: [CLAIM],
  digest: () => Buffer.alloc(32),
  missing: [],
  nextExpiry: null,
  dryRun: false,
};
/** In the order of the locks: keys before the journal, which is locked last. */
const WRITTEN = [
  'claim keys',
  'insert accounts',
  'insert personal keys',
  'insert account words',
  'update accounts',
  'update holds',
  'update reversed',
  'lock journal',
  'append to journal',
  'insert openings',
  'commit',
];

test('settlement: a job is written and committed in one round trip, in the order of the locks', async () => {
  const { connection, sent } = failingAt('commit', null);
  const transaction = await Transaction.begin(connection);
  const writing = writeJob(transaction, DECIDED);
  assert.deepEqual(sent.slice(1), WRITTEN);
  await assert.rejects(writing, CommitUnknownError);
});

for (const statement of WRITTEN) {
  test(`settlement: a job that cannot be written throws the first error: ${statement}`, async () => {
    const { connection } = failingAt(statement, '23514');
    const transaction = await Transaction.begin(connection);
    await assert.rejects(writeJob(transaction, DECIDED), { code: '23514' });
  });
}

test('settlement: a connection that breaks before the commit is answered leaves the outcome unknown', async () => {
  const { connection } = failingAt('append to journal', null);
  const transaction = await Transaction.begin(connection);
  await assert.rejects(writeJob(transaction, DECIDED), CommitUnknownError);
});

const FACTS = [
  { name: 'a missing account', fields: { missing: ['NOSUCH'] } },
  { name: 'a hold that is due soon', fields: { nextExpiry: 1n } },
] as const;

for (const { name, fields } of FACTS) {
  test(`settlement: a decision that depends on ${name} is committed only after it was checked again`, async () => {
    const { connection, sent } = failingAt('append to journal', null);
    const transaction = await Transaction.begin(connection);
    await assert.rejects(writeJob(transaction, { ...DECIDED, ...fields }), /Connection terminated/);
    assert.ok(!sent.includes('commit'));
  });
}

test('settlement: a hold that became due before the journal position makes the decision stale', async () => {
  const row = { number: 7n, settled_at: '2026-01-01T00:00:00Z', settled_micros: 1000n };
  const stale = async (nextExpiry: bigint) => {
    const { connection, sent } = failingAt('nothing', null, { rows: { 'append to journal': [row] } });
    const transaction = await Transaction.begin(connection);
    const written = await writeJob(transaction, { ...DECIDED, nextExpiry }).catch((error: unknown) => error);
    return { written, committed: sent.includes('commit') };
  };
  const due = await stale(1000n);
  assert.ok(due.written instanceof StaleDecisionError && !due.committed);
  assert.deepEqual(await stale(1001n), {
    written: { number: 7n, settledAt: '2026-01-01T00:00:00Z' },
    committed: true,
  });
});

test('settlement: a dry run is not committed', async () => {
  const row = { number: 7n, settled_at: '2026-01-01T00:00:00Z', settled_micros: 1000n };
  const { connection, sent } = failingAt('nothing', null, { rows: { 'append to journal': [row] } });
  const transaction = await Transaction.begin(connection);
  await writeJob(transaction, { ...DECIDED, dryRun: true });
  assert.deepEqual(sent.slice(1), WRITTEN.slice(0, -1));
});
