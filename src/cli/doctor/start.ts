// The cheap checks of the doctor, which a start of the service makes: what an operator should know before it is late.
import type { Config } from '../../config.ts';
import type { DatabaseSettings } from '../../db/connection/connect.ts';
import { toError } from '../../db/connection/errors.ts';
import { readClock, readServer } from '../../db/doctor/server.ts';
import type { Logger } from '../../logger.ts';
import { databaseConnectionsOf } from '../../main/database-connections.ts';
import { namedDatabases, withConnection } from '../command.ts';
import type { Finding } from './finding.ts';
import { judgeClock, judgeDisk, judgeTls } from './judge-machine.ts';
import { judgeServer } from './judge-server.ts';

/** Logs a warning for each problem of the server, and for a wrong clock, a full disk or a certificate that ends soon. */
export async function warnOfStart(
  config: Config,
  database: DatabaseSettings,
  { logger, signal }: { logger: Logger; signal: AbortSignal },
): Promise<void> {
  try {
    const findings = await examine(config, database, signal);
    for (const { check, found, advice } of findings) {
      if (advice !== null) logger.warn({ check, found, advice }, 'start check failed');
    }
  } catch (error) {
    if (!signal.aborted) logger.warn({ reason: toError(error).message }, 'start checks not made');
  }
}

async function examine(config: Config, database: DatabaseSettings, signal: AbortSignal): Promise<readonly Finding[]> {
  const { databaseTimeouts: timeouts, threads, tls, dataDir } = config;
  const applicationName = 'gopherpay start';
  const { server, clock } = await withConnection(
    database,
    { timeouts, signal, applicationName },
    async (connection) => ({ server: await readServer(connection), clock: await readClock(connection) }),
  );
  return [
    // Its warnings are advice for a quiet moment, which the command gives.
    ...judgeServer(server, databaseConnectionsOf(threads)).filter(({ status }) => status === 'problem'),
    ...judgeClock(clock.at, Date.now(), clock.tookMs).filter(({ check }) => check === 'machine.clock'),
    ...(namedDatabases(config) ? [] : [await judgeDisk(dataDir, null)]),
    ...(tls ? [await judgeTls(tls.cert, { open: false, proxied: false })] : []),
  ];
}
