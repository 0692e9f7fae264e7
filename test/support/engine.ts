// The engine on a real database, with threads that the test simulates.
import { createPool, READING_TIMEOUTS } from '../../src/db/connection/connect.ts';
import { AdmissionShares } from '../../src/main/engine/admission-shares.ts';
import { Courier } from '../../src/main/engine/courier.ts';
import type { Engine } from '../../src/main/engine/engine.ts';
import { Intake } from '../../src/main/engine/intake.ts';
import { KeyLookup } from '../../src/main/engine/keys.ts';
import { Lease } from '../../src/main/engine/lease.ts';
import { onEnd, type Scope } from './cleanup.ts';
import type { TestDatabase } from './database.ts';
import { type FakePool, startDispatcher } from './fake-pool.ts';
import { type Proxy, startProxy } from './proxy.ts';

/** How long the intake waits on a silent connection before it closes it. */
const TIMEOUTS = { ...READING_TIMEOUTS, answerTimeoutMs: 500, probeTimeoutMs: 250 };

export type StartedEngine = {
  engine: Engine;
  /** The threads. */
  pool: FakePool;
  /** Between the intake and the database. */
  proxy: Proxy;
};

/** Starts an engine whose intake reaches the database through a proxy. */
export async function startEngine(
  scope: Scope,
  database: TestDatabase,
  options: { maxQueue?: number; waitTimeoutMs?: number } = {},
): Promise<StartedEngine> {
  const { maxQueue = 1000, waitTimeoutMs = 50 } = options;
  const { dispatcher, admission, pool: threads, metrics, logger } = await startDispatcher({ maxQueue });
  const proxy = await startProxy(scope, database);
  const intake = new Intake({
    database: { ...database.settings, host: '127.0.0.1', port: proxy.port },
    timeouts: TIMEOUTS,
    lease: new Lease(),
    metrics,
    logger,
    orphanedAfterMs: 60_000,
    onSuspicion() {},
  });
  await intake.open();
  onEnd(scope, async () => await intake.close());
  const pool = createPool(database.settings, TIMEOUTS, 4);
  onEnd(scope, async () => await pool.end());
  const ledgerShares = new AdmissionShares(admission, 100);
  const engine: Engine = {
    pool,
    intake,
    keys: new KeyLookup(pool),
    admission,
    callerShares: new AdmissionShares(admission, 100),
    ledgerShares,
    dispatcher,
    courier: new Courier({ roundPool: pool, pool, admission, ledgerShares, dispatcher, logger }),
    waitTimeoutMs,
  };
  return { engine, pool: threads, proxy };
}
