// gopherpay serve: runs the service until a signal stops it.
import closeWithGrace from 'close-with-grace';
import { defineCommand } from 'citty';
import { announceStart } from '../banner.ts';
import { type Config, readConfig } from '../config.ts';
import type { DatabaseSettings } from '../db/connection/connect.ts';
import { openEmbeddedServer } from '../db/embedded/server.ts';
import { LogDestination } from '../log-destination.ts';
import { createLogger, type Logger, type ServiceLogger } from '../logger.ts';
import type { Service } from '../main/service.ts';
import { CommandError, databaseAs, EXIT, namedDatabases, parseArguments } from './command.ts';
import { warnOfStart } from './doctor/start.ts';
import { renderSettings } from './settings-help.ts';
import { onStopSignal } from './signals.ts';

/** Signals that signals.ts handles. */
const OWN_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const command = defineCommand({
  meta: { name: 'serve', description: 'Run the service. Settings come from the environment and from .env.' },
  async run({ args }) {
    parseArguments({}, args);
    const config = readConfig();
    const log = await createLogger(config.logLevel);
    const { logger, flush } = log;
    logWarnings(logger);
    const stopping = new AbortController();
    const starting = start(config, logger, stopping.signal);
    const grace = closeWithGrace(
      { delay: stopTimeoutMs(config), logger: false, skip: [...OWN_SIGNALS] },
      async ({ err }) => {
        if (err) logger.fatal({ err }, 'uncaught error');
        stopping.abort(new CommandError(EXIT.ok, 'Stopped while starting.'));
        try {
          // After the start of the database, the service is stopped as soon as it is ready.
          const started = await starting.catch(() => null);
          await started?.service.stop();
          logger.info('stopped');
        } catch (error) {
          logger.fatal({ err: error }, 'stop failed');
          throw error;
        } finally {
          await flush();
        }
      },
    );
    const reload = () => void starting.then(({ service }) => service.reloadTls?.()).catch(() => {});
    const uninstall = onStopSignal((signal) => {
      logger.info({ signal }, 'stopping');
      grace.close();
    }, config.tls && reload);
    try {
      const { service, database } = await starting;
      const { url } = service;
      if (!stopping.signal.aborted) announceStart(log, service, config);
      // Not process.stdout.write, which blocks while a terminal is paused.
      const output = new LogDestination(1, () => {});
      output.write(`gopherpay listening on ${url}\n`);
      void output.flush(1000);
      await warnOfStart(config, database, { logger, signal: stopping.signal });
    } catch (error) {
      // The process exits as soon as the stop is done.
      if (stopping.signal.aborted) return;
      uninstall();
      grace.uninstall();
      await flush();
      throw explainListening(error, config);
    }
  },
});

/**
 * How long a stop can take. The delay, then twice the drain timeout: once for requests in flight, once for accepted transfers. Then
 * the last heartbeat and the end of the lease, which a silent database may not answer, and some time to stop an embedded database.
 */
export function stopTimeoutMs({ shutdownDelayMs, drainTimeoutMs, databaseTimeouts }: Config): number {
  const { answerTimeoutMs, connectTimeoutMs } = databaseTimeouts;
  return shutdownDelayMs + 2 * drainTimeoutMs + 2 * (answerTimeoutMs + connectTimeoutMs) + 25_000;
}

/** The help of this command has the settings, too. */
export const serve = { ...command, appendix: renderSettings };

type Started = { readonly service: Service; readonly database: DatabaseSettings };

/** Writes the warnings of Node to the log, as lines like all others. What is experimental in Node is no operator's concern. */
function logWarnings(logger: Logger): void {
  process.removeAllListeners('warning');
  process.on('warning', ({ name, message: reason }) => {
    logger[name === 'ExperimentalWarning' ? 'debug' : 'warn']({ name, reason }, 'node warning');
  });
}

/** Starts the service on the database of the settings, or on the embedded one, which then stops with it. */
async function start(config: Config, logger: ServiceLogger, signal: AbortSignal): Promise<Started> {
  const load = async () => await import('../main/service.ts');
  const named = namedDatabases(config);
  if (named) {
    const databases = { ...named, owner: databaseAs(named, 'owner'), runtime: databaseAs(named, 'runtime') };
    const service = await (await load()).startService(config, databases, logger);
    return { service, database: databases.runtime };
  }
  // Loaded while the database starts, which takes as long. Not before: loading would delay the launch.
  const embedded = await openEmbeddedServer(config.dataDir, {
    signal,
    onCreate: (folder) => logger.info({ folder }, 'creating the embedded database'),
    onLaunch: () => void load().catch(() => {}),
  });
  try {
    const { startService } = await load();
    const service = await startService(config, embedded.roles, logger);
    const stop = async (): Promise<void> => {
      try {
        await service.stop();
      } finally {
        await embedded.release();
      }
    };
    return { service: { ...service, stop }, database: embedded.roles.runtime };
  } catch (error) {
    await embedded.release();
    throw error;
  }
}

/** The error of a failed listen() as a sentence that says what to do; any other error unchanged. */
function explainListening(error: unknown, { host, port }: Config): unknown {
  if (!(error instanceof Error && 'code' in error && 'syscall' in error)) return error;
  if (error.syscall === 'getaddrinfo' && 'hostname' in error && error.hostname === host) {
    return new CommandError(EXIT.failed, `The setting HOST "${host}" is wrong: no address is known for it.`);
  }
  if (error.syscall !== 'listen') return error;
  const sentence =
    error.code === 'EADDRINUSE'
      ? `Port ${port} of ${host} is in use: end what listens there, or set PORT to another; 0 picks a free one.`
      : `Port ${port} of ${host} cannot be listened on (${String(error.code)}): set PORT or HOST to another.`;
  return new CommandError(EXIT.failed, sentence);
}
