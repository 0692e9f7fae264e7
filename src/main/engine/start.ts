// Starts the parts of the engine in order, and registers how each is stopped.
import {
  type ConnectionPool,
  createPool,
  type DatabaseSettings,
  type DatabaseTimeouts,
} from '../../db/connection/connect.ts';
import { beginTrial, endTrial } from '../../db/ledger/trials.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { NewTransfer } from '../../domain/transfer.ts';
import type { Logger } from '../../logger.ts';
import type { Tracer } from '../tracer.ts';
import type { Metrics } from './metrics.ts';
import type { Admission } from './admission.ts';
import { LEDGER_COMPETES_MS } from '../competitors.ts';
import { AdmissionShares } from './admission-shares.ts';
import type { Trials } from './bisection.ts';
import { Courier } from './courier.ts';
import { Dispatcher } from './dispatcher.ts';
import { type Engine, releaseShares } from './engine.ts';
import { Intake } from './intake.ts';
import { KeyLookup } from './keys.ts';
import { Lease } from './lease.ts';
import { createThreadPool } from './pool.ts';
import { type Recovery, startRecovery } from './recovery.ts';
import { Restoring } from './restoring.ts';
import type { Unit } from './unit.ts';

/** The settings of the engine; see config.ts. */
export type EngineSettings = {
  readonly threads: number;
  readonly maxQueue: number;
  readonly jobSizeMax: number;
  readonly callerSharePercent: number;
  readonly waitTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly orphanedAfterMs: number;
  readonly databaseTimeouts: DatabaseTimeouts;
};

export type RunningEngine = {
  readonly engine: Engine;
  readonly recovery: Recovery;
  /** Whether the database has answered a heartbeat while a request waited for a connection. */
  readonly databaseAnswers: () => boolean;
};

/** Starts the engine. `stack` stops the started parts, also if this throws because the database is out of reach. */
export async function startEngine(
  settings: EngineSettings,
  options: {
    database: DatabaseSettings;
    /** For look-ups that are part of submitting. */
    pool: ConnectionPool;
    admission: Admission;
    metrics: Metrics;
    logger: Logger;
    tracer: Tracer | null;
    /** Called with the number of each row that this process adds to a journal, once it is committed. */
    onJournal: (ledger: Ledger, number: bigint) => void;
  },
  stack: AsyncDisposableStack,
): Promise<RunningEngine> {
  const { threads, maxQueue, callerSharePercent, orphanedAfterMs, databaseTimeouts: timeouts } = settings;
  const { database, pool, admission, metrics, logger, tracer } = options;
  const callerShares = new AdmissionShares(admission, callerSharePercent);
  const ledgerShares = new AdmissionShares(admission, callerSharePercent, now, LEDGER_COMPETES_MS);
  const lease = new Lease();
  let wakeRecovery = (): void => {};
  const onSuspicion = (): void => wakeRecovery();
  const intake = new Intake({ database, timeouts, lease, metrics, logger, orphanedAfterMs, onSuspicion });
  stack.defer(async () => await intake.close());
  const onError = (error: Error): void => logger.error({ reason: error.message }, 'thread replaced');
  const threadPool = createThreadPool({ threads, maxQueue, database, timeouts, onError });
  stack.defer(async () => await threadPool.destroy());
  await intake.open();
  const recoveryPool = createPool(database, timeouts, 1);
  stack.defer(async () => await recoveryPool.end());
  // Its searches may wait for locks, and adoption must not wait behind them.
  const courierPool = createPool(database, timeouts, 1);
  stack.defer(async () => await courierPool.end());
  // If a heartbeat had to wait behind callers, other processes would take this process for dead.
  const heartPool = createPool(database, heartTimeoutsOf(timeouts, orphanedAfterMs), 1);
  stack.defer(async () => await heartPool.end());
  let heardAt = now();
  heartPool.on('release', (error) => {
    if (!error) heardAt = now();
  });
  let courier: Courier | null = null;
  const onReleased = (unit: Unit): void => {
    releaseShares({ callerShares, ledgerShares }, unit);
    courier?.notice(unit);
  };
  const trials = trialsOf(pool);
  const push = (unit: Unit): void => void dispatcher.push([unit]);
  const restoring = new Restoring({ intake, admission, ledgerShares, push, metrics, logger });
  const onMissing = restoring.restore.bind(restoring);
  const dispatcher = new Dispatcher({ ...settings, ...options, pool: threadPool, trials, onReleased, onMissing });
  stack.defer(() => restoring.stop());
  const pools = { heartPool, pool: recoveryPool };
  courier = new Courier({ roundPool: courierPool, pool, admission, ledgerShares, dispatcher, logger });
  const recoveryParts = { lease, intake, admission, ledgerShares, dispatcher, courier, logger, tracer };
  const recovery = startRecovery({ ...settings, ...pools, ...recoveryParts });
  stack.defer(async () => await recovery.stop());
  stack.defer(() => dispatcher.stop());
  wakeRecovery = () => recovery.wake();
  showPools(metrics, { recovery: recoveryPool, courier: courierPool, heartbeat: heartPool });
  metrics.show('gopherpay_threads_busy', () => dispatcher.busyThreads);
  metrics.show('gopherpay_threads_busy_limit', () => threads);
  metrics.show('gopherpay_lease_renewals_total', () => lease.renewals);
  metrics.showLedgerQueues(() => ledgerShares.held());
  showRecovery(metrics, recovery, orphanedAfterMs);
  showCourier(metrics, courier);
  const { waitTimeoutMs } = settings;
  const keys = new KeyLookup(pool);
  return {
    engine: { pool, intake, keys, admission, callerShares, ledgerShares, dispatcher, courier, waitTimeoutMs },
    recovery,
    databaseAnswers: () => now() - heardAt < timeouts.connectTimeoutMs,
  };
}

function trialsOf(pool: ConnectionPool): Trials {
  return {
    begin: async (unit) => await beginTrial(pool, unit.ledger, transfersOf(unit)),
    end: async (unit) => await endTrial(pool, unit.ledger, transfersOf(unit)),
  };
}

function showPools(metrics: Metrics, pools: Readonly<Record<string, ConnectionPool>>): void {
  for (const [name, pool] of Object.entries(pools)) metrics.showPool(name, pool);
}

function showRecovery(metrics: Metrics, recovery: Recovery, orphanedAfterMs: number): void {
  const figures = recovery.figures.bind(recovery);
  metrics.show('gopherpay_heartbeat_age_seconds', () => figures().heartbeatAgeMs / 1000);
  metrics.show('gopherpay_heartbeat_age_seconds_limit', () => orphanedAfterMs / 1000);
  // The own lease is open as well.
  metrics.show('gopherpay_leases', () => figures().otherLeases + 1, 'open');
  metrics.show('gopherpay_leases', () => figures().orphanedLeases, 'orphaned');
  metrics.show('gopherpay_leases_taken_over_total', () => figures().takenOver);
  metrics.show('gopherpay_adopted_transfers_total', () => figures().orphanTransfers, 'orphan');
  metrics.show('gopherpay_adopted_transfers_total', () => figures().ownTransfers, 'own');
  metrics.show('gopherpay_adopted_units_total', () => figures().orphanUnits, 'orphan');
  metrics.show('gopherpay_adopted_units_total', () => figures().ownUnits, 'own');
  metrics.show('gopherpay_orphan_scans_total', () => figures().scansOk, 'ok');
  metrics.show('gopherpay_orphan_scans_total', () => figures().scansFailed, 'failed');
}

function showCourier(metrics: Metrics, { figures }: Courier): void {
  metrics.show('gopherpay_courier_open_transfers', () => figures.open);
  metrics.show('gopherpay_courier_oldest_open_age_seconds', () => figures.oldestOpenSeconds);
  metrics.show('gopherpay_courier_ended_total', () => figures.delivered, 'delivered');
  metrics.show('gopherpay_courier_ended_total', () => figures.refused, 'refused');
  metrics.show('gopherpay_courier_failed_steps_total', () => figures.failedSteps);
}

/**
 * Another process adopts when a heartbeat takes too long, so the waits for its answer and for a connection end by then.
 */
function heartTimeoutsOf(timeouts: DatabaseTimeouts, orphanedAfterMs: number): DatabaseTimeouts {
  const { connectTimeoutMs, answerTimeoutMs } = timeouts;
  return {
    ...timeouts,
    connectTimeoutMs: Math.min(connectTimeoutMs, orphanedAfterMs),
    answerTimeoutMs: Math.min(answerTimeoutMs, orphanedAfterMs),
  };
}

function transfersOf({ transfers }: Unit): NewTransfer[] {
  return transfers.map(({ transfer }) => transfer);
}

function now(): number {
  return performance.now();
}
