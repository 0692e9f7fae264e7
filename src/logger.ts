// Creates the logger: one JSON object per line on standard error, or colored text on a terminal. Error details of the
// database that quote a row are not logged, because they contain a caller's data.
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';
import type { LogLevel } from './config.ts';
import { LogDestination } from './log-destination.ts';
import { renderRequest, type RequestLine } from './request-line.ts';

export type { Logger };
/** The logger of a service. `request` writes the line of a request, at level `info`. */
export type ServiceLogger = Logger & { readonly request: (line: RequestLine) => void };

/** How long the exit of the process may wait for a stalled log. */
const FLUSH_TIMEOUT_MS = 1000;

export type Log = {
  readonly logger: ServiceLogger;
  /** Writes a text that is no log line; null if there is no terminal. */
  readonly print: ((text: string) => void) | null;
  /** Writes the lines in memory; it takes a second at most, even if the reader stalls. */
  readonly flush: () => Promise<void>;
};

export async function createLogger(level: LogLevel): Promise<Log> {
  const destination = new LogDestination(2, (lines) => logger.warn({ lines }, 'log lines dropped'));
  const isTerminal = process.stderr.isTTY;
  const stream = isTerminal ? await prettyStream(destination) : destination;
  const timestamp = isTerminal ? pino.stdTimeFunctions.epochTime : renderTime;
  const options: LoggerOptions = {
    level,
    base: null,
    serializers: { err: renderError, reason: withoutValues },
    timestamp,
  };
  const logger = pino(options, stream);
  const request = (line: RequestLine): void => {
    if (logger.isLevelEnabled('info')) stream.write(renderRequest(line, timestamp()));
  };
  return {
    logger: Object.assign(logger, { request }),
    print: isTerminal ? (text) => destination.write(text) : null,
    flush: async () => await destination.flush(FLUSH_TIMEOUT_MS),
  };
}

async function prettyStream(destination: LogDestination): Promise<DestinationStream> {
  const { prettyFactory } = await import('pino-pretty');
  const render = prettyFactory({ colorize: true, singleLine: true, errorLikeObjectKeys: [] });
  return { write: (line) => destination.write(render(line)) };
}

let renderedSecond = 0;
let rendered = '';

/**
 * The time as pino's isoTime writes it. The part up to the second is rendered once a second: a busy service has lines
 * in every ms.
 */
function renderTime(): string {
  const now = Date.now();
  const second = Math.floor(now / 1000);
  if (second !== renderedSecond) {
    renderedSecond = second;
    rendered = `,"time":"${new Date(1000 * second).toISOString().slice(0, -'000Z'.length)}`;
  }
  return `${rendered}${String(now - 1000 * second).padStart(3, '0')}Z"`;
}

/** The fields of an error except `detail` and similar ones, in which PostgreSQL shows the whole row. */
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

/**
 * PostgreSQL names things as in `relation "accounts"`, and quotes values as in `invalid input syntax for type date:
 * "1987"`.
 */
function withoutValues(text: unknown): string {
  return String(text).replace(/: ".*/s, '');
}
