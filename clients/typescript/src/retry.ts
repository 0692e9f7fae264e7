// Sends a request again, as long as that is safe, useful and within the time of the caller.
import { GopherPayError } from './errors.ts';

const BACK_OFF_MS = 100;
export const BACK_OFF_MAX_MS = 10_000;
/** A longer time would make a timer fire at once. */
const TIMER_MAX_MS = 2 ** 31 - 1;

export type Limits = {
  /** The time for all attempts together. */
  readonly deadlineMs: number;
  /** The time for one attempt, so that a silent connection is given up while there is time for another one. */
  readonly attemptTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** Whether a second request has no second effect. */
  readonly repeatable: boolean;
};

/** Time and chance, which tests replace. */
export type Clock = {
  readonly now: () => number;
  readonly sleep: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
  /** From 0 to 1. */
  readonly random: () => number;
};

export const CLOCK: Clock = { now: () => performance.now(), sleep, random: () => Math.random() };

/**
 * Returns the result of the first attempt that succeeds. Throws the last failure when no attempt may follow, and the
 * reason of the caller's signal when that is aborted.
 */
export async function retry<Result>(
  attempt: (signal: AbortSignal) => Promise<Result>,
  limits: Limits,
  clock: Clock = CLOCK,
): Promise<Result> {
  const deadline = clock.now() + limits.deadlineMs;
  for (let attempts = 1; ; attempts += 1) {
    const timeoutMs = Math.min(limits.attemptTimeoutMs, deadline - clock.now(), TIMER_MAX_MS);
    try {
      return await withTimeout(attempt, timeoutMs, limits.signal);
    } catch (error) {
      limits.signal?.throwIfAborted();
      const pauseMs = pauseAfter(error, attempts, clock.random());
      // A pause beyond the deadline would only delay the error.
      if (!mayFollow(error, limits.repeatable) || clock.now() + pauseMs >= deadline) throw error;
      await clock.sleep(pauseMs, limits.signal);
    }
  }
}

/**
 * How long to wait after a failure: what the service asks for, and a random part that doubles with each attempt, so
 * that callers that failed together do not return together.
 */
export function pauseAfter(error: unknown, attempts: number, random: number): number {
  const requestedMs = error instanceof GopherPayError ? (error.retryAfterMs ?? 0) : 0;
  return requestedMs + random * Math.min(BACK_OFF_MAX_MS, BACK_OFF_MS * 2 ** (attempts - 1));
}

function mayFollow(error: unknown, repeatable: boolean): boolean {
  if (!(error instanceof GopherPayError)) return false;
  return error.retry === 'always' || (error.retry === 'if_repeatable' && repeatable);
}

/** Runs an attempt with a signal that ends it when its time is over, or when the caller ends all. */
async function withTimeout<Result>(
  attempt: (signal: AbortSignal) => Promise<Result>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Result> {
  signal?.throwIfAborted();
  const end = new AbortController();
  const abort = (): void => end.abort(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  const timer = setTimeout(() => end.abort(new Error('the time is over')), Math.max(0, timeoutMs));
  try {
    return await attempt(end.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

/** Waits. Throws the reason of the signal when that is aborted. */
async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(
      () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      },
      Math.min(ms, TIMER_MAX_MS),
    );
    signal?.addEventListener('abort', abort, { once: true });
  });
}
