// Makes the logger: one JSON object a line on standard error, readable colours where that is a terminal.
// It keeps out of the log what the database says about a row that it refuses: those are a caller's words.
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';
import type { LogLevel } from './config.ts';
import { LogDestination } from './log-destination.ts';

export type { Logger };

/** How long the end of the process may wait for a stalled log. */
const FLUSH_TIMEOUT_MS = 1000;

/** Creates a logger. `flush` writes the lines in memory; it takes a second at most, even if the reader stalls. */
export async function createLogger(level: LogLevel): Promise<{ logger: Logger; flush: () => Promise<void> }> {
  const options: LoggerOptions = { level, base: null, serializers: { err: renderError, reason: withoutValues } };
  const destination = new LogDestination(2, (lines) => logger.warn({ lines }, 'log lines dropped'));
  const logger = process.stderr.isTTY
    ? pino(options, await prettyStream(destination))
    : pino({ ...options, timestamp: renderTime }, destination);
  return { logger, flush: async () => await destination.flush(FLUSH_TIMEOUT_MS) };
}

async function prettyStream(destination: LogDestination): Promise<DestinationStream> {
  const { prettyFactory } = await import('pino-pretty');
  const render = prettyFactory({ colorize: true, ignore: 'pid,hostname' });
  return { write: (line) => destination.write(render(line)) };
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
