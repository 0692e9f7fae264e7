// The service: puts its parts together, starts them in order, and stops them in reverse order.
import { once } from 'node:events';
import type { Server } from 'node:http';
import { Server as HttpsServer } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { type ConnectionPool, placeOf } from '../db/connection/connect.ts';
import { type BooksSummary, summarizeBooks } from '../db/queries/books.ts';
import type { Principal } from '../domain/access.ts';
import type { Ledger } from '../domain/ledger.ts';
import type { Logger, ServiceLogger } from '../logger.ts';
import { type ConnectionLimits, fitConnections } from './http/connections.ts';
import { Admission } from './engine/admission.ts';
import { type RunningEngine, startEngine } from './engine/start.ts';
import { databaseConnectionsOf } from './database-connections.ts';
import { toProblem } from './api/failures.ts';
import { Feed } from './api/feed.ts';
import { operationRoutes } from './api/routes/operations.ts';
import { consoleEndpoints } from './console/endpoints.ts';
import { AllowedHosts } from './http/hosts.ts';
import { AllowedOrigins } from './http/origins.ts';
import { LedgerRegistry } from './api/ledgers.ts';
import { createMetrics, type Metrics } from './engine/metrics.ts';
import { openFilesMax } from '../open-files.ts';
import { prepareDatabase, type ServiceDatabases } from './prepare-database.ts';
import { renderOpenApi } from './api/openapi.ts';
import { startAccess, type StartedAccess } from './start-access.ts';
import { startTracing } from './start-tracing.ts';
import { startReadProbe } from './api/read-probe.ts';
import type { Route } from './api/route.ts';
import { renderEvent } from './api/views.ts';
import { openPools } from './pools.ts';
import { guardedRoutes } from './routes.ts';
import { showService } from './show-metrics.ts';
import { closeGently } from './http/close.ts';
import { createHttpServer, type ServerOptions } from './http/server.ts';
import type { Tracer } from './tracer.ts';
import { ListenerTls } from './http/tls.ts';
import { CONNECTIONS_OF_PLACE, TURNS_MAX, WebhookSender } from './webhooks/sender.ts';
import { resolveAnyName, resolvePublicName } from './webhooks/target.ts';

/** Connections of the listener for operators, if there is one. */
const OPERATIONS_CONNECTIONS_MAX = 100;

const LOST_POLL_MS = 100;

export type Service = {
  readonly url: string;
  readonly database: BooksSummary & { readonly host: string; readonly name: string };
  /** Whether every caller is served, because there are no keys. */
  readonly isOpen: boolean;
  /** Refuses new requests, answers those in flight, settles accepted transfers, and ends. */
  stop(): Promise<void>;
  /** Reads the files of TLS again, for new connections. Null: the service has no TLS. */
  reloadTls: (() => void) | null;
};

/** `leaving`: requests are still served, but `/readyz` says 503. `closing`: requests are refused. */
type Life = { phase: 'serving' | 'leaving' | 'closing' };

/** Starts the service on a database. Throws if the database or the port is not available. */
export async function startService(
  config: Config,
  databases: ServiceDatabases,
  logger: ServiceLogger,
): Promise<Service> {
  const tls = config.tls && new ListenerTls(config.tls);
  const { webhookPlaces: placesMax, ...connectionLimits } = limitByFiles(config, logger);
  await prepareDatabase(databases, config.databaseTimeouts.connectTimeoutMs, logger);
  const database = databases.runtime;
  // If the start fails, the started parts are stopped.
  await using stack = new AsyncDisposableStack();
  const tracer = await startTracing(config, logger, stack);
  const pools = openPools(config, database, stack);
  const { pool } = pools;
  const summary = await summarizeBooks(pool);
  const admission = new Admission(config.maxQueue, config.maxQueueBytes);
  const metrics = createMetrics(admission);
  const feed = new Feed({ pool: pools.feedPool, logger, lingerTimeoutMs: config.lingerTimeoutMs });
  const webhooks = createWebhookSender(config, { pool: pools.webhookPool, placesMax, metrics, logger, tracer });
  const onJournal = (ledger: Ledger, number: bigint): void => {
    metrics.journal(ledger.name, number);
    feed.advance(ledger, number);
    webhooks.noteJournal();
  };
  const running = await startEngine(config, { database, pool, admission, metrics, logger, tracer, onJournal }, stack);
  const { heartbeatMs: intervalMs, orphanedAfterMs: failedAfterMs } = config;
  const readProbe = startReadProbe({ pool, logger, intervalMs, failedAfterMs });
  stack.defer(() => readProbe.stop());
  const shown = { database, pools, running, readProbe, webhookPlaces: placesMax, tls, tracer };
  showService(metrics, shown);
  const life: Life = { phase: 'serving' };
  const ledgers = new LedgerRegistry(pool);
  const { connectionsMax } = connectionLimits;
  const accessParts = { pool: pools.accessPool, logger, ledgers, running, connectionsMax };
  const access = await startAccess(config, accessParts, stack);
  const books = guardedRoutes(config, { pools, running, metrics, feed, webhooks, ledgers, ...access });
  const operations = operationRoutes({
    intake: running.engine.intake,
    metrics,
    stopping: () => life.phase !== 'serving',
    heartbeatHealthy: () => running.recovery.healthy,
    readsHealthy: () => readProbe.healthy,
    openapi: () => renderOpenApi(routes, config.basePath),
  });
  // With a listener for operators, callers cannot read metrics.
  const routes = [...books, ...operations.filter(({ pattern }) => !config.operations || pattern !== '/metrics')];
  const serverOptions = serverOptionsOf(config, { connectionLimits, metrics, logger, tracer, access, tls, life });
  const guarded = (list: Route[]) => list.map((route) => access.doors.guard(route));
  await listenForOperators(config, serverOptions, { endpoints: guarded(operations), stack });
  const endpoints = [...guarded(routes), ...(config.console ? consoleEndpoints(access.doors) : [])];
  const server = createHttpServer({ ...serverOptions, endpoints });
  const url = await listen(server, config, stack);
  if (access.isOpen()) warnOfOpenDoors(config, logger);
  webhooks.start();
  const started = stack.move();
  return {
    url,
    database: { ...placeOf(database), ...summary },
    isOpen: access.isOpen(),
    stop: async () => {
      const sent = webhooks.stop(config.drainTimeoutMs);
      await leave(config, { life, server, feed, running, logger });
      await sent;
      await started.disposeAsync();
    },
    reloadTls: tls && (() => reloadTls(tls, logger)),
  };
}

function serverOptionsOf(
  config: Config,
  parts: {
    connectionLimits: ConnectionLimits;
    metrics: Metrics;
    logger: ServiceLogger;
    tracer: Tracer | null;
    access: StartedAccess;
    tls: ListenerTls | null;
    life: Life;
  },
): Omit<ServerOptions<Ledger, Principal>, 'endpoints'> {
  const { connectionLimits, metrics, logger, tracer, access, tls, life } = parts;
  return {
    ...config,
    ...connectionLimits,
    metrics,
    logger,
    tracer,
    toProblem: (error, requestId) => toProblem(error, logger, requestId),
    isAdmitted: access.doors.isAdmitted.bind(access.doors),
    hosts: new AllowedHosts(config.host, config.allowedHosts),
    origins: new AllowedOrigins(config.corsOrigins),
    proxies: access.proxies,
    tls,
    listener: 'callers',
    stopping: () => life.phase === 'closing',
  };
}

/** Starts the second listener, if the settings have one. */
async function listenForOperators(
  { operations }: Config,
  options: Omit<ServerOptions<Ledger, Principal>, 'endpoints'>,
  { endpoints, stack }: { endpoints: ServerOptions<Ledger, Principal>['endpoints']; stack: AsyncDisposableStack },
): Promise<void> {
  if (!operations) return;
  const server = createHttpServer({
    ...options,
    origins: new AllowedOrigins([]),
    listener: 'operators',
    connectionsMax: OPERATIONS_CONNECTIONS_MAX,
    endpoints,
  });
  const url = await listen(server, operations, stack);
  options.logger.info({ url }, 'operations listener started');
}

function warnOfOpenDoors({ host }: Config, logger: Logger): void {
  const advice = 'create a key with gopherpay keys create';
  logger.warn({ host, advice }, 'no keys: everyone on this machine may do anything');
}

function reloadTls(tls: ListenerTls, logger: Logger): void {
  try {
    tls.reload();
    logger.info({ expires_at: tls.expiresAt }, 'certificate reloaded');
  } catch (error) {
    logger.error({ err: error }, 'certificate not reloaded');
  }
}

function createWebhookSender(
  config: Config,
  parts: { pool: ConnectionPool; placesMax: number; metrics: Metrics; logger: Logger; tracer: Tracer | null },
): WebhookSender {
  const { webhooksAllowPrivate: allowPrivate } = config;
  const { metrics } = parts;
  return new WebhookSender({
    ...parts,
    renderEvent,
    rules: { allowPrivate, resolve: allowPrivate ? resolveAnyName : resolvePublicName },
    claimMs: config.orphanedAfterMs,
    renewMs: config.heartbeatMs,
    onAttempt: metrics.webhookAttempt.bind(metrics),
    onState: metrics.webhooks.bind(metrics),
  });
}

/** Returns the URL at which the server listens. */
async function listen(
  server: Server,
  { host, port }: { host: string; port: number },
  stack: AsyncDisposableStack,
): Promise<string> {
  server.listen(port, host);
  await once(server, 'listening');
  stack.defer(() => {
    server.close();
    server.closeAllConnections();
  });
  return urlOf(server, host);
}

/** Refuses new requests, answers those in flight, and settles accepted transfers, each for a limited time. */
async function leave(
  config: Config,
  parts: { life: Life; server: Server; feed: Feed; running: RunningEngine; logger: Logger },
): Promise<void> {
  const { life, server, feed, running, logger } = parts;
  const { engine, recovery } = running;
  life.phase = 'leaving';
  if (config.shutdownDelayMs > 0) await sleep(config.shutdownDelayMs);
  const unreachable = Promise.withResolvers<void>();
  const closed = closeGently(server, unreachable.resolve);
  await unreachable.promise;
  life.phase = 'closing';
  await feed.stop();
  const inFlight = setTimeout(() => server.closeAllConnections(), config.drainTimeoutMs);
  await closed;
  clearTimeout(inFlight);
  await recovery.stopAdopting();
  const draining = new AbortController();
  const lost = untilLost(running, config.orphanedAfterMs, draining.signal);
  const { courier, dispatcher } = engine;
  const all = Promise.all([dispatcher.drain(config.drainTimeoutMs), courier.drain(config.drainTimeoutMs)]);
  // What the courier leaves is durable, and its open holds are found by others.
  const drained = await Promise.race([all.then(([isIdle]) => isIdle), lost]);
  draining.abort();
  if (!drained) logger.error({ transfers: engine.admission.size }, 'drain incomplete');
}

/**
 * Resolves when the database has been out of reach for `orphanedAfterMs`. Pending transfers are durable, so there is
 * nothing to wait for: a supervisor that signals all processes at once has ended the embedded server as well.
 */
async function untilLost({ recovery }: RunningEngine, orphanedAfterMs: number, signal: AbortSignal): Promise<false> {
  let reachedAt = performance.now();
  while (!signal.aborted && performance.now() - reachedAt < orphanedAfterMs) {
    await sleep(LOST_POLL_MS, undefined, { ref: false });
    if (recovery.reachable) reachedAt = performance.now();
  }
  return false;
}

/** The limits of connections that the limit of open files allows. */
function limitByFiles(
  { connectionsMax: wanted, threads }: Config,
  logger: Logger,
): ConnectionLimits & { readonly webhookPlaces: number } {
  const filesMax = openFilesMax();
  // Receivers that do not answer hold connections, so webhooks have at most an eighth of the files.
  const webhookPlaces = Math.max(2, Math.min(TURNS_MAX, Math.floor(filesMax / 8 / CONNECTIONS_OF_PLACE)));
  const ownConnections = databaseConnectionsOf(threads) + CONNECTIONS_OF_PLACE * webhookPlaces;
  const limits = fitConnections(wanted, { filesMax, threads, ownConnections });
  if (limits.connectionsMax < wanted) {
    logger.warn(
      {
        open_files_max: filesMax,
        connections_max: limits.connectionsMax,
        wanted,
        advice: 'raise the limit of open files, or lower CONNECTIONS_MAX',
      },
      'connection limit lowered',
    );
  }
  return { ...limits, webhookPlaces };
}

function urlOf(server: Server, host: string): string {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : '';
  const scheme = server instanceof HttpsServer ? 'https' : 'http';
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
