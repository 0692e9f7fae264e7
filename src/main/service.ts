// The service: puts its parts together, starts them in order, and stops them in the reverse one.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { createPool, type DatabaseSettings, type DatabaseTimeouts } from '../db/connect.ts';
import { migrate } from '../db/migrate.ts';
import type { Logger } from '../logger.ts';
import { Feed } from './feed.ts';
import { accountRoutes } from './handlers/accounts.ts';
import { eventRoutes } from './handlers/events.ts';
import { holdRoutes } from './handlers/holds.ts';
import { operationRoutes } from './handlers/operations.ts';
import { statementRoutes } from './handlers/statements.ts';
import { transferRoutes } from './handlers/transfers.ts';
import { Intake } from './intake.ts';
import { KeyLookup } from './keys.ts';
import { Lease } from './lease.ts';
import { createMetrics } from './metrics.ts';
import { renderOpenApi } from './openapi.ts';
import { createThreadPool } from './pool.ts';
import { Queue } from './queue.ts';
import { type Recovery, startRecovery } from './recovery.ts';
import { AllowedHosts } from './hosts.ts';
import type { Route } from './route.ts';
import { closeGently, createHttpServer, unavailableProblem } from './server.ts';
import { Settlement } from './settlement.ts';
import { Places } from './stream.ts';
import { queueFullProblem } from './submission.ts';

const POOL_CONNECTIONS_MAX = 5;
/** Long reads and the feed have connections of their own, made when first used: they must not hold up short reads. */
const READING_CONNECTIONS_MAX = 3;
const FEED_CONNECTIONS_MAX = 2;

export type Service = {
  readonly url: string;
  /** Refuses new requests, answers those in flight, settles what is accepted, and ends. */
  stop(): Promise<void>;
};

/** Starts the service on a database. Throws if the database or the port cannot be had. */
export async function startService(config: Config, database: DatabaseSettings, logger: Logger): Promise<Service> {
  const timeouts = config.databaseTimeouts;
  await migrate(database, { connectTimeoutMs: timeouts.connectTimeoutMs });
  const queue = new Queue(config.maxQueue, config.maxQueueBytes);
  const metrics = createMetrics(queue);
  const pool = createPool(database, timeouts, POOL_CONNECTIONS_MAX);
  // A heartbeat that waits in line behind callers would have the process taken for dead.
  const heartPool = createPool(database, heartTimeoutsOf(config), 1);
  const recoveryPool = createPool(database, timeouts, 1);
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
  const intake = new Intake({ database, timeouts, lease, metrics, logger, onDoubt: () => wakeRecovery() });
  await intake.open().catch(async (error: unknown) => {
    await threads.destroy();
    await pool.end();
    throw error;
  });
  const { threads: threadCount, jobSizeMax, heartbeatMs, orphanedAfterMs } = config;
  const settlement = new Settlement({
    pool: threads,
    queue,
    metrics,
    logger,
    threads: threadCount,
    jobSizeMax,
    onJournal: (number) => feed.advance(number),
  });
  const recovery = startRecovery({
    heartPool,
    pool: recoveryPool,
    lease,
    queue,
    settlement,
    logger,
    heartbeatMs,
    orphanedAfterMs,
  });
  wakeRecovery = () => recovery.wake();

  /** `leaving`: requests are still served, but `/readyz` says 503. `closing`: requests are refused. */
  let phase: 'serving' | 'leaving' | 'closing' = 'serving';
  const keys = new KeyLookup(pool);
  const parts = { pool, lease, intake, keys, queue, settlement, waitTimeoutMs: config.waitTimeoutMs, wakeRecovery };
  const bookRoutes = [
    ...accountRoutes(parts),
    ...transferRoutes(parts),
    ...holdRoutes(parts),
    ...statementRoutes({ pool: readingPool, streams: new Places(config.statementStreamsMax) }),
    ...eventRoutes({ feed, streams: new Places(config.eventStreamsMax) }),
  ];
  const routes: Route[] = [
    ...bookRoutes.map((route) => refuseEarly(route, recovery, queue)),
    ...operationRoutes({
      pool,
      intake,
      metrics,
      healthy: () => recovery.healthy,
      stopping: () => phase !== 'serving',
      openapi: () => renderOpenApi(routes),
    }),
  ];
  const hosts = new AllowedHosts(config.host, config.allowedHosts);
  const server = createHttpServer({ ...config, routes, metrics, logger, hosts, stopping: () => phase === 'closing' });
  server.listen(config.port, config.host);
  await once(server, 'listening').catch(async (error: unknown) => {
    await close();
    throw error;
  });

  async function stop(): Promise<void> {
    phase = 'leaving';
    if (config.shutdownDelayMs > 0) await sleep(config.shutdownDelayMs);
    phase = 'closing';
    const closed = closeGently(server);
    await feed.stop();
    const inFlight = setTimeout(() => server.closeAllConnections(), config.drainTimeoutMs);
    await closed;
    clearTimeout(inFlight);
    const drained = await settlement.drain(config.drainTimeoutMs);
    if (!drained)
      logger.error({ transfers: queue.size }, 'stopped before everything was settled; the next start goes on');
    await close();
  }

  async function close(): Promise<void> {
    await recovery.stop();
    await heartPool.end();
    await recoveryPool.end();
    await threads.destroy();
    await intake.close();
    await feedPool.end();
    await readingPool.end();
    await pool.end();
  }

  return { url: urlOf(config.host, server.address()), stop };
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
function refuseEarly(route: Route, recovery: Recovery, queue: Queue): Route {
  return {
    ...route,
    handle: async (exchange) => {
      if (!recovery.reachable) throw unavailableProblem();
      // With a key it may be answered although the queue is full: it may have been accepted before.
      if (route.takesPlace && queue.room === 0 && exchange.headers['idempotency-key'] === undefined)
        throw queueFullProblem(queue);
      return await route.handle(exchange);
    },
  };
}

function urlOf(host: string, address: AddressInfo | string | null): string {
  const port = typeof address === 'object' && address !== null ? address.port : '';
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
