// Makes the logger: one JSON object a line on standard error, readable colours where that is a terminal.
import { pino, type Logger } from 'pino';
import pretty from 'pino-pretty';
import type { LogLevel } from './config.ts';

export type { Logger };

const STANDARD_ERROR = 2;

/** A logger, and how to write out what it still holds in memory. */
export function createLogger(level: LogLevel): { logger: Logger; flush(): void } {
  if (process.stderr.isTTY) {
    const stream = pretty({ colorize: true, destination: STANDARD_ERROR, sync: true, ignore: 'pid,hostname' });
    return { logger: pino({ level, base: null }, stream), flush() {} };
  }
  // Lines gather until 4 KiB are together or a tenth of a second has gone by, so that a line is not a system call.
  const destination = pino.destination({ fd: STANDARD_ERROR, minLength: 4096, sync: true, periodicFlush: 100 });
  return {
    logger: pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination),
    flush: () => destination.flushSync(),
  };
}
