// Prepares the database before the service uses it: migrations and rights, as the owner of the tables if its address is known.
import type { DatabaseSettings } from '../db/connection/connect.ts';
import { limitedRolesOf } from '../db/ledger/grants.ts';
import { migrate } from '../db/ledger/migrate.ts';
import type { Logger } from '../logger.ts';

/** The database as its roles reach it. */
export type ServiceDatabases = {
  readonly owner: DatabaseSettings;
  readonly runtime: DatabaseSettings;
  readonly reader: DatabaseSettings | null;
};

/**
 * Applies the missing migrations as the owner, and grants the service and the readers their rights. Throws an error of
 * one sentence if the database is not up to date afterwards.
 */
export async function prepareDatabase(
  databases: ServiceDatabases,
  connectTimeoutMs: number,
  logger: Logger,
): Promise<void> {
  const roles = limitedRolesOf(databases);
  if (roles.runtime !== null) await migrate(databases.owner, { connectTimeoutMs, roles });
  const { ownsTables } = await migrate(databases.runtime, { connectTimeoutMs });
  if (ownsTables) {
    const advice = 'run the service as a role of its own, which "gopherpay migrate" grants its rights: docs/ACCESS.md';
    logger.warn({ advice }, 'database role owns the tables');
  }
}
