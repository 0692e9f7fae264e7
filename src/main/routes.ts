// The routes that read or change the books, with the reads and streams that they share.
import type { Config } from '../config.ts';
import type { ConnectionPool } from '../db/connection/connect.ts';
import type { KeyRing } from './access/key-ring.ts';
import type { Feed } from './api/feed.ts';
import { guardRoute } from './api/guards.ts';
import type { LedgerRegistry } from './api/ledgers.ts';
import { FILTER_ADVICE, Reads } from './api/reads.ts';
import type { RefusalLog } from './api/refusal-log.ts';
import type { Route } from './api/route.ts';
import { accessRoutes } from './api/routes/access.ts';
import { bookRoutes } from './api/routes/books.ts';
import {
  CHANGE_CONNECTIONS_MAX,
  FEED_CONNECTIONS_MAX,
  POOL_CONNECTIONS_MAX,
  READING_CONNECTIONS_MAX,
  SCAN_CONNECTIONS_MAX,
} from './database-connections.ts';
import type { Metrics } from './engine/metrics.ts';
import type { RunningEngine } from './engine/start.ts';
import { StreamSlots } from './http/stream.ts';
import type { Pools } from './pools.ts';
import { showSlots } from './show-metrics.ts';
import type { WebhookSender } from './webhooks/sender.ts';

const BOOKS_ADVICE = 'Try again when the database is less busy, or have the operator raise DB_STATEMENT_TIMEOUT_MS.';

/** The routes that read or change the books, guarded. */
export function guardedRoutes(
  config: Config,
  parts: {
    pools: Pools;
    running: RunningEngine;
    metrics: Metrics;
    feed: Feed;
    webhooks: WebhookSender;
    ledgers: LedgerRegistry;
    keys: KeyRing;
    refusals: RefusalLog;
  },
): Route[] {
  const { pools, running, metrics, feed, webhooks, ledgers, keys, refusals } = parts;
  const { pool, changePool, scanPool, readingPool, feedPool } = pools;
  const { callerSharePercent, databaseTimeouts } = config;
  const reads = (readPool: ConnectionPool, runningMax: number, advice: string | null = null): Reads =>
    new Reads({ pool: readPool, runningMax, waitTimeoutMs: databaseTimeouts.connectTimeoutMs, advice });
  const streams = (max: number, resource: 'statement_streams' | 'event_streams'): StreamSlots => {
    const slots = new StreamSlots({ max, callerSharePercent, onRefused: () => metrics.refused(resource) });
    showSlots(metrics, resource, slots, max);
    return slots;
  };
  const services = {
    engine: running.engine,
    lookUps: reads(pool, POOL_CONNECTIONS_MAX),
    scans: reads(scanPool, SCAN_CONNECTIONS_MAX, FILTER_ADVICE),
    changes: reads(changePool, CHANGE_CONNECTIONS_MAX),
    approvalAbove: keys.approvalAbove.bind(keys),
  };
  // One connection fewer than the pool has: statements that are being written continue beside new reads.
  const statementParts = {
    pool: readingPool,
    streams: streams(config.statementStreamsMax, 'statement_streams'),
    books: reads(readingPool, READING_CONNECTIONS_MAX - 1, BOOKS_ADVICE),
  };
  const eventParts = {
    feed,
    streams: streams(config.eventStreamsMax, 'event_streams'),
    pages: reads(feedPool, FEED_CONNECTIONS_MAX - 1),
  };
  const webhookParts = {
    ...services,
    allowPrivate: config.webhooksAllowPrivate,
    onChange: webhooks.noteChange.bind(webhooks),
  };
  const routes = bookRoutes({
    services,
    ledgers,
    expireHolds: running.recovery.wake.bind(running.recovery),
    statements: statementParts,
    events: eventParts,
    webhooks: webhookParts,
  });
  return [...routes.map((route) => guardRoute(route, { running, metrics, refusals })), ...accessRoutes({ metrics })];
}
