// How long a line waits after an attempt that failed.

/** Pauses double from the first to the longest. */
const FIRST_PAUSE_MS = 5000;
const LONGEST_PAUSE_MS = 3_600_000;
/** The longest that a receiver may ask for. */
const RETRY_AFTER_MAX_MS = 24 * 3_600_000;
/** As HTTP writes a date: Sun, 06 Nov 1994 08:49:37 GMT. */
const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/**
 * The pause after `attempts` failures. Half of it is random, so that receivers that recover are not all called at once. A
 * receiver that asks for a pause gets that: at least the first one, and at most a day.
 */
export function pauseMs(attempts: number, random: number, askedMs: number | null = null): number {
  const jitter = 1 - random / 2;
  if (askedMs !== null) return Math.min(Math.max(askedMs, FIRST_PAUSE_MS * jitter), RETRY_AFTER_MAX_MS);
  return Math.min(FIRST_PAUSE_MS * 2 ** (attempts - 1), LONGEST_PAUSE_MS) * jitter;
}

/** The pause that a Retry-After asks for, in seconds or until a date; null: it is neither. */
export function readRetryAfter(header: string, now: Date): number | null {
  if (/^\d{1,10}$/.test(header)) return Number(header) * 1000;
  if (!HTTP_DATE.test(header)) return null;
  const until = Date.parse(header);
  return Number.isNaN(until) ? null : Math.max(0, until - now.getTime());
}
