// What an error of the database allows: a table of what PostgreSQL, the network and our own mistakes raise.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  constraintOf,
  DamagedBooksError,
  isCommitAnswerLost,
  isFaultOfTheData,
  isOfNode,
  isOutOfReach,
  type Retry,
  retryPolicyOf,
  sqlStateOf,
  troubleOf,
} from '../../src/db/connection/errors.ts';

type Case = { what: string; error: unknown; retry: Retry; data?: true; away?: true };

const sqlStates: (Omit<Case, 'error'> & { code: string })[] = [
  { code: '40001', what: 'a serialization failure', retry: 'same connection' },
  { code: '40P01', what: 'a deadlock', retry: 'same connection' },
  { code: '55P03', what: 'a lock that was waited for too long', retry: 'same connection' },
  { code: '57014', what: 'a statement that took too long', retry: 'same connection' },
  { code: '40003', what: 'a statement of which it is not known whether it is done', retry: 'new connection' },
  { code: '08000', what: 'a connection exception', retry: 'new connection', away: true },
  { code: '08003', what: 'a connection that does not exist', retry: 'new connection', away: true },
  { code: '08006', what: 'a connection failure', retry: 'new connection', away: true },
  { code: '08P01', what: 'a protocol violation, with which poolers refuse', retry: 'new connection', away: true },
  { code: '57P01', what: 'a server that shuts down', retry: 'new connection', away: true },
  { code: '57P02', what: 'a server that crashed', retry: 'new connection', away: true },
  { code: '57P03', what: 'a server that starts', retry: 'new connection', away: true },
  { code: '57P04', what: 'a database that was dropped', retry: 'new connection' },
  { code: '57P05', what: 'a session that was idle for too long', retry: 'new connection' },
  { code: '25P02', what: 'a transaction that failed before', retry: 'new connection' },
  { code: '25P03', what: 'a transaction that was idle for too long', retry: 'new connection' },
  { code: '25P04', what: 'a transaction that took too long', retry: 'new connection' },
  { code: '25006', what: 'a standby', retry: 'new connection' },
  { code: '26000', what: 'a prepared statement that is gone', retry: 'new connection' },
  { code: '42P05', what: 'a prepared statement of another session', retry: 'new connection' },
  { code: '0A000', what: 'a cached plan that no longer fits', retry: 'new connection' },
  { code: '28000', what: 'a role that may not log in', retry: 'new connection' },
  { code: '28P01', what: 'a password that does not fit any more', retry: 'new connection' },
  { code: '3D000', what: 'a database that is not there', retry: 'new connection' },
  { code: '42501', what: 'a missing privilege', retry: 'new connection' },
  { code: '53000', what: 'insufficient resources', retry: 'new connection' },
  { code: '53100', what: 'a full disk', retry: 'new connection' },
  { code: '53200', what: 'memory that has run out', retry: 'new connection' },
  { code: '53300', what: 'too many connections', retry: 'new connection' },
  { code: '58030', what: 'an error of the disk', retry: 'new connection' },
  { code: 'XX000', what: 'an internal error', retry: 'new connection' },
  { code: 'XX001', what: 'corrupted data', retry: 'new connection' },
  { code: '22003', what: 'a number out of range', retry: 'never', data: true },
  { code: '22P05', what: 'a character that cannot be kept', retry: 'never', data: true },
  { code: '23505', what: 'a key that is there already', retry: 'never', data: true },
  { code: '23514', what: 'a broken check', retry: 'never', data: true },
  { code: '54000', what: 'a row that is too large', retry: 'never', data: true },
  { code: '42P01', what: 'a missing table', retry: 'never' },
  { code: '42703', what: 'a missing column', retry: 'never' },
  { code: '42601', what: 'a syntax error', retry: 'never' },
  { code: 'P0001', what: 'a trigger that refuses', retry: 'never' },
];

const cases: Case[] = [
  ...sqlStates.map(({ code, ...rest }) => ({ ...rest, error: fromServer(code) })),
  { what: 'a connection that is refused', error: fromSystem('ECONNREFUSED'), retry: 'new connection', away: true },
  { what: 'a connection that is reset', error: fromSystem('ECONNRESET'), retry: 'new connection', away: true },
  { what: 'a name without an address', error: fromSystem('ENOTFOUND'), retry: 'new connection', away: true },
  // A code of five characters without a severity is from the operating system, not from the server.
  { what: 'a write to a closed pipe', error: fromSystem('EPIPE'), retry: 'new connection', away: true },
  {
    what: 'a connection that ends without a word',
    error: new Error('Connection terminated unexpectedly'),
    retry: 'new connection',
    away: true,
  },
  { what: 'a mistake of ours', error: new TypeError('x is not a function'), retry: 'never', data: true },
  { what: 'books that contradict themselves', error: new DamagedBooksError('a gap'), retry: 'never', data: true },
  { what: 'a value that is out of bounds', error: new RangeError('Invalid array length'), retry: 'never', data: true },
];

for (const { what, error, retry, data = false, away = false } of cases) {
  const code = sqlStateOf(error);
  test(`errors: after ${what}${code === null ? '' : ` (${code})`} it is tried again: ${retry}`, () => {
    assert.equal(retryPolicyOf(error), retry);
    assert.equal(isFaultOfTheData(error), data);
    assert.equal(isOutOfReach(error), away);
  });
}

test('errors: no retryable error is attributed to the data', () => {
  for (const { what, error } of cases) {
    if (retryPolicyOf(error) !== 'never') assert.equal(isFaultOfTheData(error), false, what);
  }
});

test('errors: only errors of the whole database affect more than one job', () => {
  for (const code of ['40001', '40P01', '55P03', '57014', '25P02', '25P03', '26000', '0A000', '42P01', 'P0001'])
    assert.equal(troubleOf(fromServer(code)), 'job', code);
  for (const code of ['25006', '28000', '42501', '53100', '53300', '55000', '57P04', '58030', 'XX000'])
    assert.equal(troubleOf(fromServer(code)), 'database', code);
  for (const error of [fromSystem('ECONNREFUSED'), fromServer('08006'), fromServer('57P01'), fromServer('57P03')])
    assert.equal(troubleOf(error), 'out of reach');
});

test('errors: a server failure during a commit leaves its outcome unknown', () => {
  for (const code of ['53100', '58030', 'XX000', '08006', '57P01', '40003']) {
    assert.equal(isCommitAnswerLost(fromServer(code)), true, code);
  }
  assert.equal(isCommitAnswerLost(fromSystem('ECONNRESET')), true);
  for (const code of ['40001', '40P01', '55P03', '57014', '23505', '25P02']) {
    assert.equal(isCommitAnswerLost(fromServer(code)), false, code);
  }
});

/** Errors of a node of Citus, as the coordinator passes them on. */
const OF_NODES = [
  {
    error: fromNode('23505', 'duplicate key value violates unique constraint "transfers_pkey_102262"'),
    expected: { sqlState: '23505', constraint: 'transfers_pkey', retry: 'never', data: true, trouble: 'job' },
  },
  {
    error: fromNode('XX000', 'duplicate key value violates unique constraint "transfers_pkey_102262"'),
    expected: { sqlState: '23505', constraint: 'transfers_pkey', retry: 'never', data: true, trouble: 'job' },
  },
  {
    error: fromNode(
      'XX000',
      'new row for relation "accounts_102041" violates check constraint "accounts_no_overdraft"',
    ),
    expected: { sqlState: '23514', constraint: 'accounts_no_overdraft', retry: 'never', data: true, trouble: 'job' },
  },
  {
    error: fromNode('22003', 'bigint out of range'),
    expected: { sqlState: '22003', constraint: null, retry: 'never', data: true, trouble: 'job' },
  },
  {
    error: fromNode('XX000', 'bigint out of range'),
    expected: { sqlState: '22003', constraint: null, retry: 'never', data: true, trouble: 'job' },
  },
  {
    error: fromServer(
      '08006',
      'connection to the remote node gopherpay@node-1:5432 failed with the following error: server closed the connection unexpectedly',
    ),
    expected: { sqlState: '08006', constraint: null, retry: 'new connection', data: false, trouble: 'job' },
  },
  {
    error: fromServer('XX000', 'failure on connection marked as essential: node-1:5432'),
    expected: { sqlState: 'XX000', constraint: null, retry: 'new connection', data: false, trouble: 'job' },
  },
  {
    error: fromNode('57P01', 'terminating connection due to administrator command'),
    expected: { sqlState: '57P01', constraint: null, retry: 'new connection', data: false, trouble: 'job' },
  },
  {
    error: fromNode('XX000', 'cache lookup failed for relation 16412'),
    expected: { sqlState: 'XX000', constraint: null, retry: 'new connection', data: false, trouble: 'job' },
  },
];

test('errors: those of a node of Citus are classified as elsewhere, and concern their job only', () => {
  for (const { error, expected } of OF_NODES) {
    const found = {
      sqlState: sqlStateOf(error),
      constraint: constraintOf(error),
      retry: retryPolicyOf(error),
      data: isFaultOfTheData(error),
      trouble: troubleOf(error),
    };
    assert.deepEqual(found, expected, error.message);
    assert.ok(isOfNode(error));
  }
  assert.equal(isOfNode(fromServer('08006', 'the connection failed')), false);
  assert.equal(isCommitAnswerLost(fromServer('XX000', 'could not commit transaction for shard 102262')), true);
});

test('errors: a constraint is named by the server, and no other text is taken for one', () => {
  assert.equal(constraintOf(Object.assign(fromServer('23505'), { constraint: 'accounts_pkey' })), 'accounts_pkey');
  for (const error of [fromServer('23505'), fromServer('P0001', 'of constraint "accounts_pkey"'), new Error('x'), null])
    assert.equal(constraintOf(error), null);
});

function fromNode(code: string, message: string): Error {
  return Object.assign(fromServer(code, message), { where: 'while executing command on node-1:5432' });
}

function fromServer(code: string, message = 'as the server puts it'): Error {
  return Object.assign(new Error(message), { code, severity: 'ERROR' });
}

function fromSystem(code: string): Error {
  return Object.assign(new Error(code), { code, syscall: 'connect' });
}
