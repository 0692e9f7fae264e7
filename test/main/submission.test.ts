// What a request costs before anything is stored, without a database.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPool, READING_TIMEOUTS } from '../../src/db/connect.ts';
import { createLogger } from '../../src/logger.ts';
import { Intake } from '../../src/main/intake.ts';
import { KeyLookup } from '../../src/main/keys.ts';
import { Lease } from '../../src/main/lease.ts';
import { createMetrics } from '../../src/main/metrics.ts';
import { Problem } from '../../src/main/problem.ts';
import { QueueShares } from '../../src/main/queue-shares.ts';
import { Queue } from '../../src/main/queue.ts';
import { Settlement } from '../../src/main/settlement.ts';
import { submitGroup } from '../../src/main/submission.ts';

const NOWHERE = { host: '127.0.0.1', port: 1, user: 'nobody', database: 'none' };

test('submission: the fingerprint of a key is made once for a request, however many transfers it has', async (t) => {
  const { logger } = await createLogger('silent');
  const queue = new Queue(5000, 1e9);
  const metrics = createMetrics(queue);
  const pool = createPool(NOWHERE, READING_TIMEOUTS, 1);
  t.after(async () => await pool.end());
  const settlement = new Settlement({
    pool: { run: async () => await Promise.reject(new Error('unused')), destroy: async () => {} },
    queue,
    metrics,
    logger,
    threads: 1,
    jobSizeMax: 1,
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
    onDoubt() {},
  });
  let read = 0;
  const said = {
    toJSON() {
      read += 1;
      return 'said';
    },
  };
  const members = Array.from({ length: 1000 }, (_, index) => ({
    fromAccount: `A${index}`,
    toAccount: `B${index}`,
    amount: 1n,
    currency: null,
  }));
  const submission = {
    requestId: '00000000-0000-7000-8000-000000000000',
    requestIdGiven: false,
    caller: '127.0.0.1',
    headers: { 'idempotency-key': 'once' },
    query: {},
    said: [said],
  };
  const submitted = submitGroup(
    {
      pool,
      lease,
      intake,
      keys: new KeyLookup(pool),
      queue,
      queueShares: new QueueShares(queue, 50),
      settlement,
      waitTimeoutMs: 1000,
      wakeRecovery() {},
    },
    submission,
    members,
    false,
  );
  // Intake has no connection: nothing else happens.
  await assert.rejects(submitted, (error) => error instanceof Problem && error.code === 'database_unavailable');
  assert.equal(read, 1);
});
