// Makes the logger: one JSON object a line on standard error, readable colours where that is a terminal.
// It keeps out of the log what the database says about a row that it refuses: those are a caller's words.
import { type Logger, type LoggerOptions, pino } from 'pino';
import type { LogLevel } from './config.ts';

export type { Logger };

const STANDARD_ERROR = 2;

/** A logger, and how to write out what it still holds in memory. */
export async function createLogger(level: LogLevel): Promise<{ logger: Logger; flush: () => void }> {
  const options: LoggerOptions = { level, base: null, serializers: { err: renderError, reason: withoutValues } };
  if (process.stderr.isTTY) {
    const { default: pretty } = await import('pino-pretty');
    const stream = pretty({ colorize: true, destination: STANDARD_ERROR, sync: true, ignore: 'pid,hostname' });
    return { logger: pino(options, stream), flush() {} };
  }
  // Lines gather until 4 KiB are together or a tenth of a second has gone by, so that a line is not a system call.
  const destination = pino.destination({ fd: STANDARD_ERROR, minLength: 4096, sync: true, periodicFlush: 100 });
  return {
    logger: pino({ ...options, timestamp: renderTime }, destination),
    flush: () => destination.flushSync(),
  };
}

let renderedAt = 0;
let rendered = '';

/** The time as pino's isoTime has it, made once a millisecond: a busy service writes many lines in one. */
function renderTime(): string {
  const now = Date.now();
  if (now !== renderedAt) {
    renderedAt = now;
    rendered = `,"time":"${new Date(now).toISOString()}"`;
  }
  return rendered;
}

/** What is known of an error but its `detail` and the like, where PostgreSQL shows the whole row. */
function renderError(thrown: unknown): Record<string, unknown> {
  if (!(thrown instanceof Error)) return { type: typeof thrown };
  return {
    type: thrown.name,
    message: withoutValues(thrown.message),
    ...('code' in thrown ? { code: thrown.code } : {}),
    ...('constraint' in thrown ? { constraint: thrown.constraint } : {}),
    // The first line of a stack is the message again.
    stack: thrown.stack
      ?.split('\n')
      .filter((line) => line.startsWith('    at '))
      .join('\n'),
    ...(thrown.cause === undefined ? {} : { cause: renderError(thrown.cause) }),
  };
}

/** PostgreSQL names things as in `relation "accounts"`, and quotes values as in `invalid input syntax for type date: "1987"`. */
function withoutValues(text: unknown): string {
  return String(text).replace(/: ".*/s, '');
}
