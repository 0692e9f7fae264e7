// Waits for a condition by polling, where there is no notification.
import { setTimeout as sleep } from 'node:timers/promises';

const INTERVAL_MS = 15;

/**
 * Asks `condition` until it answers with something truthy, and returns that. Throws a sentence that names `what` was awaited
 * after `timeoutMs` (default 10 seconds). An error of the condition is thrown at once.
 */
export async function until<Answer>(
  condition: () => Answer | Promise<Answer>,
  { timeoutMs = 10_000, what }: { timeoutMs?: number; what: string },
): Promise<Exclude<Answer, undefined | null | false | 0 | ''>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await condition();
    if (isTruthy(answer)) return answer;
    if (performance.now() >= deadline) throw new Error(`Timed out after ${timeoutMs} ms waiting for ${what}.`);
    await sleep(INTERVAL_MS);
  }
}

function isTruthy<Answer>(answer: Answer): answer is Exclude<Answer, undefined | null | false | 0 | ''> {
  return Boolean(answer);
}
