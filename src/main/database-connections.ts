// How many connections to the database one process of the service opens at most, and for what.

/**
 * For short reads. Longer ones have connections of their own, opened when first used, so that they do not delay short
 * ones.
 */
export const POOL_CONNECTIONS_MAX = 5;
export const CHANGE_CONNECTIONS_MAX = 3;
export const SCAN_CONNECTIONS_MAX = 3;
export const READING_CONNECTIONS_MAX = 3;
export const FEED_CONNECTIONS_MAX = 2;
export const WEBHOOK_CONNECTIONS_MAX = 2;
/** For the keys, which must be read in time, and for the log of refusals. */
export const ACCESS_CONNECTIONS_MAX = 2;
/** Intake, heartbeat, recovery and the courier. */
const ENGINE_CONNECTIONS = 4;
const MAIN_CONNECTIONS_MAX =
  POOL_CONNECTIONS_MAX +
  CHANGE_CONNECTIONS_MAX +
  SCAN_CONNECTIONS_MAX +
  READING_CONNECTIONS_MAX +
  FEED_CONNECTIONS_MAX +
  WEBHOOK_CONNECTIONS_MAX +
  ACCESS_CONNECTIONS_MAX +
  ENGINE_CONNECTIONS;

/** Each thread has a connection of its own. */
export function databaseConnectionsOf(threads: number): number {
  return MAIN_CONNECTIONS_MAX + threads;
}
