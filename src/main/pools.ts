// The connections of the main process, in pools by what they are for, so that none delays another.
import type { Config } from '../config.ts';
import { type ConnectionPool, createPool, type DatabaseSettings } from '../db/connection/connect.ts';
import {
  ACCESS_CONNECTIONS_MAX,
  CHANGE_CONNECTIONS_MAX,
  FEED_CONNECTIONS_MAX,
  POOL_CONNECTIONS_MAX,
  READING_CONNECTIONS_MAX,
  SCAN_CONNECTIONS_MAX,
  WEBHOOK_CONNECTIONS_MAX,
} from './database-connections.ts';

type PoolName = 'pool' | 'accessPool' | 'changePool' | 'scanPool' | 'readingPool' | 'feedPool' | 'webhookPool';
export type Pools = Record<PoolName, ConnectionPool>;

/** Opens the pools, which end with the stack. */
export function openPools(config: Config, database: DatabaseSettings, stack: AsyncDisposableStack): Pools {
  const { databaseTimeouts: timeouts } = config;
  const scanTimeouts = { ...timeouts, statementTimeoutMs: config.scanTimeoutMs };
  const open = (connectionsMax: number, poolTimeouts = timeouts): ConnectionPool => {
    const pool = createPool(database, poolTimeouts, connectionsMax);
    stack.defer(async () => await pool.end());
    return pool;
  };
  return {
    pool: open(POOL_CONNECTIONS_MAX),
    accessPool: open(ACCESS_CONNECTIONS_MAX),
    changePool: open(CHANGE_CONNECTIONS_MAX),
    scanPool: open(SCAN_CONNECTIONS_MAX, scanTimeouts),
    readingPool: open(READING_CONNECTIONS_MAX),
    feedPool: open(FEED_CONNECTIONS_MAX),
    webhookPool: open(WEBHOOK_CONNECTIONS_MAX),
  };
}
