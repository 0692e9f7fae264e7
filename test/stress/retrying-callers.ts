// Callers that follow the answers: after a 503 they wait until the service is ready and send the same order again under
// the same idempotency key, until it is accepted.
import assert from 'node:assert/strict';
import { request } from '../support/service.ts';
import { until } from '../support/until.ts';
import { type Attempt, attempt, idOf, inParallel, isAccepted, type Order, describe } from './callers.ts';

const CALLERS = 40;
const ATTEMPTS_MAX = 50;

export type RetryingCallers = {
  /** How many orders are accepted so far. */
  accepted: () => number;
  /** How many callers wait for an answer to an order. */
  waiting: () => number;
  /** Whether every order is accepted, or a caller gave up. */
  ended: () => boolean;
  /** Resolves when every order is accepted. Rejects on an answer other than 200, 202 and 503. */
  finished: Promise<{
    attempts: readonly Attempt[];
    /** The transfer that each order became, by the order's place. */
    idByOrder: ReadonlyMap<number, string>;
  }>;
};

/**
 * Starts to send the orders, each with `headers`. The service must be ready `readyMs` after it has refused one. `finished`
 * must be awaited.
 */
export function startRetryingCallers(
  service: { url: string },
  orders: readonly Order[],
  {
    headers = () => ({}),
    readyMs = 30_000,
  }: { headers?: (index: number) => Record<string, string>; readyMs?: number } = {},
): RetryingCallers {
  const attempts: Attempt[] = [];
  const idByOrder = new Map<number, string>();
  let ended = false;
  let waiting = 0;

  const send = async (order: Order, index: number): Promise<void> => {
    for (let tries = 1; tries <= ATTEMPTS_MAX; tries += 1) {
      waiting += 1;
      const one = await attempt(service, order, { 'Idempotency-Key': `order-${index}`, ...headers(index) }).finally(
        () => (waiting -= 1),
      );
      attempts.push(one);
      assert.equal(one.broken, null, 'The service is alive: it answers every request.');
      if (isAccepted(one)) {
        idByOrder.set(index, idOf(one.answer));
        return;
      }
      assert.equal(one.answer?.status, 503, describe(one));
      assert.match(String(one.answer.headers['retry-after']), /^[1-9]\d*$/);
      await until(async () => (await request(service, 'GET', '/readyz')).status === 200, {
        timeoutMs: readyMs,
        what: 'the service to be ready again',
      });
    }
    assert.fail(`An order was not accepted in ${ATTEMPTS_MAX} attempts.`);
  };

  const run = async (): Promise<Awaited<RetryingCallers['finished']>> => {
    try {
      await inParallel(CALLERS, orders, send);
      return { attempts, idByOrder };
    } finally {
      ended = true;
    }
  };
  const finished = run();
  // The caller that awaits it gets the error; until then a failure must not end the test's process.
  finished.catch(() => {});
  return { accepted: () => idByOrder.size, waiting: () => waiting, ended: () => ended, finished };
}
