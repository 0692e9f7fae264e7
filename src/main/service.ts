// The service: puts its parts together, starts them in order, and stops them in the reverse one.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { createPool, type DatabaseSettings, type DatabaseTimeouts } from '../db/connect.ts';
import { isPoolBusy } from '../db/errors.ts';
import { migrate } from '../db/migrate.ts';
import type { Logger, ServiceLogger } from '../logger.ts';
import { type ConnectionLimits, fitConnections, openFilesMax } from './connections.ts';
import { Feed } from './feed.ts';
import { accountRoutes } from './handlers/accounts.ts';
import { eventRoutes } from './handlers/events.ts';
import { holdRoutes } from './handlers/holds.ts';
import { ledgerRoutes } from './handlers/ledgers.ts';
import { operationRoutes } from './handlers/operations.ts';
import { statementRoutes } from './handlers/statements.ts';
import { transferRoutes } from './handlers/transfers.ts';
import { Intake } from './engine/intake.ts';
import { KeyLookup } from './engine/keys.ts';
import { Lease } from './engine/lease.ts';
import { LedgerRegistry } from './ledgers.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { renderOpenApi } from './openapi.ts';
import { createThreadPool } from './engine/pool.ts';
import { Problem } from './problem.ts';
import { Admission } from './engine/admission.ts';
import { AdmissionShares, LEDGER_COMPETES_MS } from './engine/admission-shares.ts';
import { startReadProbe } from './read-probe.ts';
import { FILTER_ADVICE, Reads, tooBusyProblem } from './reads.ts';
import { type Recovery, startRecovery } from './engine/recovery.ts';
import { AllowedHosts } from './hosts.ts';
import type { Route } from './route.ts';
import { unavailableProblem } from './failures.ts';
import { closeGently, createHttpServer } from './server.ts';
import { type Engine, releaseShares } from './engine/engine.ts';
import { Dispatcher } from './engine/dispatcher.ts';
import { Places } from './stream.ts';
import { queueFullProblem } from './submission.ts';

/** For short reads. Longer ones have connections of their own, opened when first used, so that they do not delay short ones. */
const POOL_CONNECTIONS_MAX = 5;
const CHANGE_CONNECTIONS_MAX = 3;
const SCAN_CONNECTIONS_MAX = 3;
const READING_CONNECTIONS_MAX = 3;
const FEED_CONNECTIONS_MAX = 2;
/** Connections of the main process: the pools, intake, heartbeat and recovery. Each thread has one more. */
const DATABASE_CONNECTIONS_MAX =
  POOL_CONNECTIONS_MAX +
  CHANGE_CONNECTIONS_MAX +
  SCAN_CONNECTIONS_MAX +
  READING_CONNECTIONS_MAX +
  FEED_CONNECTIONS_MAX +
  3;
const BOOKS_ADVICE = 'Try again when the database is less busy, or have the operator raise DB_STATEMENT_TIMEOUT_MS.';
/** Connections of the listener for operators, if there is one. */
const OPERATIONS_CONNECTIONS_MAX = 100;

const LOST_POLL_MS = 100;

export type Service = {
  readonly url: string;
  /** Refuses new requests, answers those in flight, settles what is accepted, and ends. */
  stop(): Promise<void>;
};

/** Starts the service on a database. Throws if the database or the port cannot be had. */
export async function startService(
  config: Config,
  database: DatabaseSettings,
  logger: ServiceLogger,
): Promise<Service> {
  const connectionLimits = limitByFiles(config, logger);
  const timeouts = config.databaseTimeouts;
  await migrate(database, { connectTimeoutMs: timeouts.connectTimeoutMs });
  const admission = new Admission(config.maxQueue, config.maxQueueBytes);
  const callerShares = new AdmissionShares(admission, config.callerSharePercent);
  const ledgerShares = new AdmissionShares(
    admission,
    config.callerSharePercent,
    () => performance.now(),
    LEDGER_COMPETES_MS,
  );
  const metrics = createMetrics(admission);
  const pool = createPool(database, timeouts, POOL_CONNECTIONS_MAX);
  // A heartbeat that waits in line behind callers would have the process taken for dead.
  const heartPool = createPool(database, heartTimeoutsOf(config), 1);
  let heardAt = performance.now();
  heartPool.on('release', (error) => {
    if (!error) heardAt = performance.now();
  });
  const recoveryPool = createPool(database, timeouts, 1);
  const changePool = createPool(database, timeouts, CHANGE_CONNECTIONS_MAX);
  const scanTimeouts = { ...timeouts, statementTimeoutMs: config.scanTimeoutMs };
  const scanPool = createPool(database, scanTimeouts, SCAN_CONNECTIONS_MAX);
  const readingPool = createPool(database, timeouts, READING_CONNECTIONS_MAX);
  const feedPool = createPool(database, timeouts, FEED_CONNECTIONS_MAX);
  const feed = new Feed({ pool: feedPool, logger, lingerTimeoutMs: config.lingerTimeoutMs });
  const threads = createThreadPool({
    threads: config.threads,
    maxQueue: config.maxQueue,
    database,
    timeouts,
    onError: (error) => logger.error({ reason: error.message }, 'a thread ended and is replaced'),
  });
  const lease = new Lease();
  let wakeRecovery = (): void => {};
  const intake = new Intake({
    database,
    timeouts,
    lease,
    metrics,
    logger,
    orphanedAfterMs: config.orphanedAfterMs,
    onDoubt: () => wakeRecovery(),
  });
  await intake.open().catch(async (error: unknown) => {
    await threads.destroy();
    await pool.end();
    throw error;
  });
  const { threads: threadCount, jobSizeMax, heartbeatMs, orphanedAfterMs } = config;
  const dispatcher = new Dispatcher({
    pool: threads,
    admission,
    metrics,
    logger,
    threads: threadCount,
    jobSizeMax,
    onJournal: (ledger, number) => feed.advance(ledger, number),
    onReleased: (unit) => releaseShares({ callerShares, ledgerShares }, unit),
  });
  const recovery = startRecovery({
    heartPool,
    pool: recoveryPool,
    lease,
    intake,
    admission,
    ledgerShares,
    dispatcher,
    logger,
    heartbeatMs,
    orphanedAfterMs,
  });
  wakeRecovery = () => recovery.wake();

  /** `leaving`: requests are still served, but `/readyz` says 503. `closing`: requests are refused. */
  let phase: 'serving' | 'leaving' | 'closing' = 'serving';
  const waitTimeoutMs = timeouts.connectTimeoutMs;
  const engine: Engine = {
    pool,
    intake,
    keys: new KeyLookup(pool),
    admission,
    callerShares,
    ledgerShares,
    dispatcher,
    waitTimeoutMs: config.waitTimeoutMs,
  };
  const parts = {
    pool,
    engine,
    waitTimeoutMs: config.waitTimeoutMs,
    lookUps: new Reads({ pool, runningMax: POOL_CONNECTIONS_MAX, waitTimeoutMs, advice: null }),
    scans: new Reads({ pool: scanPool, runningMax: SCAN_CONNECTIONS_MAX, waitTimeoutMs, advice: FILTER_ADVICE }),
    changes: new Reads({ pool: changePool, runningMax: CHANGE_CONNECTIONS_MAX, waitTimeoutMs, advice: null }),
  };
  // One connection fewer than the pool has: statements that are being written continue beside new reads.
  const books = new Reads({
    pool: readingPool,
    runningMax: READING_CONNECTIONS_MAX - 1,
    waitTimeoutMs,
    advice: BOOKS_ADVICE,
  });
  const pages = new Reads({ pool: feedPool, runningMax: FEED_CONNECTIONS_MAX - 1, waitTimeoutMs, advice: null });
  const { callerSharePercent } = config;
  const statementStreams = new Places({
    max: config.statementStreamsMax,
    callerSharePercent,
    onRefused: () => metrics.refused('statement_streams'),
  });
  const ledgers = new LedgerRegistry(pool);
  const eventStreams = new Places({
    max: config.eventStreamsMax,
    callerSharePercent,
    onRefused: () => metrics.refused('event_streams'),
  });
  const readProbe = startReadProbe({ pool, logger, intervalMs: heartbeatMs, failedAfterMs: orphanedAfterMs });
  const bookRoutes = [
    ...ledgerRoutes({ ...parts, ledgers }),
    ...accountRoutes(parts),
    ...transferRoutes(parts),
    ...holdRoutes(parts),
    ...statementRoutes({ pool: readingPool, streams: statementStreams, books }),
    ...eventRoutes({ feed, streams: eventStreams, pages }),
  ];
  const operations = operationRoutes({
    intake,
    metrics,
    stopping: () => phase !== 'serving',
    heartbeatHealthy: () => recovery.healthy,
    readsHealthy: () => readProbe.healthy,
    openapi: () => renderOpenApi(routes),
  });
  const databaseAnswers = () => performance.now() - heardAt < timeouts.connectTimeoutMs;
  const guards = { recovery, engine, metrics, databaseAnswers };
  const routes: Route[] = [
    ...bookRoutes.map((route) => refuseEarly(route, guards)),
    // With a listener for operators, callers cannot read metrics.
    ...operations.filter(({ pattern }) => config.operations === null || pattern !== '/metrics'),
  ];
  const hosts = new AllowedHosts(config.host, config.allowedHosts);
  const stopping = () => phase === 'closing';
  const findLedger = async (name: string) =>
    ledgers.recall(name) ?? (await refuseUnreachable(async () => await ledgers.find(name), guards));
  const serverOptions = { ...config, ...connectionLimits, metrics, logger, hosts, stopping, findLedger };
  const server = createHttpServer({ ...serverOptions, routes });
  const operationsServer = createHttpServer({
    ...serverOptions,
    connectionsMax: OPERATIONS_CONNECTIONS_MAX,
    routes: operations,
  });
  try {
    if (config.operations) {
      operationsServer.listen(config.operations.port, config.operations.host);
      await once(operationsServer, 'listening');
      logger.info({ url: urlOf(config.operations.host, operationsServer.address()) }, 'operations listener started');
    }
    server.listen(config.port, config.host);
    await once(server, 'listening');
  } catch (error) {
    await close();
    throw error;
  }

  async function stop(): Promise<void> {
    phase = 'leaving';
    if (config.shutdownDelayMs > 0) await sleep(config.shutdownDelayMs);
    phase = 'closing';
    const closed = closeGently(server);
    await feed.stop();
    const inFlight = setTimeout(() => server.closeAllConnections(), config.drainTimeoutMs);
    await closed;
    clearTimeout(inFlight);
    await recovery.stopAdopting();
    const draining = new AbortController();
    const drained = await Promise.race([dispatcher.drain(config.drainTimeoutMs), untilLost(draining.signal)]);
    draining.abort();
    if (!drained)
      logger.error({ transfers: admission.size }, 'stopped before everything was settled; the next start goes on');
    await close();
  }

  /**
   * Resolves when the database has been out of reach for `orphanedAfterMs`. Pending transfers are durable, so there is nothing to wait
   * for: a supervisor that signals all processes at once has ended the embedded server as well.
   */
  async function untilLost(signal: AbortSignal): Promise<false> {
    let reachedAt = performance.now();
    while (!signal.aborted && performance.now() - reachedAt < orphanedAfterMs) {
      await sleep(LOST_POLL_MS, undefined, { ref: false });
      if (recovery.reachable) reachedAt = performance.now();
    }
    return false;
  }

  async function close(): Promise<void> {
    operationsServer.close();
    operationsServer.closeAllConnections();
    readProbe.stop();
    dispatcher.stop();
    await recovery.stop();
    await heartPool.end();
    await recoveryPool.end();
    await threads.destroy();
    await intake.close();
    await feedPool.end();
    await readingPool.end();
    await scanPool.end();
    await changePool.end();
    await pool.end();
  }

  return { url: urlOf(config.host, server.address()), stop };
}

/** The limits of connections that the limit of open files allows. */
function limitByFiles({ connectionsMax: wanted, threads }: Config, logger: Logger): ConnectionLimits {
  const filesMax = openFilesMax();
  const databaseConnections = DATABASE_CONNECTIONS_MAX + threads;
  const limits = fitConnections(wanted, { filesMax, threads, databaseConnections });
  if (limits.connectionsMax < wanted) {
    logger.warn(
      { open_files_max: filesMax, connections_max: limits.connectionsMax, wanted },
      'limit of connections lowered: raise the limit of open files, or lower CONNECTIONS_MAX',
    );
  }
  return limits;
}

/** A heartbeat that takes longer than others wait for it is none, so neither its answer nor a way to send it is waited for any longer. */
function heartTimeoutsOf({ databaseTimeouts, orphanedAfterMs }: Config): DatabaseTimeouts {
  const { connectTimeoutMs, answerTimeoutMs } = databaseTimeouts;
  return {
    ...databaseTimeouts,
    connectTimeoutMs: Math.min(connectTimeoutMs, orphanedAfterMs),
    answerTimeoutMs: Math.min(answerTimeoutMs, orphanedAfterMs),
  };
}

/**
 * A route that refuses what it can before it reads the body: with 503 while it is known that the database cannot be reached,
 * and with 429 while no place in the queue is left, so that a storm costs as little as can be.
 */
function refuseEarly(route: Route, guards: Guards): Route {
  const { engine, metrics } = guards;
  const { admission, callerShares, ledgerShares } = engine;
  const handle: Route['handle'] = async (exchange) => {
    if (route.needsAdmission) {
      // Called also while the queue is full: from then on, the caller or ledger that fills it is limited to its share.
      const mayTake = [callerShares.mayTake(exchange.caller), ledgerShares.mayTake(exchange.ledger.name)].every(
        Boolean,
      );
      // A request with a key may have been accepted before; then it is answered although the queue is full.
      const isNew = exchange.headers['idempotency-key'] === undefined;
      if (isNew && !mayTake && admission.room > 0) metrics.refused('queue');
      if (isNew && (!mayTake || admission.room === 0)) throw queueFullProblem(admission.retryAfterSeconds());
    }
    return await route.handle(exchange);
  };
  return { ...route, handle: async (exchange) => await refuseUnreachable(async () => await handle(exchange), guards) };
}

type Guards = {
  recovery: Recovery;
  engine: Engine;
  metrics: Metrics;
  /** Whether the database has answered a heartbeat while a request waited for a connection. */
  databaseAnswers: () => boolean;
};

/** Runs what needs the database. Throws a 503 at once while it is known that the database cannot be reached. */
async function refuseUnreachable<Result>(
  work: () => Promise<Result>,
  { recovery, databaseAnswers }: Pick<Guards, 'recovery' | 'databaseAnswers'>,
): Promise<Result> {
  if (!recovery.reachable) throw unavailableProblem();
  try {
    return await work();
  } catch (error) {
    const waitedInVain = isPoolBusy(error) || (error instanceof Problem && error.code === 'too_busy');
    if (!waitedInVain) throw error;
    // Connections that wait for a silent database look busy as well.
    throw databaseAnswers() ? tooBusyProblem() : unavailableProblem();
  }
}

function urlOf(host: string, address: AddressInfo | string | null): string {
  const port = typeof address === 'object' && address !== null ? address.port : '';
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
