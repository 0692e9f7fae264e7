// The requests of commands to a running service: where it is, with which key, and when a request is sent again.
import { setTimeout as sleep } from 'node:timers/promises';
import { request as send } from 'undici';
import { toError } from '../../db/connection/errors.ts';
import { prefixOf } from '../../load/connections.ts';
import { VERSION } from '../../version.ts';
import { CommandError, EXIT } from '../command.ts';
import { reasonOf } from '../exit.ts';
import { plain } from './text.ts';

/** A service, one of its ledgers, and the key to use. */
export type Service = {
  readonly url: string;
  readonly ledger: string;
  readonly key: string | null;
  /** Where the key is from, for errors. */
  readonly keySource: string;
};

export type Call = {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** A path of the ledger, or with `global` one of no ledger. */
  readonly path: string;
  readonly global?: boolean;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly idempotencyKey?: string;
  /** How long the answer may wait for the outcome of a transfer. */
  readonly waitSeconds?: number;
};

/** `json`: null if the answer is something else. */
export type Answer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly json: unknown;
};

const ANSWER_TIMEOUT_MS = 15_000;
/** Statuses of proxies and of a service that did not receive the whole request. */
const TRANSIENT_STATUSES: readonly number[] = [408, 502, 504];
const ATTEMPTS_MAX = 4;
const FIRST_PAUSE_MS = 250;
/** The time for all attempts of a request. A longer wait is the decision of the person at the terminal. */
const PATIENCE_MS = 30_000;
/** A longer pause is announced. */
const SILENT_PAUSE_MS = 2000;

/** The headers that a key adds to a request. */
export function headersOf({ key }: Pick<Service, 'key'>): Record<string, string> {
  return key === null ? {} : { authorization: `Bearer ${key}` };
}

/** Sends a request once. Throws an error with the exit code for a service out of reach if there is no answer. */
export async function sendOnce(service: Service, call: Call, signal?: AbortSignal): Promise<Answer> {
  const { method, path, query = {}, body, idempotencyKey, waitSeconds = 0 } = call;
  const parameters = new URLSearchParams(query).toString();
  const prefix = call.global ? '' : prefixOf(service.ledger);
  const timeout = ANSWER_TIMEOUT_MS + waitSeconds * 1000;
  try {
    const answer = await send(`${service.url}${prefix}${path}${parameters === '' ? '' : `?${parameters}`}`, {
      method,
      headers: {
        ...headersOf(service),
        accept: 'application/json',
        'user-agent': `gopherpay/${VERSION}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
        ...(waitSeconds > 0 ? { prefer: `wait=${waitSeconds}` } : {}),
      },
      body: body === undefined ? null : JSON.stringify(body),
      headersTimeout: timeout,
      bodyTimeout: timeout,
      signal: signal ?? null,
    });
    const text = await answer.body.text();
    return { status: answer.statusCode, headers: answer.headers, text, json: parse(text) };
  } catch (error) {
    signal?.throwIfAborted();
    throw outOfReach(service.url, error);
  }
}

/**
 * Sends a request until it is answered, and returns the answer. Every request of the commands may be sent again: reads,
 * changes that have no second effect, and requests with an idempotency key. `refuse` makes the error of an answer that
 * is no success.
 */
export async function request(
  service: Service,
  call: Call,
  { signal, refuse }: { signal: AbortSignal; refuse: (answer: Answer) => CommandError },
): Promise<Answer> {
  const deadline = performance.now() + PATIENCE_MS;
  for (let attempts = 1; ; attempts += 1) {
    const answer = await sendOnce(service, call, signal).catch((error: unknown) => {
      if (error instanceof CommandError && error.exitCode === EXIT.outOfReach) return error;
      throw error;
    });
    const isAnswer = !(answer instanceof CommandError);
    if (isAnswer && answer.status < 300) return answer;
    const pauseMs = pauseAfter(isAnswer ? answer : null, attempts);
    if (pauseMs === null || performance.now() + pauseMs > deadline) {
      const error = isAnswer ? refuse(answer) : answer;
      throw repeatable(error, isAnswer ? answer.status : null, call);
    }
    if (pauseMs >= SILENT_PAUSE_MS) announce(answer, pauseMs);
    await sleep(pauseMs, null, { signal });
  }
}

/** The pause before the next attempt; null: no attempt may follow. `answer`: null if there was none. */
export function pauseAfter(answer: Answer | null, attempts: number): number | null {
  const backOffMs = FIRST_PAUSE_MS * 2 ** (attempts - 1);
  const isTransient = answer === null || TRANSIENT_STATUSES.includes(answer.status);
  if (isTransient) return attempts < ATTEMPTS_MAX ? backOffMs : null;
  const seconds = retryAfterOf(answer);
  return seconds === null ? null : Math.max(seconds * 1000, backOffMs);
}

/** How many seconds the service asks to wait; null if it does not ask. The same slow query would be as slow again. */
export function retryAfterOf({ headers, json }: Answer): number | null {
  const text = headers['retry-after'];
  const isSlowQuery = typeof json === 'object' && json !== null && 'code' in json && json.code === 'query_too_slow';
  return typeof text === 'string' && /^\d+$/.test(text) && !isSlowQuery ? Number(text) : null;
}

function announce(answer: Answer | CommandError, pauseMs: number): void {
  const why = answer instanceof CommandError ? 'The service does not answer' : `The service answers ${answer.status}`;
  process.stderr.write(`${why}: trying again in ${Math.ceil(pauseMs / 1000)} s.\n`);
}

/** The error of a change that may have taken effect, or that the service may take later, with its idempotency key. */
function repeatable(error: CommandError, status: number | null, { idempotencyKey }: Call): CommandError {
  const mayFollow = status === null || status === 429 || status === 408 || status >= 500;
  if (idempotencyKey === undefined || !mayFollow) return error;
  const advice = `To repeat it without a second effect, add --idempotency-key=${idempotencyKey}`;
  return new CommandError(error.exitCode, `${error.message}\n${advice}`, { cause: error });
}

/** The error for a service that does not answer. */
export function outOfReach(url: string, error: unknown): CommandError {
  const sentence = `The service at ${url} is out of reach (${plain(reasonOf(toError(error)))}): check that it runs ("npm start" starts one), and check --url.`;
  return new CommandError(EXIT.outOfReach, sentence, { cause: error });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
