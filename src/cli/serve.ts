// gopherpay serve: runs the service until it is told to stop.
import closeWithGrace from 'close-with-grace';
import { defineCommand } from 'citty';
import { readConfig } from '../config.ts';
import { openEmbeddedServer } from '../db/embedded.ts';
import { createLogger } from '../logger.ts';
import { startService } from '../main/service.ts';
import { parseArguments } from './command.ts';

export const serve = defineCommand({
  meta: { name: 'serve', description: 'Run the service. Settings come from the environment and from .env.' },
  async run({ args }) {
    parseArguments({}, args);
    const config = readConfig();
    const { logger, flush } = createLogger(config.logLevel);
    const embedded = config.database ? null : await openEmbeddedServer(config.dataDir);
    const database = config.database ?? embedded?.settings;
    if (!database) throw new Error('There is no database; set DATABASE_URL.');
    const service = await startService(config, database, logger).catch(async (error: unknown) => {
      await embedded?.release();
      throw error;
    });
    // Twice the time to drain: once for requests in flight, once for what they had accepted; then some for the database.
    closeWithGrace({ delay: 2 * config.drainTimeoutMs + 25_000, logger: false }, async ({ signal, err }) => {
      if (err) logger.fatal({ err }, 'the service ends because of an error nobody caught');
      else logger.info({ signal }, 'stopping');
      await service.stop();
      await embedded?.release();
      logger.info('stopped');
      flush();
    });
    process.stdout.write(`gopherpay listening on ${service.url}\n`);
  },
});
