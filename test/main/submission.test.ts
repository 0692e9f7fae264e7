// The cost of a request before anything is stored, without a database.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPool, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { createLogger } from '../../src/logger.ts';
import { AdmissionShares } from '../../src/main/engine/admission-shares.ts';
import { Courier } from '../../src/main/engine/courier.ts';
import { Admission } from '../../src/main/engine/admission.ts';
import { Dispatcher } from '../../src/main/engine/dispatcher.ts';
import { Intake } from '../../src/main/engine/intake.ts';
import { KeyLookup } from '../../src/main/engine/keys.ts';
import { Lease } from '../../src/main/engine/lease.ts';
import { createMetrics } from '../../src/main/engine/metrics.ts';
import { Problem } from '../../src/main/http/problem.ts';
import { ANYBODY } from '../../src/main/api/permissions.ts';
import { Reads } from '../../src/main/api/reads.ts';
import { submitGroup } from '../../src/main/api/submission.ts';
import { FakeTrials } from '../support/fake-pool.ts';

const NOWHERE = { host: '127.0.0.1', port: 1, user: 'test', database: 'none' };

test('submission: the fingerprint of a key is made once for a request of many transfers', async (t) => {
  const { logger } = await createLogger('silent');
  const admission = new Admission(5000, 1e9);
  const metrics = createMetrics(admission);
  const pool = createPool(NOWHERE, READING_TIMEOUTS, 1);
  t.after(async () => await pool.end());
  const dispatcher = new Dispatcher({
    pool: { run: async () => await Promise.reject(new Error('unused')), destroy: async () => {} },
    admission,
    metrics,
    logger,
    threads: 1,
    jobSizeMax: 1,
    trials: new FakeTrials(),
    onJournal() {},
  });
  const lease = new Lease();
  const intake = new Intake({
    database: NOWHERE,
    timeouts: READING_TIMEOUTS,
    lease,
    metrics,
    logger,
    orphanedAfterMs: 5000,
    onSuspicion() {},
  });
  let read = 0;
  const content = {
    toJSON() {
      read += 1;
      return 'content';
    },
  };
  const members = Array.from({ length: 1000 }, (_, index) => ({
    fromAccount: `A${index}`,
    toAccount: `B${index}`,
    amount: 1n,
    currency: null,
  }));
  const changes = new Reads({ pool, runningMax: 1, waitTimeoutMs: 1000, advice: null });
  const submission = {
    requestId: '00000000-0000-7000-8000-000000000000',
    requestIdGiven: false,
    caller: '127.0.0.1',
    headers: { 'idempotency-key': 'once' },
    query: {},
    fingerprinted: [content],
    ledger: MAIN_LEDGER,
    principal: ANYBODY,
    span: null,
  };
  const ledgerShares = new AdmissionShares(admission, 50);
  const engine = {
    pool,
    intake,
    keys: new KeyLookup(pool),
    admission,
    callerShares: new AdmissionShares(admission, 50),
    ledgerShares,
    dispatcher,
    courier: new Courier({ roundPool: pool, pool, admission, ledgerShares, dispatcher, logger }),
    waitTimeoutMs: 1000,
  };
  const submitted = submitGroup({ engine, changes, approvalAbove: () => null }, submission, members, false);
  // Intake has no connection: nothing else happens.
  await assert.rejects(submitted, (error) => error instanceof Problem && error.code === 'database_unavailable');
  assert.equal(read, 1);
});
